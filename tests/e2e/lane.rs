//! The same tests in virtual machines: on pure cgroup v2 in one with nothing but a shell as process 1 and in one with systemd; those that
//! need SELinux in a third, and those that need CRIU and version 1 in a fourth.

use crate::common::{Call, User, images, vm};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Beginnings of the names of tests that depend on the cgroup version or on the kernel's age (the machine's is Debian's 6.1: no file-backed
/// EROFS, overlays of the old kind), as root and as ordinary users. The machine, without hardware help, is too slow for all.
const TESTS: [&str; 12] = [
    "hello::",
    "limits::",
    "life::a_whole_life",
    "life::exec",
    "life::stop",
    "load::the_snapshotter",
    "rootless::a_user_runs",
    "rootless::hello",
    "run::exit_codes",
    "run::signals",
    "run::what_isolates",
    "tty::size",
];

/// Likewise of the runtime's; and those of what this kernel has and others may not: CRIU's needs, AppArmor.
const RUNTIME_TESTS: [&str; 6] = [
    "cgroups::",
    "usage::",
    "users::an_ordinary_user",
    "checkpoint::",
    "apparmor::",
    "attacks::procfs::cve_2025_52881_exec",
];

/// Of the callers: each one's whole life, and where systemd makes the cgroups, of those that ask it to.
const CALLERS: &str = "callers brief::";
const CALLERS_WITH_SYSTEMD: &str = "callers brief::podman brief::dockerd brief::containerd";

/// Runs test programs, this one among them, in the machine that `CARBOY_V2VM` (made known by `dev/test`) boots.
#[test]
#[ignore = "needs root, a virtual machine with pure cgroup v2 (CARBOY_V2VM)"]
fn pure_cgroup_v2_lane() {
    let programs = ["carboy", "carboy-monitor", "carboy-runtime"].map(|name| vm::built().join(name));
    let images = ["busybox.docker.tar", "busybox.oci.tar"].map(images::file);
    let files = programs.into_iter().chain(images).map(named);
    let tests = ["e2e", "runtime", "privileged_cgroup", "callers"].map(test_program);
    let calls = [
        format!("e2e {}", TESTS.join(" ")),
        format!("runtime {}", RUNTIME_TESTS.join(" ")),
        "privileged_cgroup".to_owned(),
        CALLERS.to_owned(),
    ];
    // By which AppArmor is told of profiles. Where systemd is process 1 it has mounted it.
    let before = "mount -t securityfs securityfs /sys/kernel/security";
    println!("{}", boot(machine(LONG), files.chain(tests), before, &calls));
}

/// The runtime's tests of systemd's scopes, the machine's and an ordinary user's, and its callers by scopes.
#[test]
#[ignore = "needs root, a virtual machine with systemd (CARBOY_V2VM)"]
fn pure_cgroup_v2_lane_with_systemd() {
    let user = User::without_subordinate_ids();
    let images = ["busybox.docker.tar", "busybox.oci.tar"].map(images::file);
    let files = [named(vm::built().join("carboy-runtime")), test_program("runtime"), test_program("callers")];
    let files = files.into_iter().chain(images.map(named));
    // The user's systemd takes its time to start; the tests that need it wait for it.
    let before = format!("export CARBOY_TEST_USER={}; loginctl enable-linger {} &", user.uid, user.name);
    let calls = ["runtime systemd::".to_owned(), CALLERS_WITH_SYSTEMD.to_owned()];
    println!("{}", boot(machine(LONG).arg("-s"), files, &before, &calls));
}

