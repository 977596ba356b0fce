//! CRIU's RPC: `criu swrk`, a process of ours that dumps or restores what it is told to over a socket, and says how far it is.
//!
//! ```text
//!   ours → CRIU   request: DUMP, PRE_DUMP or RESTORE, options
//!   CRIU → ours   NOTIFY script [pid] [descriptor]      as often as there are moments of interest
//!   ours → CRIU   NOTIFY done, or not: it gives up
//!   CRIU → ours   success [pid]
//! ```
//!
//! The numbers of fields are those of criu's `rpc.proto`.

use super::message::{Message, Value, fields};
use super::{failure, find};
use crate::error::{Context, Result};
use carboy_sys::exec::StringList;
use carboy_sys::spawn::{Spawn, spawn};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, WaitOptions, waitpid};
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Fields of `criu_opts`.
pub mod option {
    /// Descriptor of the images' folder, in the process that asks.
    pub const IMAGES_DIR_FD: u32 = 1;
    pub const PID: u32 = 2;
    pub const LEAVE_RUNNING: u32 = 3;
    pub const EXT_UNIX_SK: u32 = 4;
    pub const TCP_ESTABLISHED: u32 = 5;
    /// For programs of the caller's session, or at the caller's terminal. It changes nothing for a container's, and is passed on for what other
    /// versions of CRIU may do with it: init leads a session of its own, a process of another is refused with it as without it (3.17), and of
    /// a terminal the other end is handed over ([`ORPHAN_PTS_MASTER`]), which takes precedence.
    pub const SHELL_JOB: u32 = 7;
    pub const FILE_LOCKS: u32 = 8;
    pub const LOG_LEVEL: u32 = 9;
    /// Its name in the folder of [`WORK_DIR_FD`].
    pub const LOG_FILE: u32 = 10;
    /// `criu_page_server_info`: 1 the address, 2 the port.
    pub const PS: u32 = 11;
    pub const NOTIFY_SCRIPTS: u32 = 12;
    pub const ROOT: u32 = 13;
    /// Relative to the images.
    pub const PARENT_IMG: u32 = 14;
    pub const TRACK_MEM: u32 = 15;
    pub const AUTO_DEDUP: u32 = 16;
    pub const WORK_DIR_FD: u32 = 17;
    pub const LINK_REMAP: u32 = 18;
    /// `cgroup_root`: 1 the controllers, 2 the path.
    pub const CG_ROOT: u32 = 25;
    /// The restored init is a child of the process that asks.
    pub const RST_SIBLING: u32 = 26;
    /// `inherit_fd`: 1 what it is in the images, 2 its number.
    pub const INHERIT_FD: u32 = 27;
    pub const MANAGE_CGROUPS_MODE: u32 = 34;
    pub const EXTERNAL: u32 = 37;
    /// Flags of clone(2).
    pub const EMPTY_NS: u32 = 38;
    pub const FREEZE_CGROUP: u32 = 44;
    pub const TCP_SKIP_IN_FLIGHT: u32 = 46;
    pub const LAZY_PAGES: u32 = 48;
    /// A descriptor of the process that asks.
    pub const STATUS_FD: u32 = 49;
    pub const ORPHAN_PTS_MASTER: u32 = 50;
    pub const CONFIG_FILE: u32 = 51;
    pub const TCP_CLOSE: u32 = 52;
    pub const LSM_PROFILE: u32 = 53;
    pub const LSM_MOUNT_CONTEXT: u32 = 63;
}

/// What is asked for: a `criu_req_type`, and its name in logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Dump = 1,
    Restore = 2,
    PreDump = 4,
}

impl Verb {
    /// CRIU's log, in the folder of logs.
    pub fn log(self) -> &'static str {
        if self == Verb::Restore { "restore.log" } else { "dump.log" }
    }
}

/// `criu_req_type`.
const NOTIFY: u64 = 6;

/// The number that the socket has at CRIU.
const SOCKET: i32 = 3;

/// What CRIU says on its way.
#[derive(Debug)]
pub struct Moment {
    /// `pre-restore`, `setup-namespaces`, `post-restore`, `orphan-pts-master` and others.
    pub name: String,
    /// The restored init, at those moments at which CRIU names it.
    pub pid: Option<i32>,
    /// The terminal's master, at `orphan-pts-master`.
    pub descriptor: Option<OwnedFd>,
}

/// A CRIU that waits for its request.
#[derive(Debug)]
pub struct Worker {
    socket: OwnedFd,
    pid: Pid,
    verb: Verb,
    work: PathBuf,
    /// The folders of images and of logs: CRIU opens them through this process.
    folders: [OwnedFd; 2],
}

/// What came: a message and a descriptor with it.
type Received = (Vec<u8>, Option<OwnedFd>);

