//! `restore`: has CRIU make a container's processes anew from files.
//!
//! The root file system is bound to a path in a mount namespace of this process's own, as CRIU wants a mount: nothing of it is on the host.

use super::create::{Bundle, connect_to, non_empty};
use super::snapshot::{self, Common, NETWORK};
use crate::args::{Globals, Parser, switch, text};
use crate::cgroups::{self, Placement, View};
use crate::channel::send_with_fds;
use crate::container::Container;
use crate::criu::message::Message;
use crate::criu::worker::{Moment, Verb, Worker, option};
use crate::error::{Context, Error, Result};
use crate::foreground::{Foreground, block_signals};
use crate::hooks;
use crate::init::tree::{self, Want};
use crate::step;
use carboy_oci::state::{State, Status};
use carboy_state::file::{Durability, write_atomic};
use carboy_state::process::ProcessRef;
use carboy_sys::clone::flag;
use carboy_sys::namespace::unshare;
use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_bind_recursive, mount_change, unmount};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// What the three streams were, beside the images. The name is runc's.
pub const STREAMS: &str = "descriptors.json";

/// The moment at which the namespaces and cgroups are there, and nothing runs in them.
const NAMESPACES: &str = "setup-namespaces";

/// The number that a joined network namespace has at CRIU.
const NETWORK_FD: i32 = 20;

#[derive(Debug, Default)]
struct Options {
    create: super::create::Options,
    common: Common,
    /// Fields of CRIU's RPC about labels.
    lsm: Vec<(u32, String)>,
}

