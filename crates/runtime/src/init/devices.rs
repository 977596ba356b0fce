//! Device nodes and links in /dev.

use super::Init;
use super::mounts::{attach, detach};
use super::tree::{self, Want};
use crate::error::{Context, Result};
use crate::step::DeviceNode;
use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, Uid, chownat, makedev, mknodat, openat, statat, symlinkat,
};
use rustix::io::Errno;
use rustix::stdio;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

impl Init<'_> {
    /// Streams that are the host's /dev/null become the container's, as runc's do: nothing of the host's /dev is left, and CRIU can say
    /// where they came from.
    pub fn own_null_streams(&mut self) -> Result<()> {
        let is_null = |fd: BorrowedFd<'_>| rustix::fs::fstat(fd).is_ok_and(|stat| is_null_device(&stat));
        let (stdin, stdout, stderr) = (stdio::stdin(), stdio::stdout(), stdio::stderr());
        let [first, second, third] = [stdin, stdout, stderr].map(is_null);
        if !self.inheritance.own_dev || !(first || second || third) {
            return Ok(());
        }
        // One that is no null device, or is missing, is of no use: they stay as they are.
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let null = match self.fresh.in_dev("/dev/null") {
            // Nobody can exchange it between the look and the opening.
            Some((dev, name)) => match statat(dev, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) if is_null_device(&stat) => openat(dev, name, flags, Mode::empty()),
                _ => return Ok(()),
            },
            None => tree::open(self.root()?, "/dev/null", flags | OFlags::NONBLOCK),
        };
        let Ok(null) = null else { return Ok(()) };
        if self.fresh.in_dev("/dev/null").is_none() {
            if !is_null(null.as_fd()) {
                return Ok(());
            }
            rustix::fs::fcntl_setfl(&null, OFlags::empty()).context(|| "fcntl /dev/null")?;
        }
        let what = || "dup2 /dev/null";
        if first {
            stdio::dup2_stdin(&null).context(what)?;
        }
        if second {
            stdio::dup2_stdout(&null).context(what)?;
        }
        if third {
            stdio::dup2_stderr(&null).context(what)?;
        }
        tree::release(null);
        Ok(())
    }

    /// Makes the nodes; where that is not permitted (a user namespace), binds the host's.
    pub fn make_devices(&mut self, nodes: &[DeviceNode]) -> Result<()> {
        let root = self.root()?;
        let mut parents = Parents::default();
        for node in nodes {
            let (parent, name) = parents.of(self, &node.path)?;
            if node.bind {
                bind(root, node)?;
                continue;
            }
            match make(parent, name, node) {
                Err(Errno::PERM) => bind(root, node)?,
                result => result.context(|| format!("mknod {}", node.path))?,
            }
        }
        Ok(())
    }

    /// Makes symbolic links; those that exist as anything stay, but for /dev/ptmx, which must lead to this container's terminals.
    pub fn make_links(&mut self, links: &[(&'static str, &'static str)]) -> Result<()> {
        let mut parents = Parents::default();
        for (target, path) in links {
            let (parent, name) = parents.of(self, path)?;
            match symlinkat(*target, parent, name) {
                Err(Errno::EXIST) if *path == "/dev/ptmx" => {
                    tree::remove_file(parent, name).context(|| format!("unlink {path}"))?;
                    symlinkat(*target, parent, name).context(|| format!("symlink {path}"))?;
                }
                Ok(()) | Err(Errno::EXIST) => {}
                Err(e) => return Err(e).context(|| format!("symlink {path}")),
            }
        }
        Ok(())
    }
}

fn is_null_device(stat: &rustix::fs::Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == makedev(1, 3)
}

/// The directory of the last path asked for: nearly all are in /dev.
#[derive(Default)]
struct Parents(Option<(String, OwnedFd)>);

impl Parents {
    fn of<'p, 'a>(&'a mut self, init: &'a Init<'_>, path: &'p str) -> Result<(BorrowedFd<'a>, &'p str)> {
        if let Some(place) = init.fresh.in_dev(path) {
            return Ok(place);
        }
        let root = init.root()?;
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        if self.0.as_ref().is_none_or(|(known, _)| known != directory) {
            let fd = match directory {
                // Where a link led, somebody else's names would be replaced (CVE-2026-41579).
                "/dev" => tree::plain_directory(root, directory, "/dev")?,
                _ => tree::parent_of(root, path)?.0,
            };
            self.0 = Some((directory.to_owned(), fd));
        }
        let fd = self.0.as_ref().map(|(_, fd)| fd.as_fd());
        fd.map(|fd| (fd, name)).ok_or(Errno::NOENT).context(|| path)
    }
}

fn file_type(node: &DeviceNode) -> FileType {
    match node.kind {
        'b' => FileType::BlockDevice,
        'p' => FileType::Fifo,
        _ => FileType::CharacterDevice,
    }
}

fn make(parent: BorrowedFd<'_>, name: &str, node: &DeviceNode) -> Result<(), Errno> {
    let (kind, mode) = (file_type(node), Mode::from_raw_mode(node.mode));
    let device = if node.kind == 'p' { 0 } else { makedev(node.major, node.minor) };
    match mknodat(parent, name, kind, mode, device) {
        Err(Errno::EXIST) => {
            let stat = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
            if FileType::from_raw_mode(stat.st_mode) == kind && stat.st_rdev == device {
                return Ok(());
            }
            if !node.usual {
                return Err(Errno::EXIST);
            }
            // Something that an image export left there, such as an empty file.
            tree::remove_file(parent, name)?;
            mknodat(parent, name, kind, mode, device)?;
        }
        result => result?,
    }
    if (node.uid, node.gid) != (0, 0) {
        chownat(parent, name, Some(Uid::from_raw(node.uid)), Some(Gid::from_raw(node.gid)), AtFlags::SYMLINK_NOFOLLOW)?;
    }
    Ok(())
}

fn bind(root: BorrowedFd<'_>, node: &DeviceNode) -> Result<()> {
    let target = tree::find_or_make(root, &node.path, Want::File)?;
    let source = detach(CWD, &node.path, false).context(|| format!("open_tree {} of the host", node.path))?;
    attach(source.as_fd(), target.as_fd()).context(|| format!("move_mount {}", node.path))
}
