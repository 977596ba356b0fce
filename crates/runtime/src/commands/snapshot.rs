//! What `checkpoint` and `restore` have in common: their options, and what of a container lies outside it.

use crate::args::{Parser, switch, text};
use crate::cgroups::View;
use crate::error::{Context, Error, Result};
use crate::plan::external_mounts;
use carboy_oci::runtime::Spec;

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
    /// CRIU's switches.
    switches: Vec<&'static str>,
}

impl Default for Common {
    fn default() -> Common {
        Common { images: "checkpoint".into(), work: None, cgroups: "soft".into(), switches: Vec::new() }
    }
}

/// Switches that CRIU has too.
const SWITCHES: [&str; 6] = ["tcp-established", "tcp-close", "ext-unix-sk", "shell-job", "file-locks", "auto-dedup"];

impl Common {
    /// Takes an option; false if it is not one of these.
    pub fn take(&mut self, name: &str, parser: &mut Parser) -> Result<bool> {
        if let Some(name) = SWITCHES.into_iter().find(|known| *known == name) {
            if switch(parser)? {
                self.switches.push(name);
            }
            return Ok(true);
        }
        match name {
            "image-path" => self.images = non_empty(parser)?.unwrap_or_else(|| "checkpoint".into()),
            "work-path" => self.work = non_empty(parser)?,
            "manage-cgroups-mode" => self.cgroups = cgroups_mode(text(parser.value()?)?)?,
            "empty-ns" => empty_namespace(&text(parser.value()?)?).map(|()| self.switches.push("empty-ns=net"))?,
            "lazy-pages" if !switch(parser)? => {}
            "lazy-pages" | "status-fd" => {
                return Err(Error::Usage(format!("--{name} is not supported: memory is moved before, not on demand")));
            }
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
    pub fn args(&self) -> Vec<String> {
        let switches = self.switches.iter().map(|name| format!("--{name}"));
        switches.chain([format!("--manage-cgroups={}", self.cgroups)]).collect()
    }
}

fn non_empty(parser: &mut Parser) -> Result<Option<PathBuf>> {
    super::create::non_empty(parser)
}

fn cgroups_mode(mode: String) -> Result<String> {
    match mode.as_str() {
        "" => Ok("soft".into()),
        "soft" | "full" | "strict" | "ignore" => Ok(mode),
        other => Err(Error::Usage(format!("invalid manage-cgroups-mode {other:?}: soft, full, strict or ignore"))),
    }
}

fn empty_namespace(name: &str) -> Result<()> {
    match name {
        "network" => Ok(()),
        other => Err(Error::Usage(format!("--empty-ns={other} is not supported: network"))),
    }
}

/// Refuses what CRIU could not do, before anything is done.
pub fn check(spec: &Spec) -> Result<()> {
    if crate::cgroups::rootless() {
        return Err(Error::Usage("cannot checkpoint or restore a rootless container".into()));
    }
    if spec.process.as_ref().is_some_and(|process| process.terminal) {
        let reason =
            "a container with a terminal cannot be checkpointed: whoever restores it could not be given its other end";
        return Err(Error::invalid("process.terminal", reason));
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
pub fn configuration(spec: &Spec) -> Option<String> {
    let file = spec.annotations.get("org.criu.config")?;
    (!file.is_empty()).then(|| format!("--config={file}"))
}
