//! How a command fails: the message, and the exit code where it is not the command's usual one.

use carboy_engine::{Error, error_chain};
use std::fmt;

/// A command's failure.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The engine said so.
    Engine(Error),
    /// A mistake in the arguments: exit code 125.
    Usage(String),
    /// Anything else.
    Other(anyhow::Error),
    /// Another exit code than the command's usual one.
    WithCode(Box<Failure>, i32),
    /// Whoever read our output went away: nothing is said.
    BrokenPipe,
}

/// A command's exit code, or its failure.
pub(crate) type Outcome = Result<i32, Failure>;

impl Failure {
    /// The exit code, if the failure decides it.
    pub(crate) fn code(&self) -> Option<i32> {
        match self {
            Failure::Usage(_) => Some(125),
            Failure::WithCode(_, code) => Some(*code),
            _ => None,
        }
    }

    pub(crate) fn with_code(self, code: i32) -> Self {
        Failure::WithCode(Box::new(self), code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Engine(error) => f.write_str(&error.chain()),
            Failure::Usage(message) => f.write_str(message),
            Failure::Other(error) => f.write_str(&error_chain(error.as_ref())),
            Failure::WithCode(failure, _) => failure.fmt(f),
            Failure::BrokenPipe => f.write_str("broken pipe"),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Engine(error)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        let broken = error.chain().any(|cause| {
            cause.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
        });
        if broken { Failure::BrokenPipe } else { Failure::Other(error) }
    }
}

impl From<carboy_image::ImageError> for Failure {
    fn from(error: carboy_image::ImageError) -> Self {
        Failure::Engine(error.into())
    }
}

/// An error of writing to standard output.
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        anyhow::Error::new(error).context("write to standard output").into()
    }
}

/// A [`Failure::Usage`].
pub(crate) fn usage(message: impl Into<String>) -> Failure {
    Failure::Usage(message.into())
}
