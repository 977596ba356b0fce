//! Mounts and device nodes, as they are to be made.

use carboy_oci::runtime::IdMapping;
use carboy_sys::mount::Change;

/// A mount.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MountStep {
    /// Absolute path in the container.
    pub destination: String,
    /// What is mounted.
    pub source: MountSource,
    /// Attributes of the mount.
    pub attributes: Change,
    /// Attributes of the mount and all below it.
    pub recursive: Change,
    /// Propagation changes, in order: flag, recursive.
    pub propagation: Vec<(u64, bool)>,
    /// Options of the file system: key, value.
    pub data: Vec<(String, Option<String>)>,
    /// Whether a tmpfs begins with what it covers.
    pub copy_up: bool,
    /// How owners are shown.
    pub id_map: Option<MountMap>,
    /// SELinux label: of a file system that may not take one as an option, then of its root; of the tmpfs that holds v1 hierarchies.
    pub label: Option<String>,
}

/// An idmapped mount (mount_setattr(2)).
#[derive(Debug, Clone, PartialEq)]
pub struct MountMap {
    /// The maps.
    pub of: MapOf,
    /// Whether they hold for what lies below it, too.
    pub recursive: bool,
}

/// Where the maps of a mount come from.
#[derive(Debug, Clone, PartialEq)]
pub enum MapOf {
    /// User IDs, group IDs.
    Ranges(Vec<IdMapping>, Vec<IdMapping>),
    /// The file of a user namespace.
    Namespace(String),
}

/// What is mounted.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum MountSource {
    /// Nothing: an existing mount is changed.
    #[default]
    Existing,
    /// A new file system.
    New {
        /// Type.
        kind: String,
        /// Source.
        source: String,
    },
    /// A path of the host, absolute.
    Bind {
        /// The path.
        path: String,
        /// With the mounts below it.
        recursive: bool,
        /// Whether the runtime opens it and hands it over ([`super::Action::OpenSource`]).
        handed: bool,
    },
    /// The cgroup file systems.
    Cgroup(crate::cgroups::View),
}

/// A device node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceNode {
    /// Path in the container.
    pub path: String,
    /// `c`, `b` or `p`.
    pub kind: char,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bind the host's node instead of making one (in a user namespace).
    pub bind: bool,
    /// One that every container has, which takes the place of what an image left there.
    pub usual: bool,
}
