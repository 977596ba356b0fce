//! What can go wrong in the monitor, and how a chain of causes becomes one line.

use carboy_state::file::FileError;
use rustix::io::Errno;
use std::error::Error as StdError;
use std::path::Path;

/// A failed operation with its cause.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A call to the kernel failed.
    #[error("{operation}")]
    Call {
        /// What was done to what.
        operation: String,
        /// The kernel's answer.
        #[source]
        source: std::io::Error,
    },
    /// A record could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The runtime refused; its own words, and the exit code that stands for them.
    #[error("{message}")]
    Runtime { message: String, code: i32 },
    /// The configuration or the command line makes no sense.
    #[error("{0}")]
    Invalid(String),
}

/// Exit code when the container could not be made, for a reason other than its program.
pub(crate) const NOT_MADE: i32 = 125;

impl Error {
    /// Names an operation of an I/O error, for `map_err`.
    pub(crate) fn io(operation: impl Into<String>) -> impl FnOnce(std::io::Error) -> Error {
        let operation = operation.into();
        move |source| Error::Call { operation, source }
    }

    /// Names an operation of a kernel error, for `map_err`.
    pub(crate) fn call(operation: impl Into<String>) -> impl FnOnce(Errno) -> Error {
        let operation = operation.into();
        move |source| Error::Call { operation, source: source.into() }
    }

    /// Names an operation on a path, for `map_err`.
    pub(crate) fn at(operation: &str, path: &Path) -> impl FnOnce(Errno) -> Error {
        Error::call(format!("{operation} {}", path.display()))
    }

    /// 125, 126 or 127, as `docker run` exits.
    pub(crate) fn exit_code(&self) -> i32 {
        match self {
            Error::Runtime { code, .. } => *code,
            _ => NOT_MADE,
        }
    }
}

/// The whole chain on one line, joined by ": ". A cause that its parent has already spelled out at its end is not repeated.
pub(crate) fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.ends_with(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_names_each_cause_once() {
        let file = FileError::at("read", Path::new("/x"))(Errno::NOENT.into());
        let text = chain(&Error::from(file));
        assert_eq!(text.matches("No such file").count(), 1, "{text}");
        assert!(text.starts_with("read /x: "));
        let call = Error::at("mount overlay on", Path::new("/y"))(Errno::PERM);
        assert!(chain(&call).starts_with("mount overlay on /y: Operation not permitted"));
    }
}
