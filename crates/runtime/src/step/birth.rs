//! How the init process comes to be: namespaces and ID maps.

use carboy_oci::runtime::IdMapping;
use carboy_state::process::ProcessRef;

/// How the init process comes to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Birth {
    /// Namespaces to create with it (`carboy_sys::clone::flag`).
    pub create: u64,
    /// PID namespace to join first: only children enter it.
    pub pid_namespace: Option<Place>,
    /// Namespaces to join by an intermediate process, because the user namespace comes before all others.
    pub through: Vec<Join>,
}

/// With what a process comes into a PID namespace where others can look into it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Appearance {
    /// Descriptors after 2 that are the program's.
    pub preserved: u32,
    /// Capabilities that it keeps, as a bit mask; `None` is all.
    pub capabilities: Option<u64>,
}

/// Namespaces to enter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Join {
    /// Bits of clone(2); one if the place is a path.
    pub flags: u64,
    /// Where they are.
    pub place: Place,
}

/// Where a namespace is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A file.
    Path(String),
    /// The namespaces of a process.
    Process(ProcessRef),
}

/// ID maps of a new user namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdMaps {
    /// User IDs.
    pub uid: Vec<IdMapping>,
    /// Group IDs.
    pub gid: Vec<IdMapping>,
    /// Use newuidmap and newgidmap.
    pub helpers: bool,
    /// setgroups(2) must be denied before an unprivileged group map is accepted (user_namespaces(7)).
    pub deny_setgroups: bool,
}
