//! The runtime's errors. Each names the operation and the object; the cause stays attached until it is printed.

use carboy_state::file::FileError;
use rustix::io::Errno;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line is wrong.
    #[error("{0}")]
    Usage(String),
    /// No such container. The words are runc's, which callers look for.
    #[error("container does not exist")]
    NotFound,
    /// The ID is taken. The words are runc's.
    #[error("container with given ID already exists")]
    Exists,
    /// The container is not in a state that permits the operation.
    #[error("{0}")]
    State(String),
    /// The configuration holds a value that cannot be honoured.
    #[error("config.json: {field}: {reason}")]
    Invalid {
        /// Path of the field, such as `linux.namespaces[2].type`.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A system call failed.
    #[error("{what}: {source}")]
    Kernel {
        /// System call and object, such as `openat2 /etc`.
        what: String,
        /// The kernel's answer.
        source: Errno,
    },
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The cgroup part.
    #[error("{}", chain(.0))]
    Cgroup(#[from] carboy_cgroup::CgroupError),
    /// The filter part.
    #[error("{}", chain(.0))]
    Seccomp(#[from] carboy_seccomp::SeccompError),
    /// The program is not there (runc's words: callers map them to exit status 127).
    #[error("exec: {0:?}: {1}")]
    Program(String, &'static str),
    /// A step failed.
    #[error("{step}: {source}")]
    Step {
        /// Its name.
        step: String,
        /// Why.
        source: Box<Error>,
    },
    /// A hook after the end failed, which does not change what is done.
    #[error("{0}")]
    Afterwards(Box<Error>),
    /// What the process inside reported: already the whole chain, as text.
    #[error("{0}")]
    Init(String),
    /// A failure of something other than a system call.
    #[error("{0}")]
    Other(String),
}

/// An error with all its causes, for those that do not print them themselves.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// A message with the kernel's answers in the words of C's and Go's programs, by which callers choose exit statuses: `no such file or
/// directory` where Rust writes `No such file or directory (os error 2)`.
pub fn in_callers_words(message: &str) -> String {
    const MARK: &str = " (os error ";
    let (mut out, mut rest) = (String::with_capacity(message.len()), message);
    while let Some(at) = rest.find(MARK) {
        let after = &rest[at + MARK.len()..];
        let number = after.split_once(')').and_then(|(number, _)| number.parse().ok());
        let answer = number.map(|number| std::io::Error::from_raw_os_error(number).to_string());
        let end = at + MARK.len() + after.find(')').map_or(0, |at| at + 1);
        match answer.filter(|answer| rest[..end].ends_with(answer.as_str())) {
            Some(answer) => {
                let words = answer[..answer.len() - (end - at)].to_owned();
                out.push_str(&rest[..end - answer.len()]);
                out.extend(words.chars().take(1).flat_map(char::to_lowercase).chain(words.chars().skip(1)));
            }
            None => out.push_str(&rest[..end]),
        }
        rest = &rest[end..];
    }
    out + rest
}

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Whether the container's cgroup turned out to be somebody else's.
    pub fn is_cgroup_in_use(&self) -> bool {
        match self {
            Error::Step { source, .. } => source.is_cgroup_in_use(),
            Error::Cgroup(error) => error.is_in_use(),
            _ => false,
        }
    }

    /// Whether a cgroup could not be made where its hierarchy was taken to be mounted.
    pub fn is_cgroup_missing(&self) -> bool {
        match self {
            Error::Step { source, .. } => source.is_cgroup_missing(),
            Error::Cgroup(error) => error.is_missing(),
            _ => false,
        }
    }

    /// A value of the configuration that cannot be honoured.
    pub fn invalid(field: impl Into<String>, reason: impl Into<String>) -> Error {
        Error::Invalid { field: field.into(), reason: reason.into() }
    }
}

/// Names the operation of a failed system call.
pub trait Context<T> {
    /// `what` is built only on failure.
    fn context<S: Into<String>>(self, what: impl FnOnce() -> S) -> Result<T>;
}

impl<T> Context<T> for std::result::Result<T, Errno> {
    fn context<S: Into<String>>(self, what: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|source| Error::Kernel { what: what().into(), source })
    }
}

impl<T> Context<T> for std::io::Result<T> {
    fn context<S: Into<String>>(self, what: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|e| match Errno::from_io_error(&e) {
            Some(source) => Error::Kernel { what: what().into(), source },
            None => Error::Other(format!("{}: {e}", what().into())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::in_callers_words;

    #[test]
    fn answers_of_the_kernel_are_in_lower_case() {
        let error = |number| std::io::Error::from_raw_os_error(number);
        for (message, words) in [
            (format!("open /x: {}", error(2)), "open /x: no such file or directory"),
            (format!("{}: and {}.", error(1), error(13)), "operation not permitted: and permission denied."),
            ("Plain".into(), "Plain"),
            ("Other words (os error 2)".into(), "Other words (os error 2)"),
            ("cut (os error ".into(), "cut (os error "),
        ] {
            assert_eq!(in_callers_words(&message), words);
        }
    }
}
