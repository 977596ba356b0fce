//! What can be wrong with a profile; every message begins with the field.

/// A profile that cannot be compiled.
#[derive(Debug, thiserror::Error)]
pub enum SeccompError {
    /// An unknown word in a field with a closed set of values.
    #[error("{field}: unknown value {value:?}")]
    Unknown {
        /// The field, such as `linux.seccomp.defaultAction`.
        field: String,
        /// What it says.
        value: String,
    },
    /// A value that the field may not have.
    #[error("{field}: {reason}")]
    Invalid {
        /// The field.
        field: String,
        /// Why not.
        reason: String,
    },
    /// The kernel takes at most 4096 instructions (`BPF_MAXINSNS`).
    #[error("linux.seccomp.syscalls: the filter has {0} instructions, the kernel takes at most 4096")]
    TooLong(usize),
    /// A Docker profile that is not JSON of its shape.
    #[error("seccomp profile: {0}")]
    Json(#[from] serde_json::Error),
}

impl SeccompError {
    pub(crate) fn unknown(field: impl Into<String>, value: &str) -> Self {
        SeccompError::Unknown { field: field.into(), value: value.to_owned() }
    }

    pub(crate) fn invalid(field: impl Into<String>, reason: impl Into<String>) -> Self {
        SeccompError::Invalid { field: field.into(), reason: reason.into() }
    }
}
