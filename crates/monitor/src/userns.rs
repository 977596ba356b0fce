//! User namespaces: a new one for this process, with its maps, and joining a live one.
//!
//! The maps are written from outside (user_namespaces(7)): a child forked beforehand stays there for as long as that takes, so that
//! this very process, with its PID, is the one that moves, and nobody remains behind to forward signals or exit codes.

use crate::error::{Error, chain};
use crate::{detach, runtime};
use carboy_sys::clone::{Clone, clone3, flag};
use carboy_sys::spawn::{Spawn, spawn};
use carboy_sys::{namespace, process};
use carboy_wire::monitor::UserNamespace;
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, pidfd_open, waitid};
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Moves this process, which must have one thread, into a new user namespace, as its root if the maps have one.
pub(crate) fn enter_new(maps: &UserNamespace) -> Result<(), Error> {
    let pipe = || std::io::pipe().map_err(Error::io("pipe"));
    let ((go_read, go_write), (said_read, said_write)) = (pipe()?, pipe()?);
    let target = rustix::process::getpid();
    match clone3(0, None).map_err(Error::call("fork a process to write the ID maps"))? {
        Clone::Child => {
            drop((go_write, said_read));
            process::exit_now(outside(maps, target, go_read, said_write));
        }
        Clone::Parent { pidfd, .. } => {
            drop((go_read, said_write));
            let moved = unshare_user();
            let result = moved.and_then(|()| inside(go_write, said_read));
            wait(&pidfd);
            result?;
        }
    }
    become_root(maps)
}

fn unshare_user() -> Result<(), Error> {
    namespace::unshare(flag::NEWUSER).map_err(|e| {
        let hint = match e {
            Errno::PERM | Errno::ACCESS => {
                " (see kernel.unprivileged_userns_clone and kernel.apparmor_restrict_unprivileged_userns)"
            }
            Errno::NOSPC | Errno::USERS => " (see user.max_user_namespaces)",
            _ => "",
        };
        Error::call(format!("make a user namespace{hint}"))(e)
    })
}

/// Tells the process outside to go on, and waits for its answer: nothing if all went well.
fn inside(mut go: PipeWriter, mut said: PipeReader) -> Result<(), Error> {
    go.write_all(b"g").map_err(Error::io("tell the process outside the user namespace"))?;
    let mut words = String::new();
    said.read_to_string(&mut words).map_err(Error::io("hear from the process outside the user namespace"))?;
    match words.as_str() {
        "ok" => Ok(()),
        "" => Err(Error::Invalid("the process that writes the ID maps was killed".into())),
        other => Err(Error::Invalid(other.to_owned())),
    }
}

fn outside(maps: &UserNamespace, target: Pid, mut go: PipeReader, mut said: PipeWriter) -> i32 {
    let mut byte = [0];
    if !matches!(go.read(&mut byte), Ok(1)) {
        return 1;
    }
    let words = match write_maps(maps, target) {
        Ok(()) => "ok".to_owned(),
        Err(e) => chain(&e),
    };
    i32::from(said.write_all(words.as_bytes()).is_err())
}

fn wait(pidfd: &OwnedFd) {
    while let Err(Errno::INTR) = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED) {}
}

fn write_maps(maps: &UserNamespace, target: Pid) -> Result<(), Error> {
    let pid = target.as_raw_nonzero().get();
    if maps.setuid_helpers {
        run_helper("newuidmap", pid, &maps.uid_map)?;
        return run_helper("newgidmap", pid, &maps.gid_map);
    }
    let write = |name: &str, text: &str| {
        let path = format!("/proc/{pid}/{name}");
        std::fs::write(&path, text).map_err(Error::io(format!("write {text:?} to {path}")))
    };
    let lines = |map: &[(u32, u32, u32)]| -> String { map.iter().map(|(a, b, n)| format!("{a} {b} {n}\n")).collect() };
    write("uid_map", &lines(&maps.uid_map))?;
    // An ordinary user may write a group map only after giving up setgroups (user_namespaces(7), Linux 3.19).
    if !rustix::process::geteuid().is_root() {
        write("setgroups", "deny")?;
    }
    write("gid_map", &lines(&maps.gid_map))
}

