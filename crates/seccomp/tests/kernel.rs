//! The kernel takes the programs and does what they say. Filters belong to threads, so each test uses one of its own; no
//! privilege is needed.
#![allow(clippy::unwrap_used, reason = "a test")]

use carboy_oci::runtime::{Seccomp, SeccompArg, SeccompRule};
use carboy_seccomp::{Arch, KernelVersion, compile, default_profile};
use rustix::fs::{CWD, Mode, mkdirat};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, socket};
use std::os::fd::AsRawFd;

/// Runs `check` in a thread under the profile's filter.
fn under(profile: &Seccomp, check: impl FnOnce() + Send + 'static) {
    let filter = compile(profile).unwrap();
    let thread = std::thread::spawn(move || {
        rustix::thread::set_no_new_privs(true).unwrap();
        let listener = carboy_sys::seccomp::install(&filter.program, filter.flags).unwrap();
        assert_eq!(listener.is_some(), filter.notifies);
        check();
        drop(listener);
    });
    thread.join().unwrap();
}

#[test]
fn arguments_decide() {
    let arg = SeccompArg { index: 2, value: 0o711, value_two: 0, op: "SCMP_CMP_EQ".into() };
    let rule = SeccompRule {
        names: ["mkdirat", "mkdir"].into(),
        action: "SCMP_ACT_ERRNO".into(),
        errno_ret: Some(77),
        args: vec![arg],
    };
    let profile = Seccomp { default_action: "SCMP_ACT_ALLOW".into(), syscalls: vec![rule], ..Seccomp::default() };
    under(&profile, || {
        let make = |mode| mkdirat(CWD, "/nonexistent/x", Mode::from_raw_mode(mode)).unwrap_err();
        assert_eq!(make(0o711), Errno::from_raw_os_error(77));
        assert_eq!(make(0o755), Errno::NOENT);
    });
}

#[test]
fn ordinary_programs_run_under_the_default_profile_and_others_are_refused() {
    let release = rustix::system::uname().release().to_str().unwrap().to_owned();
    let profile = default_profile(&[], Arch::native(), KernelVersion::parse(&release).unwrap());
    under(&profile, || {
        // A new thread and a new process: clone3 is hidden, clone without namespaces allowed.
        assert_eq!(std::thread::spawn(|| 7).join().unwrap(), 7);
        let output =
            std::process::Command::new("sh").args(["-c", "echo a | tr a b; ls / >/dev/null"]).output().unwrap();
        assert_eq!(output.stdout, b"b\n");
        assert_eq!(rustix::system::sethostname(b"").unwrap_err(), Errno::PERM);
        assert!(socket(AddressFamily::INET, SocketType::STREAM, None).is_ok());
        assert_eq!(socket(AddressFamily::VSOCK, SocketType::STREAM, None).unwrap_err(), Errno::PERM);
        assert_eq!(rustix::mount::unmount("/nonexistent", rustix::mount::UnmountFlags::empty()), Err(Errno::PERM));
    });
}

#[test]
fn a_listener_comes_back_when_a_rule_notifies() {
    let rule =
        SeccompRule { names: ["setdomainname"].into(), action: "SCMP_ACT_NOTIFY".into(), ..SeccompRule::default() };
    let flags = vec!["SECCOMP_FILTER_FLAG_LOG".into(), "SECCOMP_FILTER_FLAG_TSYNC".into()];
    let profile =
        Seccomp { default_action: "SCMP_ACT_ALLOW".into(), flags, syscalls: vec![rule], ..Seccomp::default() };
    let filter = compile(&profile).unwrap();
    std::thread::spawn(move || {
        rustix::thread::set_no_new_privs(true).unwrap();
        let listener = carboy_sys::seccomp::install(&filter.program, filter.flags).unwrap().unwrap();
        assert!(listener.as_raw_fd() > 2);
    })
    .join()
    .unwrap();
}