impl Options {
    fn parse(parser: &mut Parser) -> Result<Options> {
        let Options { mut create, mut common, mut lsm } = Options::default();
        create.bundle = PathBuf::from(".");
        create.id = common.parse(parser, |name, parser| {
            match name {
                "bundle" => create.bundle = parser.value()?.into(),
                "detach" => create.detach = switch(parser)?,
                "pid-file" => create.pid_file = non_empty(parser)?,
                "console-socket" => create.console_socket = non_empty(parser)?,
                "no-subreaper" => create.no_subreaper = switch(parser)?,
                // CRIU changes roots by itself.
                "no-pivot" => create.no_pivot = switch(parser)?,
                "lsm-profile" => lsm.push((option::LSM_PROFILE, text(parser.value()?)?)),
                "lsm-mount-context" => lsm.push((option::LSM_MOUNT_CONTEXT, text(parser.value()?)?)),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(Options { create, common, lsm })
    }
}

/// `restore`.
pub fn main(globals: &Globals, parser: &mut Parser) -> Result<u8> {
    let options = Options::parse(parser)?;
    let bundle = Bundle::read(&options.create)?;
    snapshot::check()?;
    super::create::check_terminal(&bundle.spec, &options.create, options.create.detach)?;
    if !options.create.detach {
        block_signals()?;
        if !options.create.no_subreaper {
            let _ = carboy_sys::process::set_subreaper();
        }
    }
    let (placement, view, cgroup) =
        cgroups::plan(&bundle.spec, &options.create.id, globals.cgroups, cgroups::Search::Thorough)?;
    if placement.adopts() && options.common.cgroups == "strict" {
        let reason = "--manage-cgroups-mode=strict: systemd makes the cgroup, and CRIU is to make it";
        return Err(Error::Usage(reason.into()));
    }
    let record = super::create::record(&options.create, &bundle, cgroup)?;
    let (mut container, lock) = Container::claim(&globals.root, record)?;
    let given_back = |container: &Container| {
        for left in super::delete::give_back(container, bundle.spec.hooks.as_deref()) {
            globals.log.write("warning", &left.to_string());
        }
    };
    let restored = Restore { globals, options: &options, bundle: &bundle, container: &mut container, console: None }
        .run(&placement, &view);
    drop(lock);
    let (pidfd, console) = restored.inspect_err(|e| {
        if e.is_cgroup_in_use() {
            // Or the others in it would be ended.
            container.record.cgroup.give_up();
        }
        given_back(&container);
    })?;
    if options.create.detach {
        return Ok(0);
    }
    let result = Foreground::new(pidfd, console).and_then(Foreground::wait);
    given_back(&container);
    result
}

/// A restore under way.
struct Restore<'a> {
    globals: &'a Globals,
    options: &'a Options,
    bundle: &'a Bundle,
    container: &'a mut Container,
    /// The terminal's master, when it stays here.
    console: Option<OwnedFd>,
}

impl Restore<'_> {
    /// The restored init, and the terminal's master if it stays here.
    fn run(mut self, placement: &Placement, view: &View) -> Result<(OwnedFd, Option<OwnedFd>)> {
        let (spec, options) = (&self.bundle.spec, self.options);
        let console_socket = options.create.console_socket.as_deref().map(connect_to).transpose()?;
        self.container.save_config(&self.bundle.text)?;
        let (images, work) = options.common.folders(None)?;
        let externals = snapshot::externals(spec, &self.bundle.path, view)?;
        let root = PrivateRoot::new(self.container, &externals)?;
        let mut request = options.request();
        request.text(option::ROOT, &root.0.display().to_string());
        let all = externals.iter().map(|mount| (mount.inside.as_str(), mount.outside.as_str()));
        for (inside, outside) in all.chain([("/dev/null", "/dev/null")]) {
            request.text(option::EXTERNAL, &format!("mnt[{inside}]:{outside}"));
        }
        if let Some(file) = snapshot::configuration(spec) {
            request.text(option::CONFIG_FILE, file);
        }
        let mut inherited = streams(&images)?;
        let network = snapshot::joined_network(spec);
        let network = network.map(|path| std::fs::File::open(path).context(|| format!("open {path}"))).transpose()?;
        inherited.extend(network.iter().map(|_| (NETWORK.to_owned(), NETWORK_FD)));
        for (what, number) in inherited {
            let mut entry = Message::default();
            entry.text(1, &what);
            entry.number(2, number as u64);
            request.nested(option::INHERIT_FD, &entry);
        }
        let fds: Vec<_> = network.iter().map(|file| (file.as_fd(), NETWORK_FD)).collect();
        let worker = Worker::start(&self.globals.criu(), Verb::Restore, &images, &work, &fds)?;
        self.place(placement, worker.pid(), &mut request)?;
        let pid = worker.run(request, |moment| {
            if moment.name == NAMESPACES && self.options.common.cgroups == "strict" {
                // Of limits CRIU restores a few, of device rules none.
                placement.limit()?;
            }
            self.at(moment, console_socket.as_ref())
        })?;
        self.adopt(pid.unwrap_or(0))
    }

    /// Makes the cgroup. CRIU moves processes into it, unless it is to leave cgroups alone, or systemd wants a process to begin with: then
    /// it is in there itself, and its children with it.
    fn place(&self, placement: &Placement, worker: i32, request: &mut Message) -> Result<()> {
        if placement.adopts() {
            placement.adopt(worker)?;
        } else {
            let entry = placement.create()?;
            match self.options.common.cgroups.as_str() {
                "ignore" if entry.is_some() => self.container.record.cgroup.attach(worker)?,
                // CRIU makes it, and refuses one that is there. Nobody lives in it, that much is known now.
                "strict" => self.container.record.cgroup.remove().pop().map_or(Ok(()), Err)?,
                _ => {}
            }
        }
        for (controllers, path) in self.container.record.cgroup.roots() {
            let mut root = Message::default();
            if let Some(controllers) = controllers {
                root.text(1, &controllers);
            }
            root.text(2, &path);
            request.nested(option::CG_ROOT, &root);
        }
        Ok(())
    }

    /// What is due at a moment that CRIU tells of.
    fn at(&mut self, moment: Moment, console_socket: Option<&OwnedFd>) -> Result<()> {
        match (moment.name.as_str(), moment.pid, moment.descriptor) {
            // Hooks may fill a network that CRIU leaves empty.
            (NAMESPACES, Some(pid), _) => {
                self.container.record.init = ProcessRef::of(pid);
                self.container.save()?;
                let Some(hooks) = &self.bundle.spec.hooks else { return Ok(()) };
                let state = self.state(Status::Creating);
                hooks::run(step::Moment::Prestart, &hooks.prestart, &state)?;
                hooks::run(step::Moment::CreateRuntime, &hooks.create_runtime, &state)
            }
            ("orphan-pts-master", _, Some(master)) => match console_socket {
                Some(socket) => {
                    send_with_fds(socket.as_fd(), b"/dev/ptmx", &[master.as_fd()]).context(|| "send the terminal")
                }
                None => {
                    self.console = Some(master);
                    Ok(())
                }
            },
            _ => Ok(()),
        }
    }

    fn state(&self, status: Status) -> State {
        State { rootfs: None, created: None, owner: None, ..self.container.state_as(status) }
    }

    /// Puts the restored init on record and runs the hooks after a start.
    fn adopt(self, pid: i32) -> Result<(OwnedFd, Option<OwnedFd>)> {
        let gone = || Error::State("the restored process has ended already".into());
        let init = ProcessRef::of(pid);
        self.container.record.init = init;
        self.container.save()?;
        self.container.is_ready()?;
        let pidfd = init.and_then(|init| init.pidfd()).ok_or_else(gone)?;
        if let Some(path) = &self.options.create.pid_file {
            write_atomic(path, pid.to_string().as_bytes(), 0o644, Durability::Process)?;
        }
        if let Some(hooks) = &self.bundle.spec.hooks {
            hooks::run(step::Moment::Poststart, &hooks.poststart, &self.state(Status::Running))?;
        }
        Ok((pidfd, self.console))
    }
}

impl Options {
    /// What CRIU is told of them.
    fn request(&self) -> Message {
        let mut request = self.common.options();
        request.number(option::RST_SIBLING, 1);
        for (field, value) in &self.lsm {
            request.text(*field, value);
        }
        request
    }
}

/// The root file system, bound to a folder of the container's in a mount namespace of this process's own. It goes before the folder does:
/// whoever removes that must not find the root file system in it.
struct PrivateRoot(PathBuf);

impl PrivateRoot {
    fn new(container: &Container, externals: &[snapshot::External]) -> Result<PrivateRoot> {
        let folder = container.folder.join("criu-root");
        std::fs::create_dir(&folder).context(|| format!("mkdir {}", folder.display()))?;
        let root = PrivateRoot(folder);
        unshare(flag::NEWNS).context(|| "unshare mount")?;
        let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
        mount_change("/", slave).context(|| "make / a slave")?;
        let rootfs = &container.record.rootfs;
        mount_bind_recursive(rootfs.as_str(), &root.0).context(|| format!("bind {rootfs}"))?;
        root.make_places(externals)?;
        Ok(root)
    }