fn run_helper(program: &str, pid: i32, map: &[(u32, u32, u32)]) -> Result<(), Error> {
    let numbers = map.iter().flat_map(|(inside, outside, count)| [inside, outside, count]).map(u32::to_string);
    let args: Vec<String> = [program.to_owned(), pid.to_string()].into_iter().chain(numbers).collect();
    let (mut said, said_write) = std::io::pipe().map_err(Error::io("pipe"))?;
    let args = runtime::string_list(&args)?;
    let path = runtime::c_string(runtime::found(Path::new(program)).as_os_str())?;
    let what = Spawn { path: &path, args: &args, env: None, fds: &[(said_write.as_fd(), 1), (said_write.as_fd(), 2)] };
    let missing = format!("run {program} (it comes with the package uidmap or shadow-utils)");
    let child = spawn(&what).map_err(Error::call(missing))?;
    drop(said_write);
    let mut words = String::new();
    // What it says matters only if it fails.
    let _ = said.read_to_string(&mut words);
    let status = detach::wait_for(child)?;
    match status.exit_status() {
        Some(0) => Ok(()),
        Some(code) => Err(Error::Invalid(format!("{program} exited with {code}: {}", words.trim()))),
        None => Err(Error::Invalid(format!("{program} was killed: {}", words.trim()))),
    }
}

/// The namespace's root, unless it has none or this process is that already.
fn become_root(maps: &UserNamespace) -> Result<(), Error> {
    let has_root = |map: &[(u32, u32, u32)]| map.iter().any(|(inside, ..)| *inside == 0);
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    if has_root(&maps.gid_map) && !gid.is_root() {
        process::setresgid(0).map_err(Error::call("become group 0 of the user namespace"))?;
    }
    if has_root(&maps.uid_map) && !uid.is_root() {
        process::setresuid(0).map_err(Error::call("become user 0 of the user namespace"))?;
    }
    // A change of IDs hides this process from its user, who must be able to enter its namespaces.
    process::set_dumpable(true).map_err(Error::call("prctl(PR_SET_DUMPABLE)"))
}

/// Moves into a new mount namespace that still hears of the old one's mounts, and above all of its unmounts.
pub(crate) fn unshare_mounts() -> Result<(), Error> {
    namespace::unshare(flag::NEWNS).map_err(Error::call("make a mount namespace"))?;
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
        .map_err(Error::call("make all mounts slaves"))
}

/// Joins the user and mount namespaces of a process; of the first nothing is done if it is this process's own.
pub(crate) fn join(pid: i32) -> Result<(), Error> {
    let gone = || Error::Invalid(format!("there is no process {pid}"));
    let target = Pid::from_raw(pid).ok_or_else(gone)?;
    let pidfd = pidfd_open(target, PidfdFlags::empty()).map_err(Error::call(format!("open process {pid}")))?;
    let user_of = |who: &str| {
        let path = format!("/proc/{who}/ns/user");
        std::fs::metadata(&path).map(|m| (m.dev(), m.ino())).map_err(Error::io(format!("look at {path}")))
    };
    let other_user = user_of("self")? != user_of(&pid.to_string())?;
    let flags = if other_user { flag::NEWUSER | flag::NEWNS } else { flag::NEWNS };
    let folder = std::env::current_dir();
    namespace::setns(pidfd.as_fd(), flags).map_err(Error::call(format!("join the namespaces of process {pid}")))?;
    if other_user {
        // Absent from the maps, or the same already: then the IDs stay as they are.
        let _ = process::setresgid(0);
        let _ = process::setresuid(0);
    }
    // setns(2) moves to the root of the mount namespace; the folder may well not exist in it.
    if let Ok(folder) = folder {
        let _ = std::env::set_current_dir(folder);
    }
    Ok(())
}