/// In qemu's place for the script that boots the machine: changes the kernel's parameters.
const QEMU: &str = r#"#!/bin/bash
PATH=${PATH#*:} arguments=() last=
for argument; do
    [ "$last" != -append ] || argument=PARAMETERS
    arguments+=("$argument") last=$argument
done
exec qemu-system-x86_64 "${arguments[@]}"
"#;

/// What is loaded at once, by one write, is in force from then on.
const LOAD_POLICY: &str = "mount -t selinuxfs selinuxfs /sys/fs/selinux &&
dd if=/scratch/given/policy of=/sys/fs/selinux/load bs=1M status=none && echo 1 > /sys/fs/selinux/enforce || exit";

/// The runtime's tests of labels, under a policy of their own.
#[test]
#[ignore = "needs root, a virtual machine with pure cgroup v2 (CARBOY_V2VM), secilc"]
fn selinux_lane() {
    let made = tempfile::tempdir().unwrap();
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/runtime/selinux.cil");
    let policy = made.path().join("policy");
    Call::new("secilc").args(["-f", "/dev/null", "-o"]).arg(&policy).arg(source).ok();
    let files = [named(vm::built().join("carboy-runtime")), test_program("runtime"), named(policy)];
    let calls = ["runtime selinux::".to_owned()];
    // The kernel has AppArmor as well, and takes one of them.
    let machine = machine_with(made.path(), r#""$argument security=selinux""#);
    println!("{}", boot(machine, files, LOAD_POLICY, &calls));
}

/// The version 1 of a hybrid machine, as far as the kernel lets go of controllers again.
const MOUNT_V1: &str = "cd /sys/fs/cgroup
for c in $(cat cgroup.subtree_control); do echo -$c > cgroup.subtree_control; done
mount -t tmpfs cgroup . && cd ../cgroup && mkdir unified && mount -t cgroup2 cgroup2 unified || exit
for c in devices freezer pids perf_event systemd; do
    mkdir $c && mount -t cgroup -o ${c/systemd/none,name=systemd} cgroup $c || exit
done";

/// On the machine itself CRIU may not work, and where it does, there may be no version 1.
#[test]
#[ignore = "needs root, criu, a virtual machine (CARBOY_V2VM)"]
fn cgroup_v1_lane() {
    let made = tempfile::tempdir().unwrap();
    let files = [named(vm::built().join("carboy-runtime")), test_program("runtime")];
    let calls = ["runtime checkpoint::options::a_cgroup_by_criu".to_owned()];
    let machine = machine_with(made.path(), "${argument/cgroup_no_v1=all/}");
    println!("{}", boot(machine, files, MOUNT_V1, &calls));
}

/// What boots a machine, by a qemu in that folder, with other parameters of the kernel: an expression of bash, from `$argument`.
fn machine_with(folder: &Path, parameters: &str) -> Call {
    let qemu = folder.join("qemu-system-x86_64");
    std::fs::write(&qemu, QEMU.replace("PARAMETERS", parameters)).unwrap();
    std::fs::set_permissions(&qemu, Permissions::from_mode(0o755)).unwrap();
    machine(SHORT).env("PATH", format!("{}:{}", folder.display(), std::env::var("PATH").unwrap()))
}

/// A file, and its name in the guest.
fn named(path: PathBuf) -> (PathBuf, String) {
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    (path, name)
}

/// The newest program of that name beside this one.
fn test_program(name: &str) -> (PathBuf, String) {
    let own = std::env::current_exe().unwrap();
    if name == "e2e" {
        return (own, name.to_owned());
    }
    let beside = std::fs::read_dir(own.parent().unwrap()).unwrap().flatten().map(|entry| entry.path());
    let prefix = format!("{name}-");
    let matching = beside.filter(|path| {
        path.extension().is_none() && path.file_name().unwrap().to_str().is_some_and(|file| file.starts_with(&prefix))
    });
    let newest = matching.max_by_key(|path| path.metadata().and_then(|data| data.modified()).ok());
    let path = newest.unwrap_or_else(|| panic!("the test program {name} is not built: build the workspace's tests"));
    (path, name.to_owned())
}

/// Seconds that the machines with many tests may take, and those with a few: one may hang while it boots.
const LONG: u64 = 1700;
const SHORT: u64 = 400;

/// What boots a machine.
fn machine(seconds: u64) -> Call {
    let program = std::env::var_os("CARBOY_V2VM").expect("CARBOY_V2VM is not set: run dev/test");
    Call::new(program).args(["-t", &seconds.to_string()]).limit(seconds + 50)
}

/// Boots a machine and runs test programs in it, each with beginnings of names.
fn boot(machine: Call, files: impl IntoIterator<Item = (PathBuf, String)>, before: &str, calls: &[String]) -> String {
    // Of this machine's files the guest surely sees those of the folder that it is given: the checkout may be below /tmp, which is its own.
    let out = tempfile::Builder::new().prefix("carboy-lane").tempdir().unwrap();
    let given = out.path().join(vm::GIVEN);
    std::fs::create_dir(&given).unwrap();
    for (file, name) in files {
        std::fs::copy(&file, given.join(name)).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    }
    std::fs::write(given.join("run"), script(before, calls)).unwrap();
    // From the disk of its own it runs faster.
    let command = format!("cp -r \"$V2VM_OUT/{0}\" /scratch/ && exec bash /scratch/{0}/run", vm::GIVEN);
    let mut call = machine.env("V2VM_OUT", out.path());
    call.command().current_dir(out.path());
    let done = call.args(["--", "bash", "-c", &command]).output();
    let text = done.text();
    let results: Vec<&str> = text.lines().filter(|line| line.starts_with("test result:")).collect();
    let passed = results.len() == calls.len() && results.iter().all(|line| !line.contains(" 0 passed"));
    assert!(done.code == 0 && passed, "{text}\n{}", done.error());
    results.join("\n")
}

fn script(before: &str, calls: &[String]) -> String {
    let folder = Path::new("/scratch").join(vm::GIVEN);
    let calls = calls
        .iter()
        .map(|call| format!("{}/{call} --include-ignored --test-threads=2 || failed=1\n", folder.display()));
    let runtime = folder.join("carboy-runtime");
    let before = format!("export CARBOY_TEST_RUNTIME={}\n{before}", runtime.display());
    format!("{before}\nfailed=0\n{}exit $failed\n", calls.collect::<String>())
}
