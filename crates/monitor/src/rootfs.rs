//! The root file system's mount: an overlay, or a clone of the user's directory.
//!
//! Works in the caller's mount namespace. Needs fsopen(2) (Linux 5.2); layers are appended one by one where the kernel can
//! (`lowerdir+`, Linux 6.8, asked from 6.5 on), else given as one option string to mount(2).

use crate::error::Error;
use carboy_sys::mount::{Change, attr, mount_setattr};
use carboy_wire::monitor::RootMount;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags,
    fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount, move_mount, open_tree, unmount,
};
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

/// fsconfig(2) takes strings of at most this many bytes.
const FSCONFIG_MAX: usize = 255;
/// mount(2) takes one page of options.
const MOUNT_DATA_MAX: usize = 4095;

/// Mounts the root on `target`, which is made if it does not exist. `volatile`: the upper directory is of no use afterwards, so
/// nothing is ever synced to it (Linux 5.10; overlayfs.rst, "Volatile mount").
pub(crate) fn mount_root(root: &RootMount, target: &Path, volatile: bool) -> Result<(), Error> {
    match rustix::fs::mkdir(target, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(e) => return Err(Error::at("make", target)(e)),
    }
    match root {
        RootMount::Overlay { lower, upper, work, userxattr } => {
            let overlay = Overlay { lower, upper, work, userxattr: *userxattr, volatile };
            match overlay.mount_by_parts(target)? {
                Some(()) => Ok(()),
                None => overlay.mount_by_string(target),
            }
        }
        RootMount::Bind { path } => bind(path, target),
    }
}

/// Mounts a file, read-only, on itself: whoever executes it from here on cannot lead anybody to a file that can be written
/// (CVE-2019-5736), and our runtime, which looks, need not execute itself once more for that.
pub(crate) fn mount_over_read_only(file: &Path) -> Result<(), Error> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = open_tree(CWD, file, flags).map_err(Error::at("clone the mount of", file))?;
    let change = Change { set: attr::RDONLY, ..Change::default() };
    mount_setattr(tree.as_fd(), c"", false, change, None).map_err(Error::at("make read-only the mount of", file))?;
    attach(tree.as_fd(), file)
}

/// Unmounts it. A mount that is still in use, by a process that outlived the program, is detached instead.
pub(crate) fn unmount_root(target: &Path) -> Result<(), Error> {
    match unmount(target, UnmountFlags::NOFOLLOW) {
        Err(Errno::BUSY) => unmount(target, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW),
        other => other,
    }
    .map_err(Error::at("unmount", target))
}

/// What [`mount_root`] will call, for `explain`.
pub(crate) fn calls(root: &RootMount, target: &Path, volatile: bool) -> Vec<String> {
    match root {
        RootMount::Overlay { lower, upper, work, userxattr } => {
            let mut calls = vec!["fsopen(\"overlay\")".to_owned()];
            calls.extend(lower.iter().map(|layer| format!("fsconfig(\"lowerdir+\", {layer:?})")));
            calls.push(format!("fsconfig(\"upperdir\", {upper:?})"));
            calls.push(format!("fsconfig(\"workdir\", {work:?})"));
            calls.push("fsconfig(\"index\", \"off\")".into());
            if *userxattr {
                calls.push("fsconfig(\"userxattr\")".into());
            }
            if volatile {
                calls.push("fsconfig(\"volatile\")".into());
            }
            calls.extend(["fsmount()".into(), format!("move_mount({target:?})")]);
            calls
        }
        RootMount::Bind { path } => {
            vec![format!("open_tree({path:?}, OPEN_TREE_CLONE|AT_RECURSIVE)"), format!("move_mount({target:?})")]
        }
    }
}

fn bind(path: &Path, target: &Path) -> Result<(), Error> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    let tree = open_tree(CWD, path, flags).map_err(Error::at("clone the mounts of", path))?;
    attach(tree.as_fd(), target)
}

fn attach(tree: impl AsFd, target: &Path) -> Result<(), Error> {
    move_mount(tree, "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).map_err(Error::at("mount on", target))
}

struct Overlay<'a> {
    lower: &'a [std::path::PathBuf],
    upper: &'a Path,
    work: &'a Path,
    userxattr: bool,
    volatile: bool,
}

