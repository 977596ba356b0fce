//! The last steps: working directory, program, `start`.

use super::{Init, tree};
use crate::error::{Context, Error, Result};
use crate::step::Program;
use carboy_sys::exec::{StringList, execve};
use carboy_sys::{process, signal};
use rustix::fs::{Access, AtFlags, CWD, FileType, OFlags, accessat};
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};
use std::ffi::CString;
use std::os::fd::AsFd;

const NOT_FOUND: &str = "executable file not found in $PATH";

impl Init<'_> {
    /// Closes all that is open but the sockets by which this process is heard and the root's, which is where it stands: execve does so only
    /// once it has looked up the program, and its interpreter.
    pub fn close_descriptors(&mut self, preserved: u32) -> Result<()> {
        // Their owners: none may close what has another's number by then.
        std::mem::forget([self.proc.take(), self.null.take(), self.shared_root.take()]);
        let channel = self.inheritance.channel.as_fd();
        let others = [&self.inheritance.start_socket, &self.root].into_iter().flatten().map(AsFd::as_fd);
        let keep: Vec<_> = [channel].into_iter().chain(others).collect();
        process::close_all_but(3 + preserved, &keep).context(|| "close_range")
    }

    /// Enters the working directory, perhaps made if missing, which no link may lead out of the root (CVE-2024-21626).
    pub fn enter_directory(&mut self, path: &str, make: bool) -> Result<()> {
        match self.try_enter(path, make)? {
            // What root may not enter its user perhaps may (a network file system): tried again with its identity.
            Err(Errno::ACCESS) => self.cwd_pending = Some(path.to_owned()),
            result => result.context(|| chdir_failed(path))?,
        }
        Ok(())
    }

    /// Enters a directory that only its user may enter.
    pub fn enter_pending_directory(&mut self) -> Result<()> {
        let Some(path) = self.cwd_pending.take() else { return Ok(()) };
        self.try_enter(&path, false)?.context(|| chdir_failed(&path))
    }

    fn try_enter(&self, path: &str, make: bool) -> Result<Result<(), Errno>> {
        let root = self.root()?;
        if path == "/" {
            return Ok(if self.at_root { Ok(()) } else { rustix::process::fchdir(root) });
        }
        let fd = match tree::open(root, path, OFlags::PATH | OFlags::DIRECTORY) {
            Err(Errno::NOENT) if make => tree::find_or_make(root, path, tree::Want::Directory)?,
            Err(e) => return Ok(Err(e)),
            Ok(fd) => fd,
        };
        Ok(rustix::process::fchdir(&fd))
    }

    /// Finds the program as execvp(3) does, with the program's own identity. The messages are those that callers map to exit statuses.
    pub fn find_program(&mut self, name: &str, path: &str) -> Result<()> {
        let mut denied = false;
        let direct = name.contains('/');
        let candidates = if direct { "" } else { path };
        for directory in candidates.split(':') {
            let candidate = match (direct, directory) {
                (true, _) => name.to_owned(),
                (false, "") => format!("./{name}"),
                (false, directory) => format!("{}/{name}", directory.trim_end_matches('/')),
            };
            match accessat(CWD, candidate.as_str(), Access::EXEC_OK, AtFlags::EACCESS) {
                Ok(()) if is_file(&candidate) => {
                    self.program = CString::new(candidate).ok();
                    return Ok(());
                }
                Ok(()) | Err(Errno::ACCESS) => denied = true,
                Err(_) => {}
            }
        }
        let reason = match (denied, direct) {
            (true, _) => "permission denied",
            (false, true) => "no such file or directory",
            (false, false) => NOT_FOUND,
        };
        Err(Error::Program(name.to_owned(), reason))
    }

    /// Waits for `start` to connect. It hears from this process until the program runs.
    pub fn await_start(&mut self) -> Result<()> {
        let Some(socket) = &self.inheritance.start_socket else {
            return Err(Error::Other("there is nothing to wait on for start".into()));
        };
        loop {
            match accept_with(socket, SocketFlags::CLOEXEC) {
                Ok(starter) => {
                    self.starter = Some(starter);
                    return Ok(());
                }
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(e) => return Err(e).context(|| "accept start"),
            }
        }
    }

    /// Executes the program. Returns only if that fails.
    pub fn execute(&mut self, program: &Program) -> Error {
        let name = program.args.first().cloned().unwrap_or_default();
        let Err(errno) = self.try_execute(program);
        match (errno, &self.label) {
            // Perhaps because SELinux's policy denies the program this label.
            (Errno::ACCESS | Errno::PERM, Some(label)) => {
                Error::Kernel { what: format!("exec: {name:?} as process.selinuxLabel {label:?}"), source: errno }
            }
            (Errno::ACCESS, None) => Error::Program(name, "permission denied"),
            (Errno::NOENT, _) => Error::Program(name, "no such file or directory"),
            (Errno::NOEXEC, _) => Error::Program(name, "exec format error"),
            _ => Error::Kernel { what: format!("exec: {name:?}"), source: errno },
        }
    }

    fn try_execute(&mut self, program: &Program) -> Result<std::convert::Infallible, Errno> {
        let strings = |list: &[String], more: Option<String>| {
            let strings = list.iter().map(String::as_str).chain(more.as_deref());
            strings.map(CString::new).collect::<Result<Vec<_>, _>>().map(StringList::new).map_err(|_| Errno::INVAL)
        };
        let args = strings(&program.args, None)?;
        let has_home = program.env.iter().any(|entry| entry.starts_with("HOME="));
        let env = strings(&last_of_each(&program.env), (!has_home).then(|| format!("HOME={}", self.home_directory())))?;
        let path = self.program.take().ok_or(Errno::NOENT)?;
        if let Some(limit) = self.late_limit.take() {
            rustix::process::setrlimit(rustix::process::Resource::Nofile, limit)?;
        }
        // Rust ignores SIGPIPE; what is ignored stays so over execve.
        signal::set_default(13)?;
        signal::set_mask(signal::Mask::EMPTY)?;
        Err(execve(&path, &args, &env))
    }

    /// The user's home by the container's /etc/passwd, or `/`.
    fn home_directory(&self) -> String {
        if let Some(home) = &self.home {
            return home.clone();
        }
        let text = self.read_in_root("/etc/passwd").unwrap_or_default();
        let home = text.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.nth(2)?.parse() == Ok(self.uid)).then(|| fields.nth(2)).flatten()
        });
        home.filter(|home| home.starts_with('/')).unwrap_or("/").to_owned()
    }

    fn read_in_root(&self, path: &str) -> Option<String> {
        // No device or FIFO of an image may keep this process waiting.
        let fd = tree::open(self.root().ok()?, path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY).ok()?;
        let stat = rustix::fs::fstat(fd.as_fd()).ok()?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || stat.st_size > 1 << 20 {
            return None;
        }
        std::io::read_to_string(std::fs::File::from(fd)).ok()
    }
}

fn chdir_failed(path: &str) -> String {
    format!("chdir to cwd ({path:?}) set in config.json failed")
}

/// Of entries with the same name only the last counts, as in runc; a program would see the first.
fn last_of_each(env: &[String]) -> Vec<String> {
    let mut seen = std::collections::BTreeSet::new();
    let last = env.iter().rev().filter(|entry| seen.insert(entry.split('=').next()));
    let mut kept: Vec<String> = last.cloned().collect();
    kept.reverse();
    kept
}

fn is_file(path: &str) -> bool {
    let stat = rustix::fs::statat(CWD, path, AtFlags::empty());
    stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) != FileType::Directory)
}

#[cfg(test)]
mod tests {
    use super::last_of_each;

    #[test]
    fn the_last_of_a_variable_counts() {
        let strings = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(last_of_each(&strings(&["A=1", "B=2", "A=3", "C", "B="])), strings(&["A=3", "C", "B="]));
    }
}
