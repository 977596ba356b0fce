//! Which hierarchies are mounted where: read from /sys/fs/cgroup where it is laid out as usual, otherwise from /proc/self/mountinfo.
//!
//! [`Hierarchies::guess`] takes names for what they say. A hierarchy that is not where its name says shows when a file of it is opened;
//! then [`Hierarchies::detect`], which looks at each, tells whether that was the reason.

use crate::dir;
use crate::error::CgroupError;
use crate::path::memberships;
use carboy_sys::mountinfo;
use rustix::fs::{CWD, Dir, FileType, FsWord, Mode as OpenMode, OFlags, openat, statfs};
use std::cell::OnceCell;
use std::path::{Path, PathBuf};

const STANDARD: &str = "/sys/fs/cgroup";
/// `CGROUP_SUPER_MAGIC`, `CGROUP2_SUPER_MAGIC` and `TMPFS_MAGIC` of linux/magic.h.
const CGROUP_V1: FsWord = 0x0027_e0eb;
const CGROUP_V2: FsWord = 0x6367_7270;
const TMPFS: FsWord = 0x0102_1994;

/// The v1 controllers that a directory name may list (cgroups(7)).
const CONTROLLERS: [&str; 14] = [
    "blkio",
    "cpu",
    "cpuacct",
    "cpuset",
    "debug",
    "devices",
    "freezer",
    "hugetlb",
    "memory",
    "misc",
    "net_cls",
    "net_prio",
    "perf_event",
    "pids",
];
const RDMA: &str = "rdma";

/// How the hierarchies are arranged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Only version 1.
    V1,
    /// Only the unified hierarchy.
    V2,
    /// Controllers in version 1, and a unified hierarchy that tracks membership.
    Hybrid,
}

/// One mounted v1 hierarchy. Co-mounted controllers are one hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// Its controllers; a named hierarchy has one entry such as `name=systemd`.
    pub controllers: Vec<String>,
    /// Where it is mounted.
    pub mount: PathBuf,
}

/// All mounted hierarchies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hierarchies {
    /// Version 1.
    pub v1: Vec<Hierarchy>,
    /// Mount point of the unified hierarchy.
    pub unified: Option<PathBuf>,
}

/// What a directory in /sys/fs/cgroup is.
enum Kind {
    V1,
    V2,
    Other,
}

impl Kind {
    fn of(mount: &Path) -> Option<Kind> {
        Some(match statfs(mount).ok()?.f_type {
            CGROUP_V2 => Kind::V2,
            CGROUP_V1 => Kind::V1,
            _ => Kind::Other,
        })
    }
}

impl Hierarchies {
    /// Finds what is mounted: one statfs(2) on a pure v2 machine, one directory listing and a statfs for each entry on the usual v1
    /// layout.
    ///
    /// # Errors
    /// When there is none.
    pub fn detect() -> Result<Self, CgroupError> {
        Self::find(|| Self::usual_layout(Path::new(STANDARD)))
    }

    /// The same without a look at each v1 hierarchy (some 5 µs each): a hierarchy that the kernel has counts as mounted at the name of
    /// its controllers. Whoever uses it must not make what is missing there.
    ///
    /// # Errors
    /// When there is none.
    pub fn guess(own: &OwnCgroups) -> Result<Self, CgroupError> {
        Self::find(|| {
            let base = Path::new(STANDARD);
            let mut found = Hierarchies::default();
            for (controllers, _) in memberships(own.text().ok()?) {
                match controllers.strip_prefix("name=").unwrap_or(controllers) {
                    // A mistake here would not show as a file that is missing.
                    "" if matches!(Kind::of(&base.join("unified")), Some(Kind::V2)) => {
                        found.unified = Some(base.join("unified"));
                    }
                    "" => {}
                    name => found.v1.push(Hierarchy { controllers: controllers_of(name)?, mount: base.join(name) }),
                }
            }
            found.v1.sort_by(|a, b| a.mount.cmp(&b.mount));
            // A kernel that says nothing is not believed.
            (!found.v1.is_empty()).then_some(found)
        })
    }

    fn find(usual: impl FnOnce() -> Option<Self>) -> Result<Self, CgroupError> {
        let found = match statfs(STANDARD).map(|fs| fs.f_type) {
            Ok(CGROUP_V2) => Hierarchies { v1: Vec::new(), unified: Some(STANDARD.into()) },
            Ok(TMPFS) => match usual() {
                Some(found) => found,
                None => Self::from_mountinfo()?,
            },
            _ => Self::from_mountinfo()?,
        };
        if found.v1.is_empty() && found.unified.is_none() { Err(CgroupError::NoHierarchy) } else { Ok(found) }
    }

    /// The arrangement.
    pub fn mode(&self) -> Mode {
        match (self.v1.is_empty(), &self.unified) {
            (true, _) => Mode::V2,
            (false, Some(_)) => Mode::Hybrid,
            (false, None) => Mode::V1,
        }
    }

    /// The v1 hierarchy with a controller.
    pub fn with_controller(&self, controller: &str) -> Option<&Hierarchy> {
        self.v1.iter().find(|hierarchy| hierarchy.controllers.iter().any(|name| name == controller))
    }