impl Overlay<'_> {
    /// `None` if this kernel cannot append layers.
    fn mount_by_parts(&self, target: &Path) -> Result<Option<()>, Error> {
        // Before 6.5 overlayfs has only the old kind of context: that takes any option, and refuses the whole at the end, in the
        // kernel's log and not in ours.
        if !is_at_least(rustix::system::uname().release().to_bytes(), (6, 5)) {
            return Ok(None);
        }
        let fs = match fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC) {
            Ok(fs) => fs,
            Err(Errno::NOSYS) => return Ok(None),
            Err(e) => return Err(Error::call("fsopen overlay")(e)),
        };
        fsconfig_set_string(&fs, "source", "overlay").map_err(|e| explained(&fs, "overlay: set source", e))?;
        let mut held = Vec::new();
        for (index, layer) in self.lower.iter().enumerate() {
            let name = short_name(layer, &mut held)?;
            match fsconfig_set_string(&fs, "lowerdir+", name.as_c_str()) {
                Err(Errno::INVAL) if index == 0 && is_unknown_parameter(&fs) => return Ok(None),
                other => other.map_err(|e| explained(&fs, &format!("overlay: use layer {}", layer.display()), e))?,
            }
        }
        // As docker and podman: an index would tie the upper directory to these very layers' inodes.
        let options = [("upperdir", self.upper), ("workdir", self.work), ("index", Path::new("off"))];
        for (key, value) in options {
            let name = if key == "index" { c_string(value)? } else { short_name(value, &mut held)? };
            fsconfig_set_string(&fs, key, name.as_c_str())
                .map_err(|e| explained(&fs, &format!("overlay: use {key} {}", value.display()), e))?;
        }
        if self.userxattr {
            fsconfig_set_flag(&fs, "userxattr").map_err(|e| explained(&fs, "overlay: set userxattr", e))?;
        }
        if self.volatile {
            // This path needs Linux 6.5, which knows the option.
            fsconfig_set_flag(&fs, "volatile").map_err(|e| explained(&fs, "overlay: set volatile", e))?;
        }
        fsconfig_create(&fs).map_err(|e| {
            explained(&fs, &format!("make the overlay with upper directory {}", self.upper.display()), e)
        })?;
        let tree = fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
            .map_err(|e| explained(&fs, "fsmount overlay", e))?;
        attach(tree.as_fd(), target).map(Some)
    }

    fn mount_by_string(&self, target: &Path) -> Result<(), Error> {
        let mut held = Vec::new();
        let mut data = self.option_string(|path| Ok(escaped(path)))?;
        if data.len() > MOUNT_DATA_MAX {
            data = self.option_string(|path| short_name_always(path, &mut held).map(CString::into_bytes))?;
        }
        if data.len() > MOUNT_DATA_MAX {
            return Err(Error::Invalid(format!("overlay: {} layers are too many for this kernel", self.lower.len())));
        }
        let data = CString::new(data).map_err(|_| Error::Invalid("overlay: a path holds a NUL".into()))?;
        mount("overlay", target, "overlay", MountFlags::empty(), Some(data.as_c_str()))
            .map_err(Error::at("mount overlay on", target))
    }

    fn option_string(&self, mut name: impl FnMut(&Path) -> Result<Vec<u8>, Error>) -> Result<Vec<u8>, Error> {
        let mut data = b"lowerdir=".to_vec();
        for (index, layer) in self.lower.iter().enumerate() {
            if index > 0 {
                data.push(b':');
            }
            data.extend(name(layer)?);
        }
        for (key, path) in [(",upperdir=", self.upper), (",workdir=", self.work)] {
            data.extend(key.bytes());
            data.extend(name(path)?);
        }
        data.extend(b",index=off");
        if self.userxattr {
            data.extend(b",userxattr");
        }
        Ok(data)
    }
}

/// The path as an overlay option: `\`, `:` and `,` are escaped.
fn escaped(path: &Path) -> Vec<u8> {
    let mut name = Vec::new();
    for byte in path.as_os_str().as_encoded_bytes() {
        if matches!(byte, b'\\' | b':' | b',') {
            name.push(b'\\');
        }
        name.push(*byte);
    }
    name
}

/// The path itself, or if it is too long for fsconfig(2) that of a descriptor, which `held` keeps open.
fn short_name(path: &Path, held: &mut Vec<OwnedFd>) -> Result<CString, Error> {
    if path.as_os_str().len() <= FSCONFIG_MAX { c_string(path) } else { short_name_always(path, held) }
}

fn short_name_always(path: &Path, held: &mut Vec<OwnedFd>) -> Result<CString, Error> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(Error::at("open", path))?;
    let name = format!("/proc/self/fd/{}", fd.as_raw_fd());
    held.push(fd);
    c_string(Path::new(&name))
}

fn c_string(path: &Path) -> Result<CString, Error> {
    CString::new(path.as_os_str().as_encoded_bytes())
        .map_err(|_| Error::Invalid(format!("{} holds a NUL", path.display())))
}

/// The kernel's own words about a file system context, if it left any (fsopen(2), "message retrieval").
fn messages(fs: &OwnedFd) -> String {
    let mut words = Vec::new();
    let mut buffer = [0u8; 512];
    while let Ok(n @ 1..) = rustix::io::read(fs, &mut buffer) {
        let line = String::from_utf8_lossy(&buffer[..n]);
        let line = line.trim_end();
        words.push(line.split_once(' ').map_or(line, |(_level, text)| text).to_owned());
    }
    words.join("; ")
}

/// Whether a kernel's release, such as `6.1.0-56-cloud-amd64`, is of this version or a later one.
fn is_at_least(release: &[u8], version: (u32, u32)) -> bool {
    let text = String::from_utf8_lossy(release);
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= version
}

fn is_unknown_parameter(fs: &OwnedFd) -> bool {
    messages(fs).contains("Unknown parameter")
}

fn explained(fs: &OwnedFd, operation: &str, source: Errno) -> Error {
    let said = messages(fs);
    let operation = if said.is_empty() { operation.to_owned() } else { format!("{operation} ({said})") };
    Error::call(operation)(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_compared_by_number() {
        for (release, expected) in [
            ("6.1.0-56-cloud-amd64", false),
            ("6.5.0", true),
            ("6.18.2", true),
            ("5.15.0-100-generic", false),
            ("7.0", true),
            ("?", false),
        ] {
            assert_eq!(is_at_least(release.as_bytes(), (6, 5)), expected, "{release}");
        }
    }

    #[test]
    fn option_strings_escape_what_separates() {
        let lower = ["/a:b".into(), "/c,d".into(), "/e\\f".into()];
        let overlay =
            Overlay { lower: &lower, upper: Path::new("/u"), work: Path::new("/w"), userxattr: true, volatile: true };
        let data = overlay.option_string(|path| Ok(escaped(path))).unwrap();
        let want = r"lowerdir=/a\:b:/c\,d:/e\\f,upperdir=/u,workdir=/w,index=off,userxattr";
        assert_eq!(String::from_utf8(data).unwrap(), want);
    }
}
