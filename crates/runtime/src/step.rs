//! Steps: everything that will be done to the kernel, as values that carry all that doing it needs.
//!
//! A plan is a list of steps in order of execution. Two processes share it: the runtime does those of [`Actor::Runtime`], the
//! container's first process those of [`Actor::Init`], each in order; [`Action::Tell`] is where one waits for the other.
//! `report` shows a step to people; nothing here performs one.

mod birth;
mod mount;
mod process;

use carboy_oci::runtime::Hook;
use carboy_sys::priority::SchedAttr;
use carboy_wire::plan::Actor;
use std::borrow::Cow;

pub use birth::{Appearance, Birth, IdMaps, Join, Place};
pub use mount::{DeviceNode, MapOf, MountMap, MountSource, MountStep};
pub use process::{CapabilityMasks, Filter, Identity, Limit, Program};

/// One step.
#[derive(Debug, Clone)]
pub struct Step {
    /// Which process does it.
    pub actor: Actor,
    /// Where it comes from: a field of config.json, or a flag.
    pub from: Cow<'static, str>,
    /// What is done.
    pub action: Action,
}

/// What is done.
#[derive(Debug, Clone)]
pub enum Action {
    /// Create the init process in new namespaces.
    Clone(Birth),
    /// Write its ID maps.
    IdMaps(IdMaps),
    /// Set its OOM score.
    OomScore(i32),
    /// Make its cgroup, write the limits, hand it out.
    Cgroup(crate::cgroups::Placement),
    /// Make its v1 cgroups, write the limits, hand them to the init process, which is under way meanwhile.
    Hierarchies(crate::cgroups::Placement),
    /// Raise resource limits from outside, where the init process has no privilege on the host.
    OuterLimits(Vec<Limit>),
    /// Move network devices into the container: name here, name there; the namespace's file if it is joined.
    NetDevices(Vec<(String, String)>, Option<String>),
    /// Open what a bind mount shows, and hand it to init, whose user namespace may not.
    OpenSource(MountStep),
    /// Bind the process to CPUs, as a bit mask.
    Affinity(When, Vec<u64>),
    /// Run hooks.
    Hooks(Moment, Vec<Hook>),
    /// Let the other process go on. Done by both: `actor` sends, the other waits.
    Tell(Signal),
    /// Become root of the user namespace.
    BecomeRoot,
    /// A session of its own.
    Session,
    /// Enter existing namespaces.
    Join(Vec<Join>),
    /// Come into the PID namespace that was joined, as a new child of the runtime. Done by both: the runtime waits for it.
    Appear(Appearance),
    /// Move into the cgroup, once the runtime has made it.
    JoinCgroup,
    /// Move into the v1 cgroups, as soon as the runtime hands them over: their directories.
    JoinHierarchies(Vec<std::path::PathBuf>),
    /// A network namespace of its own, made by the init process itself, which takes a while.
    NetworkNamespace,
    /// An IPC namespace of its own, made by root of the user namespace.
    IpcNamespace,
    /// Take the root of the container that was joined.
    CurrentRoot,
    /// A new cgroup namespace, now that the process is where its root shall be.
    CgroupNamespace,
    /// A new time namespace with offsets, as lines of `timens_offsets`.
    TimeNamespace(String),
    /// Bring `lo` up.
    Loopback,
    /// A session keyring of its own.
    Keyring(String),
    /// SELinux's label of keys made from now on; an empty one: the policy's.
    KeyLabel(String),
    /// Cut the mount namespace off from the host's.
    Isolate(u64),
    /// Open the root file system and make it a mount.
    Root {
        /// Its path on the host.
        path: String,
        /// Whether the mounts around it stay shared with the host.
        shared: bool,
    },
    /// Mount something in it.
    Mount(MountStep),
    /// Make device nodes.
    Devices(Vec<DeviceNode>),
    /// Make symbolic links: target, name.
    Links(Vec<(&'static str, &'static str)>),
    /// Make a terminal and put it on standard input, output and error.
    Console(Option<(u16, u16)>),
    /// Make the root file system the root.
    Pivot {
        /// Move and chroot instead of pivot_root.
        move_only: bool,
    },
    /// Propagation of the new root: flag, recursive.
    RootPropagation(u64, bool),
    /// Make the new root read-only.
    ReadonlyRoot,
    /// Set the host name.
    Hostname(String),
    /// Set the NIS domain name.
    Domainname(String),
    /// Set a kernel parameter: path below /proc/sys, value.
    Sysctl(String, String),
    /// Make paths unreadable; with an SELinux label for what covers directories.
    Mask(Vec<String>, Option<String>),
    /// Make paths read-only.
    Readonly(Vec<String>),
    /// Set resource limits.
    Limits(Vec<Limit>),
    /// Set the scheduler.
    Scheduler(SchedAttr),
    /// Set the I/O priority: class, level.
    IoPriority(u32, u32),
    /// Set the execution domain.
    Personality(u64),
    /// Set the memory policy: mode with flags, node mask.
    MemoryPolicy(i32, Vec<u64>),
    /// Give up the chance to gain privileges.
    NoNewPrivileges,
    /// Install the system call filter.
    Seccomp(Filter),
    /// Set an AppArmor profile for the program.
    AppArmor(String),
    /// Set an SELinux label for the program.
    Selinux(String),
    /// Take the user's IDs and capabilities.
    Identity(Identity),
    /// Close what the program is not to have: descriptors after 2 that it inherits.
    Descriptors(u32),
    /// Enter the working directory.
    WorkingDirectory {
        /// Its path.
        path: String,
        /// Whether it is made if it is missing.
        make: bool,
    },
    /// Find the program's file: name, value of PATH.
    Find(String, String),
    /// Wait for `start`.
    AwaitStart,
    /// Execute the program.
    Execute(Program),
}

/// When hooks run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Deprecated, with createRuntime.
    Prestart,
    /// After the mounts, before pivot_root, outside.
    CreateRuntime,
    /// The same, inside the container's namespaces.
    CreateContainer,
    /// Right before the program, inside.
    StartContainer,
    /// After the program started, outside.
    Poststart,
    /// After deletion, outside.
    Poststop,
}

/// When the CPUs of a process are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Before it is in the cgroup.
    Initial,
    /// In the cgroup.
    Final,
}

/// What one process tells the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Runtime: the ID maps are written.
    MapsWritten,
    /// Runtime: init has been moved into its cgroup.
    Placed,
    /// Init: what the next bind mount shows is to be opened.
    WantSource,
    /// Init: the mounts are made.
    RootfsReady,
    /// Runtime: the hooks have run.
    HooksDone,
    /// Init: ready to execute, or to wait for `start`. Only where the runtime has to know before it lets init go on.
    Created,
    /// Runtime: recorded; execute as soon as you are ready (`run`, `exec`), or wait for `start` (`create`).
    Proceed,
}