impl Worker {
    /// Starts it, with the folders of images and of logs, and with descriptors and their numbers there.
    pub fn start(
        program: &Path,
        verb: Verb,
        images: &Path,
        work: &Path,
        more: &[(BorrowedFd<'_>, i32)],
    ) -> Result<Worker> {
        let program = find(program)?;
        let folders = [open_folder(images)?, open_folder(work)?];
        let (socket, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .context(|| "socketpair")?;
        let args = StringList::new(vec![c"criu".into(), c"swrk".into(), c"3".into()]);
        let path = CString::new(program.as_os_str().as_bytes()).unwrap_or_default();
        let mut fds = vec![(theirs.as_fd(), SOCKET)];
        fds.extend_from_slice(more);
        let what = || format!("execute {}", program.display());
        let pid = spawn(&Spawn { path: &path, args: &args, env: None, fds: &fds }).context(what)?;
        // What an earlier call said is not what this one says.
        let _ = std::fs::remove_file(work.join(verb.log()));
        Ok(Worker { socket, pid, verb, work: work.to_owned(), folders })
    }

    /// It, before and while it works.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Has it work; `tell` hears of each moment, and its error ends the matter. Returns a restored init's PID.
    pub fn run(self, mut options: Message, mut tell: impl FnMut(Moment) -> Result<()>) -> Result<Option<i32>> {
        options.number(option::IMAGES_DIR_FD, self.folders[0].as_raw_fd() as u64);
        options.number(option::WORK_DIR_FD, self.folders[1].as_raw_fd() as u64);
        options.number(option::LOG_LEVEL, 4);
        options.text(option::LOG_FILE, self.verb.log());
        options.number(option::NOTIFY_SCRIPTS, 1);
        options.number(option::ORPHAN_PTS_MASTER, 1);
        let mut request = Message::default();
        request.number(1, self.verb as u64);
        request.nested(2, &options);
        let mut refused = None;
        let result = self.converse(&request, |moment| {
            let told = tell(moment);
            let good = told.is_ok();
            refused = refused.take().or(told.err());
            good
        });
        match (refused, result?) {
            (Some(error), _) => Err(error),
            (None, Some(pid)) => Ok(pid),
            (None, None) => Err(failure(self.verb, &self.work.join(self.verb.log()))),
        }
    }

    /// The PID if there is one; none at all if CRIU failed.
    fn converse(&self, request: &Message, mut tell: impl FnMut(Moment) -> bool) -> Result<Option<Option<i32>>> {
        self.send(request)?;
        while let Some((bytes, descriptor)) = self.receive()? {
            let number = |field| number(&bytes, field);
            if number(1) == Some(NOTIFY) {
                let good = tell(moment(&bytes, descriptor));
                let mut answer = Message::default();
                answer.number(1, NOTIFY);
                answer.number(3, good.into());
                self.send(&answer)?;
                continue;
            }
            let success = number(1) == Some(self.verb as u64) && number(2) == Some(1);
            let pid = nested(&bytes, 4).and_then(|restored| self::number(restored, 1));
            return Ok(success.then_some(pid.map(|pid| pid as i32)));
        }
        Ok(None)
    }

    fn send(&self, message: &Message) -> Result<()> {
        match crate::channel::send_with_fds(self.socket.as_fd(), message.as_bytes(), &[]) {
            // It has gone; its log says why.
            Err(Errno::PIPE | Errno::CONNRESET) => Ok(()),
            result => result.context(|| "sendmsg to criu"),
        }
    }

    /// The next message; none if CRIU has gone.
    fn receive(&self) -> Result<Option<Received>> {
        let mut bytes = vec![0; 65536];
        let (length, mut fds) = match crate::channel::receive_with_fds(self.socket.as_fd(), &mut bytes) {
            Err(Errno::CONNRESET) => return Ok(None),
            result => result.context(|| "recvmsg from criu")?,
        };
        bytes.truncate(length);
        Ok((length > 0).then_some((bytes, fds.pop())))
    }
}

fn open_folder(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).context(|| format!("open {}", path.display()))
}

fn number(message: &[u8], field: u32) -> Option<u64> {
    fields(message).find_map(|(number, value)| match value {
        Value::Number(value) if number == field => Some(value),
        _ => None,
    })
}

fn nested(message: &[u8], field: u32) -> Option<&[u8]> {
    fields(message).find_map(|(number, value)| match value {
        Value::Bytes(value) if number == field => Some(value),
        _ => None,
    })
}

/// `criu_notify`: 1 the name, 2 the PID.
fn moment(response: &[u8], descriptor: Option<OwnedFd>) -> Moment {
    let notice = nested(response, 5).unwrap_or_default();
    let name = String::from_utf8_lossy(nested(notice, 1).unwrap_or_default()).into_owned();
    Moment { name, pid: number(notice, 2).map(|pid| pid as i32), descriptor }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // One that never got its request waits for it.
        let _ = rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Both);
        let _ = waitpid(Some(self.pid), WaitOptions::empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_are_understood() {
        let mut notice = Message::default();
        notice.text(1, "setup-namespaces");
        notice.number(2, 77);
        let mut response = Message::default();
        response.number(1, NOTIFY);
        response.number(2, 1);
        response.nested(5, &notice);
        let moment = moment(response.as_bytes(), None);
        assert_eq!((moment.name.as_str(), moment.pid), ("setup-namespaces", Some(77)));
    }

    #[test]
    fn a_worker_that_goes_away_is_a_failure_with_its_log() {
        let dir = tempfile::tempdir().unwrap();
        let worker = Worker::start(Path::new("/bin/false"), Verb::Restore, dir.path(), dir.path(), &[]).unwrap();
        let said = worker.run(Message::default(), |_| Ok(())).unwrap_err().to_string();
        assert!(said.contains("criu failed: type RESTORE") && said.contains("restore.log"), "{said}");
    }
}
