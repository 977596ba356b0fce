//! The same tests on pure cgroup v2, in a virtual machine.

use crate::common::{Call, images, vm};

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

/// Runs this very test program in the machine that `CARBOY_V2VM` (made known by `dev/test`) boots.
#[test]
#[ignore = "needs root, a virtual machine with pure cgroup v2 (CARBOY_V2VM)"]
fn pure_cgroup_v2_lane() {
    let machine = std::env::var_os("CARBOY_V2VM").expect("CARBOY_V2VM is not set: run dev/test");
    // Of this machine's files the guest surely sees those of the folder that it is given: the checkout may be below /tmp, which is its own.
    let out = tempfile::Builder::new().prefix("carboy-lane").tempdir().unwrap();
    let given = out.path().join(vm::GIVEN);
    std::fs::create_dir(&given).unwrap();
    let programs = ["carboy", "carboy-monitor", "carboy-runtime"].map(|name| vm::built().join(name));
    for file in programs.iter().chain([&images::file("busybox.docker.tar"), &std::env::current_exe().unwrap()]) {
        std::fs::copy(file, given.join(file.file_name().unwrap())).unwrap();
    }
    std::fs::rename(given.join(std::env::current_exe().unwrap().file_name().unwrap()), given.join("e2e")).unwrap();
    // From the disk of its own it runs faster.
    let script = format!("cp -r \"$V2VM_OUT/{0}\" /scratch/ && exec /scratch/{0}/e2e \"$@\"", vm::GIVEN);
    let mut call =
        Call::new(machine).env("V2VM_OUT", out.path()).args(["-t", "1100", "--", "bash", "-c", &script, "lane"]);
    call.command().current_dir(out.path());
    let done = call.args(TESTS).args(["--include-ignored", "--test-threads=2"]).limit(1150).output();
    let text = done.text();
    let result = text.lines().find(|line| line.starts_with("test result:"));
    assert!(done.code == 0 && result.is_some_and(|line| !line.contains(" 0 passed")), "{text}\n{}", done.error());
    println!("{}", result.unwrap_or_default());
}
