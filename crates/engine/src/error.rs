//! What can go wrong, in the few kinds that front ends translate.
//!
//! Wording follows Docker's where scripts match it (`No such container: x`). Every cause is kept as a source.

use carboy_state::file::FileError;
use std::io;
use std::path::{Path, PathBuf};

/// The kinds that a front end maps to an exit code, an HTTP status or a gRPC code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// What was named does not exist.
    NotFound,
    /// It exists, but its state or a name forbids the operation.
    Conflict,
    /// The request itself cannot be served.
    InvalidArgument,
    /// The caller may not.
    PermissionDenied,
    /// Something needed is not there: a kernel feature, a program, the network.
    Unavailable,
    /// Everything else.
    Internal,
}

/// An engine operation's failure.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No container has this ID, prefix or name.
    #[error("No such container: {0}")]
    NoSuchContainer(String),
    /// No image has this ID, prefix or name.
    #[error("No such image: {0}")]
    NoSuchImage(String),
    /// No volume has this name.
    #[error("No such volume: {0}")]
    NoSuchVolume(String),
    /// Another container has the name.
    #[error(
        "Conflict. The container name \"/{name}\" is already in use by container \"{id}\". You have to remove (or rename) that \
         container to be able to reuse that name."
    )]
    NameInUse {
        /// The name.
        name: String,
        /// Who has it.
        id: String,
    },
    /// An ID prefix fits several objects.
    #[error("Multiple IDs found with provided prefix: {0}")]
    Ambiguous(String),
    /// The state forbids it.
    #[error("{0}")]
    Conflict(String),
    /// The request cannot be served.
    #[error("{0}")]
    Invalid(String),
    /// Something needed is missing.
    #[error("{0}")]
    Unavailable(String),
    /// A record could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A system call failed.
    #[error("{operation} {}: {source}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The image store said so.
    #[error(transparent)]
    Image(#[from] carboy_image::ImageError),
    /// The container was made but its program did not start; the message is the runtime's or the monitor's.
    #[error("{message}")]
    StartFailed {
        /// The cause, whole.
        message: String,
        /// 125, 126 or 127.
        code: i32,
    },
    /// A helper program ended badly.
    #[error("{program}: {message}")]
    Helper {
        /// Which.
        program: String,
        /// Its last words, or its exit status.
        message: String,
    },
    /// A value could not be read or written as JSON.
    #[error("{what}: {source}")]
    Json {
        /// Of what.
        what: &'static str,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// A cleanup went on past these errors.
    #[error("{}", list(.0))]
    Several(Vec<Error>),
}

/// The result of an engine operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Names the operation and the path of an I/O error, for `map_err`.
    pub(crate) fn at(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error + use<> {
        let path = path.to_owned();
        move |source| Error::Io { operation, path, source }
    }

    /// The same for rustix's errno.
    pub(crate) fn errno(operation: &'static str, path: &Path) -> impl FnOnce(rustix::io::Errno) -> Error + use<> {
        let path = path.to_owned();
        move |errno| Error::Io { operation, path, source: errno.into() }
    }

    /// Which kind it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::NoSuchContainer(_) | Error::NoSuchImage(_) | Error::NoSuchVolume(_) => ErrorKind::NotFound,
            Error::NameInUse { .. } | Error::Conflict(_) => ErrorKind::Conflict,
            Error::Invalid(_) | Error::Ambiguous(_) => ErrorKind::InvalidArgument,
            Error::Unavailable(_) => ErrorKind::Unavailable,
            Error::File(FileError { source, .. }) | Error::Io { source, .. } => io_kind(source),
            Error::Image(error) => image_kind(error),
            Error::Json { .. } | Error::Helper { .. } => ErrorKind::Internal,
            Error::StartFailed { code, .. } if *code != 125 => ErrorKind::InvalidArgument,
            Error::StartFailed { .. } => ErrorKind::Internal,
            Error::Several(all) => all.first().map_or(ErrorKind::Internal, Error::kind),
        }
    }

    /// The error and its causes on one line, without repeating what a message already holds.
    pub fn chain(&self) -> String {
        flat(self)
    }
}

/// An error and its causes on one line, without repeating what a message already holds.
pub fn flat(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

fn image_kind(error: &carboy_image::ImageError) -> ErrorKind {
    use carboy_image::ImageError;
    match error {
        ImageError::NotFound(_) => ErrorKind::NotFound,
        ImageError::Conflict(_) => ErrorKind::Conflict,
        ImageError::Ambiguous(_) | ImageError::Reference(_) => ErrorKind::InvalidArgument,
        ImageError::File(FileError { source, .. }) => io_kind(source),
        _ => ErrorKind::Internal,
    }
}

fn io_kind(error: &io::Error) -> ErrorKind {
    match error.kind() {
        io::ErrorKind::PermissionDenied => ErrorKind::PermissionDenied,
        _ => ErrorKind::Internal,
    }
}

fn list(errors: &[Error]) -> String {
    errors.iter().map(Error::chain).collect::<Vec<_>>().join("; ")
}
