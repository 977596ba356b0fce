//! `carboy run` and its flags, seen from inside the container.

use crate::common::{Env, wait_until};
use std::time::Duration;

/// The kernel's sets of a process, from /proc/self/status.
fn status(env: &Env, flags: &[&str], field: &str) -> String {
    let status = env.carboy(["run", "--rm"]).args(flags).args(["busybox", "cat", "/proc/self/status"]).ok();
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {field} in {status}")).trim().to_owned()
}

#[test]
#[ignore = "needs root"]
fn exit_codes_are_the_programs_own() {
    let env = Env::new();
    env.load_busybox();
    for (program, code) in [("exit 0", 0), ("exit 7", 7), ("exit 255", 255)] {
        let out = env.carboy(["run", "--rm", "busybox", "sh", "-c", program]).output();
        assert_eq!((out.code, out.error().as_str()), (code, ""), "{out}");
    }
    // A shell's way to say it of its child; as PID 1 nothing within its namespace could kill the program itself.
    let out = env.carboy(["run", "--rm", "busybox", "sh", "-c", "sh -c 'kill -9 $$'; exit $?"]).output();
    assert_eq!(out.code, 137, "{out}");
}

#[test]
#[ignore = "needs root"]
fn a_program_that_cannot_run_is_126_or_127_and_says_why() {
    let env = Env::new();
    env.load_busybox();
    let missing = env.carboy(["run", "--rm", "busybox", "no-such-program"]).fails(127);
    assert!(missing.contains("no-such-program"), "{missing}");
    let missing = env.carboy(["run", "--rm", "busybox", "/no/such/program"]).fails(127);
    assert!(missing.contains("/no/such/program") && missing.to_lowercase().contains("no such file"), "{missing}");
    let plain = env.carboy(["run", "--rm", "busybox", "/etc/passwd"]).fails(126);
    assert!(plain.contains("/etc/passwd") && plain.contains("ermission denied"), "{plain}");
    let folder = env.carboy(["run", "--rm", "busybox", "/etc"]).fails(126);
    assert!(folder.contains("/etc"), "{folder}");
    assert_eq!(env.carboy(["ps", "-aq"]).ok(), "", "a container that never ran was left with --rm");
}

#[test]
#[ignore = "needs root"]
fn environment_is_the_images_then_the_callers() {
    let env = Env::new();
    env.load_busybox();
    let flags = [
        "run",
        "--rm",
        "--hostname",
        "inside",
        "-e",
        "A=1",
        "-e",
        "SPACED=a b  c",
        "-e",
        "TAKEN",
        "-e",
        "GREETING=bye",
    ];
    let out = env.carboy(flags).env("TAKEN", "outer").env("UNASKED", "x").args(["busybox", "env"]).ok();
    let lines: Vec<&str> = out.lines().collect();
    for expected in
        ["A=1", "SPACED=a b  c", "TAKEN=outer", "GREETING=bye", "PATH=/bin", "HOME=/root", "HOSTNAME=inside"]
    {
        assert!(lines.contains(&expected), "no {expected} in\n{out}");
    }
    assert!(!out.contains("UNASKED") && !out.contains("CARBOY") && !out.contains("TERM="), "{out}");
}

#[test]
#[ignore = "needs root"]
fn user_and_folder() {
    let env = Env::new();
    env.load_busybox();
    let id = |user: &str| env.carboy(["run", "--rm", "-u", user, "busybox", "id"]).ok().trim().to_owned();
    assert_eq!(id("app"), "uid=1000(app) gid=1001(app) groups=1001(app),2000(extra)");
    assert_eq!(id("1000"), "uid=1000(app) gid=1001(app) groups=1001(app),2000(extra)");
    assert_eq!(id("1234:5678"), "uid=1234 gid=5678 groups=5678");
    assert_eq!(id("app:0"), "uid=1000(app) gid=0(root) groups=0(root)");
    let home = env.carboy(["run", "--rm", "-u", "app", "busybox", "sh", "-c", "echo $HOME"]).ok();
    assert_eq!(home, "/home/app\n");
    assert_eq!(env.carboy(["run", "--rm", "-w", "/usr/bin", "busybox", "pwd"]).ok(), "/usr/bin\n");
    assert_eq!(env.carboy(["run", "--rm", "-w", "/made/anew", "busybox", "pwd"]).ok(), "/made/anew\n");
    let nobody = env.carboy(["run", "--rm", "-u", "nobody-here", "busybox", "id"]).fails(125);
    assert!(nobody.contains("nobody-here"), "{nobody}");
}

