//! The system call filter, as it is configured.

use super::Names;

data! {
    /// System call filter.
    Seccomp {
        /// `SCMP_ACT_…` for what no rule names.
        default_action: String,
        /// errno of the default action.
        default_errno_ret: Option<u32>,
        /// `SCMP_ARCH_…`.
        architectures: Vec<String>,
        /// `SECCOMP_FILTER_FLAG_…`.
        flags: Vec<String>,
        /// Socket to which the notify descriptor is sent.
        listener_path: Option<String>,
        /// Passed on to the listener.
        listener_metadata: Option<String>,
        /// Rules.
        syscalls: Vec<SeccompRule>,
    }
}

data! {
    /// One filter rule.
    SeccompRule {
        /// System call names.
        names: Names,
        /// `SCMP_ACT_…`.
        action: String,
        /// errno of the action.
        errno_ret: Option<u32>,
        /// Argument comparisons, all of which must hold.
        args: Vec<SeccompArg>,
    }
}

data! {
    /// One argument comparison.
    SeccompArg {
        /// 0 to 5.
        index: u32,
        /// Operand.
        value: u64,
        /// Second operand of a masked comparison.
        value_two: u64,
        /// `SCMP_CMP_…`.
        op: String,
    }
}
