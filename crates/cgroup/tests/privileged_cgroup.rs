//! Real cgroups on the running kernel, whatever its arrangement.
#![allow(clippy::unwrap_used, reason = "a test")]

use carboy_cgroup::{
    CgroupError, CgroupManager, CgroupPath, Hierarchies, Joiner, Mode, OwnCgroups, PlanOptions, open, plan,
};
use carboy_oci::runtime::{CpuResources, MemoryResources, PidsResources, Resources};
use carboy_sys::clone::{Clone, clone3};
use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

/// A process that has joined by itself; killed and reaped in the end.
struct Member {
    pid: i32,
    pidfd: OwnedFd,
}

impl Member {
    fn start(joiner: &Joiner, script: &str) -> Self {
        match clone3(0, None).unwrap() {
            Clone::Child => {
                // In the child of a test: nothing may return into the harness.
                let failed = match joiner.join() {
                    Ok(()) => Command::new("sh").args(["-c", script]).exec().to_string(),
                    Err(e) => e.to_string(),
                };
                let _ = std::io::stderr().write_all(failed.as_bytes());
                carboy_sys::process::exit_now(125)
            }
            Clone::Parent { pid, pidfd } => Member { pid, pidfd },
        }
    }

    /// The exit code; `None` after a signal.
    fn wait(&self) -> Option<i32> {
        let status = waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED).unwrap();
        status.and_then(|status| status.exit_status())
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
        let _ = waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED);
    }
}

/// A cgroup that is gone at the end of the test, however it ends.
struct Guarded {
    cgroup: Box<dyn CgroupManager>,
    hierarchies: Hierarchies,
    members: Vec<Member>,
}

impl Guarded {
    fn new(name: &str) -> Self {
        let hierarchies = Hierarchies::detect().unwrap();
        let path = format!("/carboy-test-{}/{name}", std::process::id());
        let cgroup =
            open(&hierarchies, &CgroupPath::parse(Some(&path), "unused").unwrap(), &OwnCgroups::default()).unwrap();
        Guarded { cgroup, hierarchies, members: Vec::new() }
    }

