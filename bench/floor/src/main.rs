//! `floor`: what the kernel alone needs to start a container and see it end. Whatever a runtime takes beyond this is its own.
//!
//! Does only what a runtime cannot leave out: clone3 into new pid, mount, uts, ipc and net namespaces, the usual mounts, the
//! default devices, pivot_root, exec, wait; with `--cgroups` also mkdir, join and rmdir in every hierarchy. No configuration is read, no
//! state kept, no limit set, and an error ends everything.
#![forbid(unsafe_code)]

use anyhow::{Context, Result, bail};
use carboy_sys::clone::{Clone, clone3, flag};
use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::process::{WaitId, WaitIdOptions};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

const USAGE: &str = "usage: floor [--cgroups | --cgroups-by-pid] ROOTFS PROGRAM [ARGUMENT...]
  --cgroups         also make, join and remove a cgroup in every hierarchy below /sys/fs/cgroup; the child joins by itself
  --cgroups-by-pid  the parent moves the child by its PID instead, as most runtimes do";

/// How the child gets into its cgroups.
#[derive(Clone, Copy, PartialEq)]
enum Cgroups {
    None,
    Joined,
    ByPid,
}

fn main() -> Result<()> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let cgroups = match arguments.first().map(String::as_str) {
        Some("--cgroups") => Cgroups::Joined,
        Some("--cgroups-by-pid") => Cgroups::ByPid,
        _ => Cgroups::None,
    };
    if cgroups != Cgroups::None {
        arguments.remove(0);
    }
    let [root, program, rest @ ..] = &arguments[..] else { bail!("{USAGE}") };
    let directories = if cgroups == Cgroups::None { Vec::new() } else { cgroup_directories()? };
    for path in &directories {
        make_cgroup(path)?;
    }
    let code = run(Path::new(root), program, rest, cgroups, &directories);
    for path in &directories {
        rustix::fs::rmdir(path).with_context(|| format!("rmdir {}", path.display()))?;
    }
    std::process::exit(code?)
}

fn run(root: &Path, program: &str, arguments: &[String], cgroups: Cgroups, directories: &[PathBuf]) -> Result<i32> {
    let open = |path: PathBuf| {
        let file = rustix::fs::open(&path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
        file.with_context(|| format!("open {}", path.display()))
    };
    let own: Vec<OwnedFd> = match cgroups {
        Cgroups::Joined => directories.iter().map(|path| open(path.join(join_file(path)))).collect::<Result<_>>()?,
        _ => Vec::new(),
    };
    let namespaces = flag::NEWPID | flag::NEWNS | flag::NEWUTS | flag::NEWIPC | flag::NEWNET;
    match clone3(namespaces, None)? {
        Clone::Child => {
            for file in &own {
                rustix::io::write(file, b"0")?;
            }
            Err(child(root, program, arguments))
        }
        Clone::Parent { pidfd, pid } => {
            if cgroups == Cgroups::ByPid {
                for path in directories {
                    rustix::io::write(open(path.join("cgroup.procs"))?, pid.to_string().as_bytes())?;
                }
            }
            let status = rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED)?;
            Ok(status.and_then(|status| status.exit_status()).unwrap_or(125))
        }
    }
}

/// Only returns when something failed.
fn child(root: &Path, program: &str, arguments: &[String]) -> anyhow::Error {
    match enter(root) {
        Ok(()) => std::process::Command::new(program).args(arguments).exec().into(),
        Err(e) => e,
    }
}

/// The mounts of a plain bundle, then the new root.
fn enter(root: &Path) -> Result<()> {
    let all_private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", all_private).context("make / private")?;
    rustix::mount::mount_bind_recursive(root, root).context("bind the root")?;
    let safe = MountFlags::NOSUID | MountFlags::NOEXEC | MountFlags::NODEV;
    let mount = |kind: &str, point: &str, flags: MountFlags, data: Option<&std::ffi::CStr>| {
        let point = root.join(point);
        rustix::mount::mount(kind, &point, kind, flags, data).with_context(|| format!("mount {}", point.display()))
    };
    mount("proc", "proc", safe, None)?;
    mount("tmpfs", "dev", MountFlags::NOSUID | MountFlags::STRICTATIME, Some(c"mode=755,size=65536k"))?;
    for directory in ["dev/pts", "dev/shm", "dev/mqueue"] {
        rustix::fs::mkdir(root.join(directory), Mode::from_raw_mode(0o755))?;
    }
    let pts = MountFlags::NOSUID | MountFlags::NOEXEC;
    mount("devpts", "dev/pts", pts, Some(c"newinstance,ptmxmode=0666,mode=0620,gid=5"))?;
    mount("tmpfs", "dev/shm", safe, Some(c"mode=1777,size=65536k"))?;
    mount("mqueue", "dev/mqueue", safe, None)?;
    mount("sysfs", "sys", safe | MountFlags::RDONLY, None)?;
    for (name, major, minor) in
        [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)]
    {
        let device = rustix::fs::makedev(major, minor);
        let path = root.join("dev").join(name);
        rustix::fs::mknodat(CWD, &path, FileType::CharacterDevice, Mode::from_raw_mode(0o666), device)?;
    }
    rustix::process::chdir(root)?;
    rustix::process::pivot_root(".", ".").context("pivot_root")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH).context("unmount the old root")?;
    rustix::process::chdir("/")?;
    Ok(())
}

/// One directory of our own for each hierarchy: those directly below /sys/fs/cgroup, or that itself if it is the unified one.
fn cgroup_directories() -> Result<Vec<PathBuf>> {
    let base = Path::new("/sys/fs/cgroup");
    let name = format!("floor-{}", std::process::id());
    if base.join("cgroup.procs").exists() {
        return Ok(vec![base.join(name)]);
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(base).context("list /sys/fs/cgroup")? {
        let entry = entry?;
        // An empty directory of that tmpfs may be left where a hierarchy was unmounted.
        if entry.file_type()?.is_dir() && entry.path().join("cgroup.procs").exists() {
            found.push(entry.path().join(&name));
        }
    }
    Ok(found)
}

/// `tasks` moves one thread without a system-wide lock; the unified hierarchy only has cgroup.procs.
fn join_file(path: &Path) -> &'static str {
    let unified =
        path.parent().is_some_and(|parent| parent.ends_with("unified") || parent == Path::new("/sys/fs/cgroup"));
    if unified { "cgroup.procs" } else { "tasks" }
}

/// A new cpuset is empty, and cannot be joined until it has what its parent has.
fn make_cgroup(path: &Path) -> Result<()> {
    rustix::fs::mkdir(path, Mode::from_raw_mode(0o755)).with_context(|| format!("mkdir {}", path.display()))?;
    let parent = path.parent().unwrap_or(path);
    if parent.ends_with("cpuset") {
        for file in ["cpuset.cpus", "cpuset.mems"] {
            std::fs::write(path.join(file), std::fs::read(parent.join(file))?)?;
        }
    }
    Ok(())
}