#[test]
#[ignore = "needs root"]
fn volumes_are_the_hosts_folders_and_files() {
    let env = Env::new();
    env.load_busybox();
    let dir = env.path("data");
    std::fs::create_dir_all(dir.join("sub")).unwrap();
    std::fs::write(dir.join("file"), "from outside\n").unwrap();
    let volume = |options: &str| format!("{}:/data{options}", dir.display());
    let out = env
        .carboy(["run", "--rm", "-v", &volume(""), "busybox", "sh", "-c", "cat /data/file; echo in >/data/sub/new"])
        .ok();
    assert_eq!(out, "from outside\n");
    assert_eq!(std::fs::read_to_string(dir.join("sub/new")).unwrap(), "in\n");
    let out = env.carboy(["run", "--rm", "-v", &volume(":ro"), "busybox", "sh", "-c", "echo no >/data/file"]).output();
    assert!(out.code == 1 && out.error().contains("Read-only file system"), "{out}");
    let file = format!("{}:/etc/a-file", dir.join("file").display());
    assert_eq!(env.carboy(["run", "--rm", "-v", &file, "busybox", "cat", "/etc/a-file"]).ok(), "from outside\n");
}

#[test]
#[ignore = "needs root"]
fn entrypoint_hostname_and_read_only() {
    let env = Env::new();
    env.load_busybox();
    assert_eq!(env.carboy(["run", "--rm", "--entrypoint", "echo", "busybox", "a", "b"]).ok(), "a b\n");
    assert_eq!(env.carboy(["run", "--rm", "--hostname", "vessel", "busybox", "hostname"]).ok(), "vessel\n");
    let out = env.carboy(["run", "--rm", "--read-only", "busybox", "sh", "-c", "echo x >/root/f"]).output();
    assert!(out.code == 1 && out.error().contains("Read-only file system"), "{out}");
    assert_eq!(env.carboy(["run", "--rm", "busybox", "sh", "-c", "echo x >/root/f; cat /root/f"]).ok(), "x\n");
    assert_eq!(
        env.carboy(["run", "--rm", "busybox", "ls", "/root"]).ok(),
        "",
        "one container's file is in the next one"
    );
}

#[test]
#[ignore = "needs root"]
fn networks_none_and_host() {
    let env = Env::new();
    env.load_busybox();
    assert_eq!(env.carboy(["run", "--rm", "--network", "none", "busybox", "ls", "/sys/class/net"]).ok(), "lo\n");
    let up = env
        .carboy(["run", "--rm", "--network", "none", "busybox", "sh", "-c", "ping -c 1 -W 1 127.0.0.1 >&2; ip -o link"])
        .ok();
    assert!(up.contains("LOOPBACK,UP"), "{up}");
    let links = env.carboy(["run", "--rm", "--network", "host", "busybox", "ls", "/sys/class/net"]).ok();
    let mut ours: Vec<_> =
        std::fs::read_dir("/sys/class/net").unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    ours.sort();
    let mut theirs: Vec<&str> = links.lines().collect();
    theirs.sort_unstable();
    assert_eq!(theirs, ours);
}

#[test]
#[ignore = "needs root"]
fn capabilities() {
    let env = Env::new();
    env.load_busybox();
    // Docker's default set of 14.
    assert_eq!(status(&env, &[], "CapEff"), "00000000a80425fb");
    assert_eq!(status(&env, &[], "CapBnd"), "00000000a80425fb");
    assert_eq!(status(&env, &["--cap-drop", "ALL"], "CapEff"), "0000000000000000");
    assert_eq!(status(&env, &["--cap-drop", "all", "--cap-add", "NET_ADMIN"], "CapEff"), "0000000000001000");
    assert_eq!(status(&env, &["--cap-add", "CAP_SYS_TIME", "--cap-drop", "chown"], "CapEff"), "00000000aa0425fa");
    assert_eq!(status(&env, &["-u", "1000"], "CapEff"), "0000000000000000");
    let own = std::fs::read_to_string("/proc/self/status").unwrap();
    let own = own.lines().find_map(|line| line.strip_prefix("CapBnd:")).unwrap().trim().to_owned();
    assert_eq!(status(&env, &["--privileged"], "CapEff"), own);
}

