//! What the process becomes: its limits, its filter, who it is, what it executes.

/// A resource limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Name without `RLIMIT_`, in lower case.
    pub name: &'static str,
    /// Which.
    pub resource: rustix::process::Resource,
    /// Soft limit; `None` is unlimited.
    pub soft: Option<u64>,
    /// Hard limit.
    pub hard: Option<u64>,
}

/// A system call filter, compiled.
#[derive(Debug, Clone)]
pub struct Filter {
    /// BPF.
    pub program: Vec<carboy_seccomp::SockFilter>,
    /// `SECCOMP_FILTER_FLAG_…` bits.
    pub flags: u32,
    /// Socket to which the descriptor of notifications is sent, with metadata.
    pub listener: Option<(String, String)>,
}

/// Who the program is. Sets of capabilities are bit masks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// User ID.
    pub uid: u32,
    /// Group ID.
    pub gid: u32,
    /// Whether root of the runtime's own user namespace stays root of it.
    pub root_stays: bool,
    /// Supplementary groups; `None` leaves them alone where the kernel denies setgroups(2).
    pub groups: Option<Vec<u32>>,
    /// File mode creation mask.
    pub umask: Option<u32>,
    /// Bounding, effective, permitted, inheritable, ambient.
    pub capabilities: Option<CapabilityMasks>,
}

/// The five sets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CapabilityMasks {
    /// Limit of what execve can give.
    pub bounding: u64,
    /// In force.
    pub effective: u64,
    /// May be put in force.
    pub permitted: u64,
    /// Kept over execve.
    pub inheritable: u64,
    /// Given to programs without file capabilities.
    pub ambient: u64,
}

/// The program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Program {
    /// Arguments, the name first.
    pub args: Vec<String>,
    /// Environment.
    pub env: Vec<String>,
}
