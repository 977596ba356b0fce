//! posix_spawn(3): starting a program without copying this process.
//!
//! glibc's implementation is `clone(CLONE_VM | CLONE_VFORK)`: the child borrows this address space until it executes, so the cost does
//! not grow with the caller's memory, and a failing `execve` is reported here rather than by an exit status.

use crate::exec::StringList;
use rustix::io::Errno;
use rustix::process::Pid;
use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// What to start. The child has no signal blocked and every signal at its default, and of this process's descriptors those in `fds`
/// and those without close-on-exec.
#[derive(Debug)]
pub struct Spawn<'a> {
    /// The executable; `PATH` is not searched.
    pub path: &'a CStr,
    /// Its arguments, the program's name first.
    pub args: &'a StringList,
    /// Its environment; this process's own if `None`.
    pub env: Option<&'a StringList>,
    /// Descriptors given to it: ours, and the number that it has in the child. Any order and overlap will do.
    pub fds: &'a [(BorrowedFd<'a>, i32)],
}

/// Starts a program and returns once it is executing. The caller must wait for the child.
pub fn spawn(what: &Spawn<'_>) -> Result<Pid, Errno> {
    let mut actions = Actions::new()?;
    // A dup2 onto a number that is itself a source still to come would lose it: such sources are copied out of the way.
    let first_free = what.fds.iter().map(|(_, number)| number + 1).max().unwrap_or(0);
    let mut moved: Vec<OwnedFd> = Vec::new();
    for (fd, number) in what.fds {
        if fd.as_raw_fd() >= first_free {
            actions.add_dup2(fd.as_raw_fd(), *number)?;
        } else {
            let copy = duplicate_above(*fd, first_free)?;
            actions.add_dup2(copy.as_raw_fd(), *number)?;
            moved.push(copy);
        }
    }
    let attributes = Attributes::with_signals_reset()?;
    let env = what.env.map_or(own_environment(), StringList::as_ptr);
    let mut pid: libc::pid_t = 0;
    // SAFETY: path, arguments and environment end with null as `CStr` and `StringList` guarantee and outlive the call; actions and
    // attributes are initialised.
    let code = unsafe {
        libc::posix_spawn(
            &raw mut pid,
            what.path.as_ptr(),
            actions.0.as_ptr(),
            attributes.0.as_ptr(),
            what.args.as_ptr().cast(),
            env.cast(),
        )
    };
    succeeded(code)?;
    Pid::from_raw(pid).ok_or(Errno::SRCH)
}

fn own_environment() -> *const *const libc::c_char {
    unsafe extern "C" {
        static environ: *const *const libc::c_char;
    }
    // SAFETY: the C library's own variable; only its value is read.
    unsafe { environ }
}

fn duplicate_above(fd: BorrowedFd<'_>, first: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: makes a new descriptor, which nobody else owns.
    let copy = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, first) };
    // SAFETY: as above; checked before it is used.
    crate::check(copy.into()).map(|copy| unsafe { OwnedFd::from_raw_fd(copy as i32) })
}

fn succeeded(code: libc::c_int) -> Result<(), Errno> {
    if code == 0 { Ok(()) } else { Err(Errno::from_raw_os_error(code)) }
}

struct Actions(MaybeUninit<libc::posix_spawn_file_actions_t>);

impl Actions {
    fn new() -> Result<Self, Errno> {
        let mut actions = MaybeUninit::uninit();
        // SAFETY: initialises the memory it is given.
        succeeded(unsafe { libc::posix_spawn_file_actions_init(actions.as_mut_ptr()) })?;
        Ok(Actions(actions))
    }

    fn add_dup2(&mut self, from: i32, to: i32) -> Result<(), Errno> {
        // SAFETY: initialised by `new`.
        succeeded(unsafe { libc::posix_spawn_file_actions_adddup2(self.0.as_mut_ptr(), from, to) })
    }
}

impl Drop for Actions {
    fn drop(&mut self) {
        // SAFETY: initialised by `new`, and not used again.
        unsafe { libc::posix_spawn_file_actions_destroy(self.0.as_mut_ptr()) };
    }
}

struct Attributes(MaybeUninit<libc::posix_spawnattr_t>);

impl Attributes {
    fn with_signals_reset() -> Result<Self, Errno> {
        let mut attributes = MaybeUninit::uninit();
        // SAFETY: initialises the memory it is given.
        succeeded(unsafe { libc::posix_spawnattr_init(attributes.as_mut_ptr()) })?;
        let mut attributes = Attributes(attributes);
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        let flags = (libc::POSIX_SPAWN_SETSIGMASK | libc::POSIX_SPAWN_SETSIGDEF) as libc::c_short;
        let pointer = attributes.0.as_mut_ptr();
        // SAFETY: the attributes are initialised; the set is initialised by sigemptyset and sigfillset before each use.
        unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            succeeded(libc::posix_spawnattr_setsigmask(pointer, set.as_ptr()))?;
            libc::sigfillset(set.as_mut_ptr());
            succeeded(libc::posix_spawnattr_setsigdefault(pointer, set.as_ptr()))?;
            succeeded(libc::posix_spawnattr_setflags(pointer, flags))?;
        }
        Ok(attributes)
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: initialised by `with_signals_reset`, and not used again.
        unsafe { libc::posix_spawnattr_destroy(self.0.as_mut_ptr()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{WaitOptions, waitpid};
    use std::ffi::CString;
    use std::io::Read;
    use std::os::fd::AsFd;

    fn strings(items: &[&str]) -> StringList {
        StringList::new(items.iter().map(|s| CString::new(*s).unwrap()).collect())
    }

    #[test]
    fn descriptors_arrive_under_their_numbers_whatever_they_were() {
        let (first_in, first_out) = std::io::pipe().unwrap();
        let (second_in, second_out) = std::io::pipe().unwrap();
        let args = strings(&["sh", "-c", "echo one >&3; echo two >&4; echo $X >&4"]);
        let env = strings(&["X=three"]);
        // Crossed on purpose: whatever the numbers of the pipes, one of them is likely to be a target of the other.
        let fds = [(first_out.as_fd(), 3), (second_out.as_fd(), 4)];
        let pid = spawn(&Spawn { path: c"/bin/sh", args: &args, env: Some(&env), fds: &fds }).unwrap();
        drop((first_out, second_out));
        let read = |mut pipe: std::io::PipeReader| {
            let mut text = String::new();
            pipe.read_to_string(&mut text).unwrap();
            text
        };
        assert_eq!((read(first_in), read(second_in)), ("one\n".into(), "two\nthree\n".into()));
        let (_, status) = waitpid(Some(pid), WaitOptions::empty()).unwrap().unwrap();
        assert_eq!(status.exit_status(), Some(0));
    }

    #[test]
    fn a_missing_program_is_an_error_here() {
        let args = strings(&["x"]);
        let result = spawn(&Spawn { path: c"/does/not/exist", args: &args, env: None, fds: &[] });
        assert_eq!(result.unwrap_err(), Errno::NOENT);
    }
}
