//! CVE-2019-5736: the runtime's executable, written from inside.

use crate::common::{Bundle, copy_binary, wait_until};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::json;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// A script in the container whose interpreter is the runtime, which then waits for a configuration: it is a FIFO.
fn lay_trap(bundle: &Bundle) {
    let config = bundle.rootfs().join("config.json");
    mknodat(CWD, config, FileType::Fifo, Mode::from_raw_mode(0o666), 0).unwrap();
    let script = bundle.rootfs().join("bin/script");
    std::fs::write(&script, "#!/proc/self/exe run\n").unwrap();
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
}

fn copy(bundle: &Bundle) -> (std::path::PathBuf, Vec<u8>) {
    let program = bundle.path().join("runtime");
    copy_binary(&program);
    let before = std::fs::read(&program).unwrap();
    (program, before)
}

fn is_unchanged(program: &Path, before: &[u8]) {
    assert!(std::fs::read(program).unwrap() == before, "the runtime was overwritten");
}

/// A container whose program waits for the runtime to appear beside it, opens it, and ends it; once nobody executes it any more, it writes.
fn attacker() -> Bundle {
    let bundle = Bundle::script(
        "while :; do for p in /proc/[0-9]*; do \
             case \"$(cat $p/comm)\" in exe|script) \
                 (exec 9< $p/exe; kill -9 ${p#/proc/}; sleep 0.2; echo tried >> /tmp/tried; echo x >> /proc/self/fd/9);; \
             esac; \
         done; done 2>/dev/null",
    );
    lay_trap(&bundle);
    bundle.run_detached();
    bundle
}

const PROGRAMS: [&[&str]; 2] = [&["/proc/self/exe", "run", "x"], &["/bin/script"]];

/// What the attacker does last comes a moment after the runtime's end.
fn has_tried(bundle: &Bundle, times: usize) {
    let tried = bundle.rootfs().join("tmp/tried");
    wait_until("an attempt", || std::fs::read_to_string(&tried).is_ok_and(|text| text.lines().count() >= times));
    std::thread::sleep(std::time::Duration::from_millis(300));
}

#[test]
#[ignore = "needs root: makes containers"]
fn cve_2019_5736_exec() {
    let bundle = attacker();
    let (program, before) = copy(&bundle);
    for (index, args) in PROGRAMS.iter().enumerate() {
        let mut command = Command::new(&program);
        command.arg("--root").arg(bundle.state_root()).args(["exec", &bundle.name]).args(*args);
        // It waits for a FIFO until it is killed.
        command.output().unwrap();
        has_tried(&bundle, index + 1);
    }
    bundle.call(&["delete", "-f", &bundle.name]).good();
    is_unchanged(&program, &before);
}

#[test]
#[ignore = "needs root: makes containers"]
fn cve_2019_5736_run() {
    // The container's own program is the runtime; the attacker is in another one that shares its PID namespace.
    let attacker = attacker();
    let pid = attacker.state()["pid"].as_i64().unwrap();
    for (index, args) in PROGRAMS.iter().enumerate() {
        let mut bundle = Bundle::new();
        let (program, before) = copy(&bundle);
        lay_trap(&bundle);
        bundle.set("process/args", json!(args));
        let path = json!(format!("/proc/{pid}/ns/pid"));
        bundle.config["linux"]["namespaces"].as_array_mut().unwrap().iter_mut().find(|n| n["type"] == "pid").unwrap()
            ["path"] = path;
        bundle.command(&[]);
        let mut command = Command::new(&program);
        command.arg("--root").arg(bundle.state_root()).args(["run", &bundle.name]).current_dir(bundle.path());
        command.output().unwrap();
        has_tried(&attacker, index + 1);
        is_unchanged(&program, &before);
    }
}