#[test]
#[ignore = "needs root"]
fn what_isolates_is_in_force() {
    let env = Env::new();
    env.load_busybox();
    assert_eq!(status(&env, &[], "Seccomp"), "2", "Docker's profile is the default");
    assert_eq!(status(&env, &["--privileged"], "Seccomp"), "0");
    let script = "echo $$; ls /proc/self/fd | wc -l; head -c 1 /proc/kcore | wc -c; ls /proc/acpi /sys/firmware 2>/dev/null | wc -l
        echo 1 2>/dev/null >/proc/sys/kernel/domainname || echo proc-sys; mkdir /sys/x 2>/dev/null || echo sys
        mount -t tmpfs x /mnt 2>/dev/null || echo mount; [ -c /dev/null ] && ls /dev/kmsg 2>/dev/null || echo dev; cat /proc/1/cmdline | wc -c";
    let out = env.carboy(["run", "--rm", "--network", "none", "busybox", "sh", "-c", script]).ok();
    let lines: Vec<&str> = out.lines().map(str::trim).collect();
    // The fourth descriptor is ls's own.
    assert_eq!(&lines[..3], ["1", "4", "0"], "{out}");
    assert!(lines[4..].starts_with(&["proc-sys", "sys", "mount", "dev"]), "{out}");
    // Nothing of the host's mounts is in sight.
    let mounts = env.carboy(["run", "--rm", "busybox", "cat", "/proc/self/mountinfo"]).ok();
    let host = env.dir().to_str().unwrap();
    for line in mounts.lines() {
        let point = line.split(' ').nth(4).unwrap();
        let known = ["/", "/proc", "/dev", "/sys", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"];
        assert!(known.contains(&point) || ["/proc/", "/dev/", "/sys/"].iter().any(|p| point.starts_with(p)), "{line}");
        assert!(!point.contains(host), "{line}");
    }
}

#[test]
#[ignore = "needs root"]
fn a_folder_serves_as_root_file_system() {
    let env = Env::new();
    let root = env.path("rootfs");
    std::fs::create_dir_all(root.join("bin")).unwrap();
    std::fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
    let root = root.to_str().unwrap();
    let out =
        env.carboy(["run", "--rm", "--rootfs", root, "/bin/busybox", "sh", "-c", "echo kept >/file; echo $$"]).ok();
    assert_eq!(out, "1\n");
    assert_eq!(std::fs::read_to_string(format!("{root}/file")).unwrap(), "kept\n");
}

#[test]
#[ignore = "needs root"]
fn signals_are_forwarded() {
    let env = Env::new();
    env.load_busybox();
    let script = "trap 'exit 42' TERM; trap 'echo usr1' USR1; echo ready; while :; do sleep 0.1; done";
    let mut child = env.carboy(["run", "--rm", "--name", "trapper", "busybox", "sh", "-c", script]).spawn();
    wait_until("the program to run", Duration::from_secs(20), || {
        env.carboy(["logs", "trapper"]).output().text() == "ready\n"
    });
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::USR1).unwrap();
    wait_until("SIGUSR1 to arrive", Duration::from_secs(20), || env.carboy(["logs", "trapper"]).ok().contains("usr1"));
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let code = crate::common::command::wait(&mut child, Duration::from_secs(20) * crate::common::slowness());
    assert_eq!(code, Some(42));
}

#[test]
#[ignore = "needs root"]
fn explain_prints_and_does_nothing() {
    let env = Env::new();
    env.load_busybox();
    let before = env.files();
    let text = env.carboy(["explain", "run", "--rm", "-m", "64m", "--read-only", "busybox", "true"]).ok();
    for expected in ["/proc", "pivot_root", "seccomp", "67108864", "exec"] {
        assert!(text.contains(expected), "no {expected:?} in\n{text}");
    }
    let json = env.carboy(["explain", "run", "--json", "--rm", "busybox", "true"]).ok();
    let plan: serde_json::Value = serde_json::from_str(&json).unwrap();
    let steps = plan["steps"].as_array().unwrap();
    assert!(steps.len() > 20, "{json}");
    for step in steps {
        for field in ["actor", "name", "why"] {
            assert!(step[field].as_str().is_some_and(|text| !text.is_empty()), "{field} of {step}");
        }
    }
    assert_eq!(env.files(), before, "explain has written");
    assert_eq!(env.carboy(["ps", "-aq"]).ok(), "");
}

#[test]
#[ignore = "needs root"]
fn trace_times_the_steps_of_explain() {
    let env = Env::new();
    env.load_busybox();
    let steps = |text: &str| -> Vec<(String, String)> {
        let plan: serde_json::Value = serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"));
        let field = |step: &serde_json::Value, name: &str| step[name].as_str().unwrap().to_owned();
        plan["steps"].as_array().unwrap().iter().map(|step| (field(step, "actor"), field(step, "name"))).collect()
    };
    let explained = steps(&env.carboy(["explain", "run", "--json", "--rm", "--name", "xx", "busybox", "true"]).ok());
    let out = env.carboy(["run", "--trace", "--json", "--rm", "--name", "xx", "busybox", "true"]).output();
    assert_eq!(out.code, 0, "{out}");
    let traced = steps(&out.error());
    // The trace ends when the program has started; what the monitor does from then on is only explained.
    let started = explained.iter().rposition(|(actor, _)| actor == "init").unwrap();
    for step in &explained[..=started] {
        assert!(traced.contains(step), "{step:?} is explained but not traced: {traced:?}");
    }
    assert!(out.error().contains("took_ns"), "{out}");
}
