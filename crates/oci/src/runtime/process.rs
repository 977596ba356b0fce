//! The process: who it is, what it may do, how it is scheduled.

use serde::{Deserialize, Serialize};

data! {
    /// The process to run.
    Process {
        /// Whether the process gets a terminal.
        terminal: bool,
        /// Size of the terminal in characters.
        console_size: Option<ConsoleSize>,
        /// Credentials.
        user: User,
        /// Arguments, the program first.
        args: Vec<String>,
        /// `NAME=value`.
        env: Vec<String>,
        /// Working directory, absolute.
        cwd: String,
        /// Capabilities; absent leaves them alone.
        capabilities: Option<Capabilities>,
        /// Resource limits.
        rlimits: Vec<Rlimit>,
        /// `PR_SET_NO_NEW_PRIVS`.
        no_new_privileges: bool,
        /// AppArmor profile.
        apparmor_profile: Option<String>,
        /// `/proc/self/oom_score_adj`.
        oom_score_adj: Option<i32>,
        /// SELinux label.
        selinux_label: Option<String>,
        /// Scheduler attributes.
        scheduler: Option<Scheduler>,
        /// I/O priority.
        #[serde(rename = "ioPriority")]
        io_priority: Option<IoPriority>,
        /// CPU affinity of `exec`.
        #[serde(rename = "execCPUAffinity")]
        exec_cpu_affinity: Option<CpuAffinity>,
    }
}

data! {
    /// Terminal size in characters.
    ConsoleSize {
        /// Rows.
        height: u16,
        /// Columns.
        width: u16,
    }
}

/// Credentials of the process. `uid` and `gid` are always written, as other runtimes require them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct User {
    /// User ID in the container.
    pub uid: u32,
    /// Group ID in the container.
    pub gid: u32,
    /// File mode creation mask.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub umask: Option<u32>,
    /// Supplementary groups.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "super::null_is_default")]
    pub additional_gids: Vec<u32>,
    /// User name (Windows only; kept).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
}

data! {
    /// The five capability sets, names as `CAP_CHOWN`.
    Capabilities {
        /// Bounding set.
        bounding: Vec<String>,
        /// Effective set.
        effective: Vec<String>,
        /// Inheritable set.
        inheritable: Vec<String>,
        /// Permitted set.
        permitted: Vec<String>,
        /// Ambient set.
        ambient: Vec<String>,
    }
}

/// One resource limit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Rlimit {
    /// `RLIMIT_NOFILE` and so on.
    #[serde(rename = "type")]
    pub kind: String,
    /// Soft limit.
    pub soft: u64,
    /// Hard limit.
    pub hard: u64,
}

data! {
    /// `sched_setattr(2)`.
    Scheduler {
        /// `SCHED_OTHER` and so on.
        policy: String,
        /// Nice value.
        nice: i32,
        /// Real-time priority.
        priority: i32,
        /// `SCHED_FLAG_…`.
        flags: Vec<String>,
        /// Deadline runtime in ns.
        runtime: u64,
        /// Deadline in ns.
        deadline: u64,
        /// Deadline period in ns.
        period: u64,
    }
}

data! {
    /// `ioprio_set(2)`.
    IoPriority {
        /// `IOPRIO_CLASS_RT`, `IOPRIO_CLASS_BE` or `IOPRIO_CLASS_IDLE`.
        class: String,
        /// 0 to 7.
        priority: i32,
    }
}

data! {
    /// CPU affinity of an exec'd process.
    CpuAffinity {
        /// Before the move to the cgroup.
        initial: Option<String>,
        /// After it.
        #[serde(rename = "final")]
        r#final: Option<String>,
    }
}
