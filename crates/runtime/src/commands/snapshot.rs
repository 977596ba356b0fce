//! What `checkpoint` and `restore` have in common: their options, and what of a container lies outside it.

use crate::args::{Arg, Parser, one_id, switch, text};
use crate::cgroups::View;
use crate::criu::message::Message;
use crate::criu::worker::option;
use crate::error::{Context, Error, Result};
use crate::plan::external_mounts;
use carboy_oci::runtime::Spec;
use carboy_sys::clone::flag;

use std::path::{Path, PathBuf};

/// The name by which CRIU's images know the network namespace that is not the container's own.
pub const NETWORK: &str = "extRootNetNS";

/// Options of both.
#[derive(Debug)]
pub struct Common {
    /// Folder of the images.
    pub images: PathBuf,
    /// Folder of logs and statistics.
    pub work: Option<PathBuf>,
    /// How cgroups are treated.
    pub cgroups: String,
    /// CRIU's switches, and their numbers in its RPC.
    switches: Vec<(&'static str, u32)>,
    /// Without the network's configuration.
    empty_network: bool,
}

impl Default for Common {
    fn default() -> Common {
        Common {
            images: "checkpoint".into(),
            work: None,
            cgroups: "soft".into(),
            switches: Vec::new(),
            empty_network: false,
        }
    }
}

/// Switches that CRIU has too.
const SWITCHES: [(&str, u32); 7] = [
    ("tcp-established", option::TCP_ESTABLISHED),
    ("tcp-close", option::TCP_CLOSE),
    ("ext-unix-sk", option::EXT_UNIX_SK),
    ("shell-job", option::SHELL_JOB),
    ("file-locks", option::FILE_LOCKS),
    ("auto-dedup", option::AUTO_DEDUP),
    ("lazy-pages", option::LAZY_PAGES),
];

/// Ways to treat cgroups, and their numbers in CRIU's RPC.
const CGROUPS: [(&str, u64); 4] = [("ignore", 0), ("soft", 3), ("full", 4), ("strict", 5)];

impl Common {
    /// Reads a command line: `own` takes the options that only one of the two commands has. Returns the ID.
    pub fn parse(
        &mut self,
        parser: &mut Parser,
        mut own: impl FnMut(&str, &mut Parser) -> Result<bool>,
    ) -> Result<String> {
        let mut id = None;
        while let Some(arg) = parser.next()? {
            let name = match arg {
                Arg::Value(value) if id.is_none() => {
                    id = Some(text(value)?);
                    continue;
                }
                Arg::Long(name) => name.to_owned(),
                Arg::Short('b') => "bundle".into(),
                Arg::Short('d') => "detach".into(),
                other => return Err(other.unexpected().into()),
            };
            if !own(&name, parser)? && !self.take(&name, parser)? {
                return Err(Arg::Long(&name).unexpected().into());
            }
        }
        one_id(id)
    }

    /// Takes an option; false if it is not one of these.
    fn take(&mut self, name: &str, parser: &mut Parser) -> Result<bool> {
        if let Some(known) = SWITCHES.into_iter().find(|known| known.0 == name) {
            if switch(parser)? {
                self.switches.push(known);
            }
            return Ok(true);
        }
        match name {
            "image-path" => self.images = non_empty(parser)?.unwrap_or_else(|| "checkpoint".into()),
            "work-path" => self.work = non_empty(parser)?,
            "manage-cgroups-mode" => self.cgroups = cgroups_mode(text(parser.value()?)?)?,
            "empty-ns" => self.empty_network = empty_namespace(&text(parser.value()?)?)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The folders, absolute and there. Without one for the logs they are in `otherwise`, or beside the images.
    pub fn folders(&self, otherwise: Option<&Path>) -> Result<(PathBuf, PathBuf)> {
        let absolute = |path: &Path| std::path::absolute(path).context(|| format!("path {}", path.display()));
        let images = absolute(&self.images)?;
        let work = match (&self.work, otherwise) {
            (Some(work), _) => absolute(work)?,
            (None, Some(otherwise)) => otherwise.to_owned(),
            (None, None) => images.clone(),
        };
        for folder in [&images, &work] {
            use std::os::unix::fs::DirBuilderExt;
            let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
            made.context(|| format!("mkdir {}", folder.display()))?;
        }
        Ok((images, work))
    }

    /// As CRIU is told.
    pub fn options(&self) -> Message {
        let mut options = Message::default();
        for (_, field) in &self.switches {
            options.number(*field, 1);
        }
        if self.empty_network {
            options.number(option::EMPTY_NS, flag::NEWNET);
        }
        let mode = CGROUPS.iter().find(|(name, _)| *name == self.cgroups);
        options.number(option::MANAGE_CGROUPS_MODE, mode.map_or(3, |(_, number)| *number));
        options
    }

    /// Whether it has been given.
    pub fn has(&self, name: &str) -> bool {
        self.switches.iter().any(|(known, _)| *known == name)
    }
}

fn non_empty(parser: &mut Parser) -> Result<Option<PathBuf>> {
    super::create::non_empty(parser)
}

fn cgroups_mode(mode: String) -> Result<String> {
    match mode.as_str() {
        "" => Ok("soft".into()),
        known if CGROUPS.iter().any(|(name, _)| *name == known) => Ok(mode),
        other => Err(Error::Usage(format!("invalid manage-cgroups-mode {other:?}: soft, full, strict or ignore"))),
    }
}

fn empty_namespace(name: &str) -> Result<bool> {
    match name {
        "network" => Ok(true),
        // CRIU knows no other.
        other => Err(Error::Usage(format!("--empty-ns={other} is not supported: only network is"))),
    }
}

/// Refuses what CRIU could not do, before anything is done.
pub fn check() -> Result<()> {
    if crate::cgroups::rootless() {
        return Err(Error::Usage("cannot checkpoint or restore a rootless container".into()));
    }
    Ok(())
}

/// A mount whose content is not the container's: its path inside, and the host's.
pub struct External {
    /// Path in the container; also its name in the images.
    pub inside: String,
    /// Path on the host.
    pub outside: String,
}

/// The bind mounts of a configuration.
pub fn externals(spec: &Spec, bundle: &Path, view: &View) -> Result<Vec<External>> {
    let mounts = external_mounts(spec, bundle, view)?;
    Ok(mounts.into_iter().map(|(inside, outside)| External { inside, outside }).collect())
}

/// Path of a network namespace that the container joined.
pub fn joined_network(spec: &Spec) -> Option<&str> {
    let list = &spec.linux.as_ref()?.namespaces;
    list.iter().find(|namespace| namespace.kind == "network")?.path.as_deref().filter(|path| !path.is_empty())
}

/// CRIU's own configuration file, by the annotation that runc knows.
pub fn configuration(spec: &Spec) -> Option<&str> {
    spec.annotations.get("org.criu.config").map(String::as_str).filter(|file| !file.is_empty())
}
