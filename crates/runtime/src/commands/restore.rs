//! `restore`: has CRIU make a container's processes anew from files.
//!
//! The root file system is bound to a path in a mount namespace of this process's own, as CRIU wants a mount: nothing of it is on the host.

use super::create::{Bundle, non_empty};
use super::snapshot::{self, Common, NETWORK};
use crate::args::{Arg, Globals, Parser, one_id, switch, text};
use crate::cgroups::{self, Driver, Placement, View};
use crate::container::Container;
use crate::criu::Call;
use crate::error::{Context, Error, Result};
use crate::foreground::{Foreground, block_signals};
use crate::hooks;
use crate::init::tree::{self, Want};
use crate::step::Moment;
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

/// The number that a joined network namespace has at CRIU.
const NETWORK_FD: i32 = 20;

#[derive(Debug, Default)]
struct Options {
    create: super::create::Options,
    common: Common,
    lsm: Vec<String>,
}

impl Options {
    fn parse(parser: &mut Parser) -> Result<Options> {
        let (mut options, mut id) = (Options::default(), None);
        options.create.bundle = PathBuf::from(".");
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
            match name.as_str() {
                "bundle" => options.create.bundle = parser.value()?.into(),
                "detach" => options.create.detach = switch(parser)?,
                "pid-file" => options.create.pid_file = non_empty(parser)?,
                "console-socket" => options.create.console_socket = non_empty(parser)?,
                "no-subreaper" => options.create.no_subreaper = switch(parser)?,
                // CRIU changes roots by itself.
                "no-pivot" => options.create.no_pivot = switch(parser)?,
                "lsm-profile" | "lsm-mount-context" => {
                    options.lsm.push(format!("--{name}={}", text(parser.value()?)?));
                }
                other if options.common.take(other, parser)? => {}
                other => return Err(Arg::Long(other).unexpected().into()),
            }
        }
        options.create.id = one_id(id)?;
        if options.common.cgroups == "ignore" {
            let reason = "restored processes would stay in the caller's cgroup";
            return Err(Error::Usage(format!("--manage-cgroups-mode=ignore is not supported by restore: {reason}")));
        }
        Ok(options)
    }
}

/// `restore`.
pub fn main(globals: &Globals, parser: &mut Parser) -> Result<u8> {
    let options = Options::parse(parser)?;
    let bundle = Bundle::read(&options.create)?;
    snapshot::check(&bundle.spec)?;
    super::create::check_terminal(&bundle.spec, &options.create, true)?;
    if globals.cgroups == Driver::Systemd {
        return Err(Error::Usage("restore into a scope of systemd's is not supported".into()));
    }
    if !options.create.detach {
        block_signals()?;
        if !options.create.no_subreaper {
            let _ = carboy_sys::process::set_subreaper();
        }
    }
    let (placement, view, cgroup) = cgroups::plan(&bundle.spec, &options.create.id, globals.cgroups)?;
    let record = super::create::record(&options.create, &bundle, cgroup)?;
    let (mut container, lock) = Container::claim(&globals.root, record)?;
    let given_back = |container: &Container| {
        for left in super::delete::give_back(container, bundle.spec.hooks.as_ref()) {
            globals.log.write("warning", &left.to_string());
        }
    };
    let restored = restore(globals, &options, &bundle, &mut container, &placement, &view);
    drop(lock);
    let pidfd = restored.inspect_err(|_| given_back(&container))?;
    if options.create.detach {
        return Ok(0);
    }
    let result = Foreground::new(pidfd, None).and_then(Foreground::wait);
    given_back(&container);
    result
}

fn restore(
    globals: &Globals,
    options: &Options,
    bundle: &Bundle,
    container: &mut Container,
    placement: &Placement,
    view: &View,
) -> Result<OwnedFd> {
    container.save_config(&bundle.text)?;
    let (images, work) = options.common.folders(None)?;
    let externals = snapshot::externals(&bundle.spec, &bundle.path, view)?;
    let root = PrivateRoot::new(container, &externals)?;
    let pid_file = container.folder.join("criu.pid");
    let mut args = options.common.args();
    args.extend([format!("--root={}", root.0.display()), format!("--pidfile={}", pid_file.display())]);
    args.extend(["--restore-detached".into(), "--restore-sibling".into()]);
    args.extend(options.lsm.iter().cloned().chain(snapshot::configuration(&bundle.spec)));
    args.extend(externals.iter().map(|mount| format!("--external=mnt[{}]:{}", mount.inside, mount.outside)));
    args.push("--external=mnt[/dev/null]:/dev/null".into());
    args.extend(streams(&images)?);
    let network = snapshot::joined_network(&bundle.spec);
    let network = network.map(|path| std::fs::File::open(path).context(|| format!("open {path}"))).transpose()?;
    if network.is_some() {
        args.push(format!("--inherit-fd=fd[{NETWORK_FD}]:{NETWORK}"));
    }
    let _entry = placement.create()?;
    args.extend(container.record.cgroup.roots().iter().map(|root| format!("--cgroup-root={root}")));
    let fds = network.iter().map(|file| (file.as_fd(), NETWORK_FD)).collect();
    Call { program: &globals.criu(), verb: "restore", images: &images, work: &work, args, fds }.run()?;
    adopt(options, bundle, container, &pid_file)
}

/// Puts the restored init on record and runs the hooks of a start.
fn adopt(options: &Options, bundle: &Bundle, container: &mut Container, pid_file: &Path) -> Result<OwnedFd> {
    let text = std::fs::read_to_string(pid_file).context(|| format!("read {}", pid_file.display()))?;
    let _ = std::fs::remove_file(pid_file);
    let init = text.trim().parse().ok().and_then(ProcessRef::of);
    container.record.init = init;
    container.save()?;
    let gone = || Error::State("the restored process has ended already".into());
    let init = init.ok_or_else(gone)?;
    let pidfd = init.pidfd().ok_or_else(gone)?;
    if let Some(path) = &options.create.pid_file {
        write_atomic(path, init.pid.to_string().as_bytes(), 0o644, Durability::Process)?;
    }
    if let Some(hooks) = &bundle.spec.hooks {
        let state = State { rootfs: None, created: None, owner: None, ..container.state() };
        let creating = State { status: Status::Creating, ..state.clone() };
        hooks::run(Moment::Prestart, &hooks.prestart, &creating)?;
        hooks::run(Moment::CreateRuntime, &hooks.create_runtime, &creating)?;
        hooks::run(Moment::Poststart, &hooks.poststart, &state)?;
    }
    Ok(pidfd)
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

/// Those of the three streams that were pipes are the caller's now.
fn streams(images: &Path) -> Result<Vec<String>> {
    let file = images.join(STREAMS);
    let text = std::fs::read(&file).context(|| format!("read {}", file.display()))?;
    let streams: Vec<String> =
        serde_json::from_slice(&text).map_err(|e| Error::Other(format!("parse {}: {e}", file.display())))?;
    let pipes = streams.into_iter().take(3).enumerate().filter(|(_, stream)| stream.starts_with("pipe:"));
    Ok(pipes.map(|(number, stream)| format!("--inherit-fd=fd[{number}]:{stream}")).collect())
}