    /// Directories named after their controllers; `None` if some cgroup mount has a name that does not tell.
    fn usual_layout(base: &Path) -> Option<Self> {
        let fd = openat(CWD, base, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, OpenMode::empty()).ok()?;
        let mut found = Hierarchies::default();
        for entry in Dir::new(fd).ok()? {
            let entry = entry.ok()?;
            let name = entry.file_name().to_str().ok()?;
            // Symbolic links are second names of co-mounted controllers.
            if name.starts_with('.') || entry.file_type() != FileType::Directory {
                continue;
            }
            let mount = base.join(name);
            match Kind::of(&mount)? {
                Kind::V2 => found.unified = Some(mount),
                Kind::V1 => found.v1.push(Hierarchy { controllers: controllers_of(name)?, mount }),
                Kind::Other => {}
            }
        }
        found.v1.sort_by(|a, b| a.mount.cmp(&b.mount));
        Some(found)
    }

    fn from_mountinfo() -> Result<Self, CgroupError> {
        let path = "/proc/self/mountinfo";
        let text = std::fs::read_to_string(path).map_err(|e| CgroupError::io("read", path, e))?;
        Ok(Self::parse_mountinfo(&text))
    }

    fn parse_mountinfo(text: &str) -> Self {
        let mut found = Hierarchies::default();
        for mount in mountinfo::parse(text) {
            match mount.kind {
                "cgroup2" if found.unified.is_none() => found.unified = Some(mount.point.into()),
                "cgroup" => {
                    let known = |name: &&str| is_controller(name) || name.starts_with("name=");
                    let controllers: Vec<String> = mount.options.split(',').filter(known).map(str::to_owned).collect();
                    let taken = controllers.iter().any(|name| found.with_controller(name).is_some());
                    if !controllers.is_empty() && !taken {
                        found.v1.push(Hierarchy { controllers, mount: mount.point.into() });
                    }
                }
                _ => {}
            }
        }
        found
    }
}

/// In which cgroups the calling process is: /proc/self/cgroup, read once if it is needed.
#[derive(Debug, Default)]
pub struct OwnCgroups(OnceCell<String>);

impl OwnCgroups {
    /// Lines `ID:controllers:path` (cgroups(7)).
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn text(&self) -> Result<&str, CgroupError> {
        let file = "/proc/self/cgroup";
        if self.0.get().is_none() {
            let _ = self.0.set(dir::read_whole(CWD, file).map_err(|e| CgroupError::io("read", file, e))?);
        }
        Ok(self.0.get().map_or("", String::as_str))
    }
}

fn is_controller(name: &str) -> bool {
    CONTROLLERS.contains(&name) || name == RDMA
}

/// What a mount point's name says: a list of controllers, or systemd's named hierarchy.
fn controllers_of(name: &str) -> Option<Vec<String>> {
    if matches!(name, "systemd" | "elogind" | "openrc") {
        return Some(vec![format!("name={name}")]);
    }
    let names: Vec<&str> = name.split(',').collect();
    names.iter().all(|name| is_controller(name)).then(|| names.into_iter().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mountinfo_of_a_systemd_hybrid_machine() {
        let text = "\
25 30 0:23 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755
26 25 0:24 / /sys/fs/cgroup/unified rw,nosuid shared:10 - cgroup2 cgroup2 rw,nsdelegate
27 25 0:25 / /sys/fs/cgroup/systemd rw,nosuid shared:11 - cgroup cgroup rw,xattr,name=systemd
31 25 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:15 - cgroup cgroup rw,cpu,cpuacct
32 25 0:30 / /mnt/my\\040memory rw shared:16 - cgroup cgroup rw,memory
33 25 0:30 / /mnt/again rw shared:16 - cgroup cgroup rw,memory
";
        let found = Hierarchies::parse_mountinfo(text);
        assert_eq!(found.mode(), Mode::Hybrid);
        assert_eq!(found.unified.as_deref(), Some(Path::new("/sys/fs/cgroup/unified")));
        let names: Vec<String> = found.v1.iter().map(|h| h.controllers.join("+")).collect();
        assert_eq!(names, ["name=systemd", "cpu+cpuacct", "memory"]);
        assert_eq!(found.with_controller("memory").unwrap().mount, Path::new("/mnt/my memory"));
        assert_eq!(found.with_controller("cpuacct").unwrap().mount, Path::new("/sys/fs/cgroup/cpu,cpuacct"));
    }

    #[test]
    fn names_that_do_not_tell_are_not_guessed() {
        assert_eq!(controllers_of("cpu,cpuacct").unwrap(), ["cpu", "cpuacct"]);
        assert_eq!(controllers_of("systemd").unwrap(), ["name=systemd"]);
        assert!(controllers_of("limits").is_none());
        let empty = tempfile::tempdir().unwrap();
        std::fs::create_dir(empty.path().join("cpu")).unwrap();
        assert_eq!(Hierarchies::usual_layout(empty.path()).unwrap(), Hierarchies::default());
    }

    #[test]
    fn this_machine_s_two_sources_agree() {
        let Ok(mut detected) = Hierarchies::detect() else { return };
        let mut listed = Hierarchies::from_mountinfo().unwrap();
        detected.v1.sort_by(|a, b| a.mount.cmp(&b.mount));
        listed.v1.sort_by(|a, b| a.mount.cmp(&b.mount));
        assert_eq!(detected, listed);
        let mut guessed = Hierarchies::guess(&OwnCgroups::default()).unwrap();
        guessed.v1.sort_by(|a, b| a.mount.cmp(&b.mount));
        assert_eq!(guessed, listed);
        // Of what the kernel does not know nothing is believed.
        let none = OwnCgroups::default();
        none.0.set(String::new()).unwrap();
        assert_eq!(Hierarchies::guess(&none).unwrap(), Hierarchies::from_mountinfo().unwrap());
    }
}