    /// Each mount of the host's needs a place, which a root file system other than the first may lack.
    fn make_places(&self, externals: &[snapshot::External]) -> Result<()> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(&self.0, flags, Mode::empty()).context(|| format!("open {}", self.0.display()))?;
        for mount in externals {
            let is_directory = std::fs::metadata(&mount.outside).is_ok_and(|metadata| metadata.is_dir());
            tree::find_or_make(root.as_fd(), &mount.inside, if is_directory { Want::Directory } else { Want::File })?;
        }
        Ok(())
    }
}

impl Drop for PrivateRoot {
    fn drop(&mut self) {
        // Not mounted: nothing to unmount. Only an empty folder is removed.
        let _ = unmount(&self.0, UnmountFlags::DETACH);
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// Those of the three streams that were pipes are the caller's now: what they are in the images, and their numbers.
fn streams(images: &Path) -> Result<Vec<(String, i32)>> {
    let file = images.join(STREAMS);
    let text = std::fs::read(&file).context(|| format!("read {}", file.display()))?;
    let streams: Vec<String> =
        serde_json::from_slice(&text).map_err(|e| Error::Other(format!("parse {}: {e}", file.display())))?;
    Ok(streams.into_iter().zip(0..3).filter(|(stream, _)| stream.starts_with("pipe:")).collect())
}
