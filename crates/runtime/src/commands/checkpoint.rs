//! `checkpoint`: has CRIU write a container's processes to files.

use super::snapshot::{self, Common, NETWORK};
use crate::args::{Globals, Parser, switch, text};
use crate::cgroups;
use crate::container::Container;
use crate::criu::message::Message;
use crate::criu::worker::{Verb, Worker, option};
use crate::error::{Context, Error, Result};
use carboy_oci::runtime::Spec;
use carboy_oci::state::Status;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

#[derive(Debug, Default)]
struct Options {
    id: String,
    common: Common,
    parent: Option<PathBuf>,
    leave_running: bool,
    pre_dump: bool,
    page_server: Option<(String, u16)>,
    status_fd: Option<i32>,
    /// Fields of CRIU's RPC.
    switches: Vec<u32>,
}

impl Options {
    fn parse(parser: &mut Parser) -> Result<Options> {
        let (mut options, mut common) = (Options::default(), Common::default());
        options.id = common.parse(parser, |name, parser| {
            match name {
                "parent-path" => options.parent = super::create::non_empty(parser)?,
                "leave-running" => options.leave_running = switch(parser)?,
                "pre-dump" => options.pre_dump = switch(parser)?,
                "page-server" => options.page_server = Some(address(&text(parser.value()?)?)?),
                "status-fd" => options.status_fd = Some(crate::args::number(parser.value()?)?),
                "tcp-skip-in-flight" if switch(parser)? => options.switches.push(option::TCP_SKIP_IN_FLIGHT),
                "link-remap" if switch(parser)? => options.switches.push(option::LINK_REMAP),
                "tcp-skip-in-flight" | "link-remap" => {}
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        options.common = common;
        options.status_fd.map_or(Ok(()), check_status_fd)?;
        let refused = |why: &str| Err(Error::Usage(format!("--lazy-pages {why}")));
        match (options.common.has("lazy-pages"), &options.page_server) {
            (true, None) => return refused("needs --page-server: an address at which the pages are asked for"),
            (true, _) if options.leave_running => return refused("and --leave-running contradict one another"),
            (true, _) if options.pre_dump => return refused("and --pre-dump contradict one another"),
            _ => {}
        }
        if options.parent.as_ref().is_some_and(|parent| parent.is_absolute()) {
            return Err(Error::Usage("invalid --parent-path: it is relative to --image-path".into()));
        }
        Ok(options)
    }
}

/// CRIU writes a null byte there when the pages can be asked for.
fn check_status_fd(number: i32) -> Result<()> {
    use rustix::fs::OFlags;
    let invalid = |why: String| Error::Usage(format!("invalid --status-fd argument {number}: {why}"));
    let path = format!("/proc/self/fdinfo/{number}");
    let info = std::fs::read_to_string(path).map_err(|e| invalid(e.to_string()))?;
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok()).unwrap_or(0);
    if OFlags::from_bits_retain(flags).intersects(OFlags::WRONLY | OFlags::RDWR) {
        return Ok(());
    }
    Err(invalid("not writable".into()))
}

fn address(word: &str) -> Result<(String, u16)> {
    let parsed = word.rsplit_once(':').and_then(|(host, port)| Some((host.to_owned(), port.parse().ok()?)));
    parsed.filter(|(host, _)| !host.is_empty()).ok_or_else(|| Error::Usage("use --page-server ADDRESS:PORT".into()))
}

/// `checkpoint`.
pub fn main(globals: &Globals, parser: &mut Parser) -> Result<u8> {
    let options = Options::parse(parser)?;
    let container = Container::open(&globals.root, &options.id)?;
    if !matches!(container.status(), Status::Running | Status::Paused) {
        return Err(Error::State("container cannot be checkpointed: it does not run".into()));
    }
    let spec = container.config()?;
    snapshot::check()?;
    let pid = container.record.init.map_or(0, |init| init.pid);
    let (images, work) = options.common.folders(Some(&container.folder.join("criu.work")))?;
    keep_streams(&images, pid)?;
    let request = request(&options, &container, &spec, pid)?;
    let verb = if options.pre_dump { Verb::PreDump } else { Verb::Dump };
    Worker::start(&globals.criu(), verb, &images, &work, &[])?.run(request, |_| Ok(()))?;
    if options.pre_dump || options.leave_running {
        return Ok(0);
    }
    let mut left = super::delete::give_back(&container, spec.hooks.as_deref());
    left.pop().map_or(Ok(0), Err)
}

/// What the three streams are, by which `restore` finds out which of them are its caller's.
fn keep_streams(images: &Path, pid: i32) -> Result<()> {
    let stream = |number: i32| std::fs::read_link(format!("/proc/{pid}/fd/{number}")).unwrap_or_default();
    let streams: Vec<PathBuf> = (0..3).map(stream).collect();
    let file = images.join(super::restore::STREAMS);
    let text = serde_json::to_vec(&streams).map_err(|e| Error::Other(format!("encode {}: {e}", file.display())))?;
    std::fs::write(&file, text).context(|| format!("write {}", file.display()))
}

fn request(options: &Options, container: &Container, spec: &Spec, pid: i32) -> Result<Message> {
    let mut request = options.request();
    request.number(option::PID, pid as u64);
    request.text(option::ROOT, &container.record.rootfs);
    if let Some(file) = snapshot::configuration(spec) {
        request.text(option::CONFIG_FILE, file);
    }
    if let Some(folder) = container.record.cgroup.freezer() {
        request.text(option::FREEZE_CGROUP, &folder.display().to_string());
    }
    if snapshot::joined_network(spec).is_some() {
        let path = format!("/proc/{pid}/ns/net");
        let inode = std::fs::metadata(&path).context(|| format!("stat {path}"))?.ino();
        request.text(option::EXTERNAL, &format!("net[{inode}]:{NETWORK}"));
    }
    let namespace = spec.linux.as_ref().is_some_and(|l| l.namespaces.iter().any(|n| n.kind == "cgroup"));
    let view: cgroups::View = container.record.cgroup.view(namespace);
    for mount in snapshot::externals(spec, Path::new(&container.record.bundle), &view)? {
        request.text(option::EXTERNAL, &format!("mnt[{0}]:{0}", mount.inside));
    }
    let masked = spec.linux.iter().flat_map(|linux| &linux.masked_paths);
    // Masked directories are file systems of the container's own.
    for path in masked.filter(|path| std::fs::metadata(format!("/proc/{pid}/root{path}")).is_ok_and(|m| !m.is_dir())) {
        request.text(option::EXTERNAL, &format!("mnt[{path}]:/dev/null"));
    }
    Ok(request)
}

impl Options {
    /// What CRIU is told of them.
    fn request(&self) -> Message {
        let mut request = self.common.options();
        let tracked = self.pre_dump || self.parent.is_some();
        let switches = [(self.leave_running, option::LEAVE_RUNNING), (tracked, option::TRACK_MEM)];
        for field in switches.into_iter().filter(|(set, _)| *set).map(|(_, field)| field).chain(self.switches.clone()) {
            request.number(field, 1);
        }
        if let Some(parent) = &self.parent {
            request.text(option::PARENT_IMG, &parent.display().to_string());
        }
        if let Some((host, port)) = &self.page_server {
            // With --lazy-pages this CRIU is the server.
            let mut server = Message::default();
            server.text(1, host);
            server.number(2, u64::from(*port));
            request.nested(option::PS, &server);
        }
        if let Some(number) = self.status_fd {
            request.number(option::STATUS_FD, number as u64);
        }
        request
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::criu::message::{Value, fields};

    #[test]
    fn options_are_runc_s() {
        let parse = |line: &str| Options::parse(&mut Parser::from_args(line.split(' ')));
        let options =
            parse("id --image-path i --tcp-established --page-server host:77 --pre-dump --empty-ns network").unwrap();
        assert_eq!((options.id.as_str(), options.pre_dump), ("id", true));
        assert_eq!(options.page_server, Some(("host".into(), 77)));
        let request = options.request();
        let told = |field| fields(request.as_bytes()).find(|(number, _)| *number == field).map(|(_, value)| value);
        let expected = [(option::TCP_ESTABLISHED, 1), (option::EMPTY_NS, 0x4000_0000), (option::TRACK_MEM, 1)];
        for (field, value) in expected.into_iter().chain([(option::MANAGE_CGROUPS_MODE, 3)]) {
            assert_eq!(told(field), Some(Value::Number(value)), "{field}");
        }
        assert_eq!(told(option::PS), Some(Value::Bytes(b"\x0a\x04host\x10\x4d")));
        for bad in [
            "--lazy-pages id",
            "--lazy-pages --page-server h:1 --leave-running id",
            "--status-fd 99 id",
            "--parent-path /x id",
            "--page-server host id",
            "--manage-cgroups-mode x id",
            "--none id",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