    fn run(&self, script: &str) -> Member {
        Member::start(&self.cgroup.joiner().unwrap(), script)
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = self.cgroup.kill_all();
        self.members.clear();
        let _ = self.cgroup.remove();
        for parent in self.cgroup.directories().iter().filter_map(|path| path.parent()) {
            let _ = std::fs::remove_dir(parent);
        }
    }
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(10), "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
#[ignore = "needs root: makes cgroups"]
fn made_joined_frozen_killed_and_removed() {
    let mut test = Guarded::new("life");
    drop(test.cgroup.create().unwrap());
    assert!(test.cgroup.directories().iter().all(|path| path.is_dir()));
    drop(test.cgroup.create().expect("an empty one is taken over"));
    let member = test.run("sleep 60 & exec sleep 60");
    let pid = member.pid;
    test.members.push(member);
    eventually("both processes are in", || test.cgroup.pids().unwrap().len() == 2);
    assert!(test.cgroup.pids().unwrap().contains(&pid));
    assert!(matches!(test.cgroup.create(), Err(CgroupError::InUse(_))));
    let own = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let elsewhere: Vec<&str> = own.lines().filter(|line| !line.ends_with("/life")).collect();
    assert!(elsewhere.is_empty() || test.hierarchies.mode() == Mode::V2, "{elsewhere:?}");

    assert!(!test.cgroup.is_frozen().unwrap());
    test.cgroup.freeze().unwrap();
    assert!(test.cgroup.is_frozen().unwrap());
    test.cgroup.thaw().unwrap();
    assert!(!test.cgroup.is_frozen().unwrap());

    test.cgroup.freeze().unwrap();
    test.cgroup.kill_all().unwrap();
    let _ = test.cgroup.thaw();
    eventually("a frozen cgroup dies too", || {
        test.members.clear();
        test.cgroup.pids().unwrap().is_empty()
    });
    test.cgroup.remove().unwrap();
    assert!(test.cgroup.directories().iter().all(|path| !path.exists()));
    test.cgroup.remove().expect("removing twice is no error");
}

#[test]
#[ignore = "needs root: makes cgroups"]
fn who_is_killed_at_birth_is_known() {
    let test = Guarded::new("birth");
    drop(test.cgroup.create().unwrap());
    let born = || {
        let joiner = test.cgroup.joiner().unwrap();
        match clone3(0, joiner.clone_into()).unwrap() {
            Clone::Child => carboy_sys::process::exit_now(7),
            Clone::Parent { pid, pidfd } => {
                let stat = || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
                (carboy_cgroup::killed_at_birth(stat), Member { pid, pidfd })
            }
        }
    };
    // One that ends by itself may be gone when it is asked about; it must not be taken for one that was killed every time.
    let healthy = (0..50).map(|_| born()).filter(|(killed, member)| {
        assert_eq!(member.wait(), Some(7));
        *killed
    });
    assert!(healthy.count() < 50);
    test.cgroup.kill_all().unwrap();
    // A moment remains in which a child that takes its SIGKILL shows no sign of it: seen once in some 700 births.
    let unnoticed = (0..50).map(|_| born()).filter(|(killed, member)| !killed && member.wait() != Some(7)).count();
    assert!(unnoticed <= 2, "{unnoticed} of 50 were killed, and not noticed");
}

#[test]
#[ignore = "needs root: makes cgroups"]
fn limits_reach_the_kernel_and_bind() {
    let test = Guarded::new("limits");
    drop(test.cgroup.create().unwrap());
    let resources = Resources {
        memory: Some(MemoryResources { limit: Some(32 << 20), swap: Some(32 << 20), ..Default::default() }),
        cpu: Some(CpuResources { shares: Some(512), quota: Some(50_000), period: Some(100_000), ..Default::default() }),
        pids: Some(PidsResources { limit: Some(20) }),
        ..Resources::default()
    };
    let steps = plan(&resources, &test.hierarchies, PlanOptions::default()).unwrap();
    test.cgroup.apply(&steps).unwrap();
    let stats = test.cgroup.stats().unwrap();
    assert_eq!((stats.memory.limit, stats.pids.limit), (Some(32 << 20), Some(20)));

    let fork = test.run("for i in $(seq 40); do sleep 2 & done 2>/dev/null; wait");
    assert_ne!(fork.wait(), Some(0), "the 21st process must fail");
    test.cgroup.kill_all().unwrap();
    eventually("all are gone", || test.cgroup.pids().unwrap().is_empty());

    let hog = test.run("exec dd if=/dev/zero of=/dev/null bs=200M count=1");
    assert_eq!(hog.wait(), None, "the kernel kills it");
    assert!(test.cgroup.oom_kills().unwrap() >= 1);
    assert!(test.cgroup.stats().unwrap().cpu.usage_ns > 0);

    // Lowered, raised and lifted again, in whatever order the files need.
    for (limit, swap) in [(16 << 20, 16 << 20), (64 << 20, 128 << 20), (-1, -1)] {
        let memory = MemoryResources { limit: Some(limit), swap: Some(swap), ..Default::default() };
        let resources = Resources { memory: Some(memory), ..Resources::default() };
        let options = PlanOptions { update: true, without_devices: true, ..Default::default() };
        test.cgroup.apply(&plan(&resources, &test.hierarchies, options).unwrap()).unwrap();
        let expected = u64::try_from(limit).ok();
        assert_eq!(test.cgroup.stats().unwrap().memory.limit, expected);
    }
}

#[test]
#[ignore = "needs root: makes cgroups"]
fn devices_are_refused_unless_allowed() {
    let test = Guarded::new("devices");
    drop(test.cgroup.create().unwrap());
    let steps = plan(&Resources::default(), &test.hierarchies, PlanOptions::default()).unwrap();
    test.cgroup.apply(&steps).unwrap();
    // kmsg is 1:11, not among the default devices.
    let script = "head -c1 /dev/zero >/dev/null && exec 3</dev/kmsg";
    let refused = test.run(&format!("{{ {script}; }} 2>/dev/null"));
    assert_ne!(refused.wait(), Some(0));
    let rule = serde_like_allow_all();
    let resources = Resources { devices: vec![rule], ..Resources::default() };
    let options = PlanOptions { update: true, ..Default::default() };
    test.cgroup.apply(&plan(&resources, &test.hierarchies, options).unwrap()).unwrap();
    let allowed = test.run(script);
    assert_eq!(allowed.wait(), Some(0));
}

fn serde_like_allow_all() -> carboy_oci::runtime::DeviceRule {
    carboy_oci::runtime::DeviceRule { allow: true, access: Some("rwm".into()), ..Default::default() }
}

#[test]
#[ignore = "needs root: makes cgroups"]
fn what_the_kernel_lacks_is_said_with_the_field() {
    let test = Guarded::new("lacks");
    drop(test.cgroup.create().unwrap());
    let mut resources = Resources::default();
    resources.rdma.insert("mlx5_1".into(), Default::default());
    let options = PlanOptions { without_devices: true, ..Default::default() };
    let result = plan(&resources, &test.hierarchies, options).and_then(|steps| test.cgroup.apply(&steps));
    if test.hierarchies.with_controller("rdma").is_none() {
        let error = result.unwrap_err().to_string();
        assert!(error.starts_with("linux.resources.rdma[\"mlx5_1\"]: "), "{error}");
    }
}
