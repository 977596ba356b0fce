//! What the program is, as it sees itself.

use crate::common::Bundle;
use serde_json::json;

#[test]
#[ignore = "needs root: makes containers"]
fn credentials_are_the_spec_s() {
    let mut bundle = Bundle::script("id -u; id -g; id -G; umask; grep -E '^(Cap|NoNewPrivs)' /proc/self/status");
    bundle.set("process/user", json!({ "uid": 1000, "gid": 1001, "umask": 63, "additionalGids": [7, 8] }));
    bundle.set(
        "process/capabilities",
        json!({ "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_FLY"], "permitted": ["CAP_CHOWN", "CAP_KILL"],
            "inheritable": ["CAP_KILL"], "effective": ["CAP_CHOWN", "CAP_KILL"], "ambient": ["CAP_KILL"] }),
    );
    let said = bundle.run();
    assert!(said.err.contains("ignoring unknown capability CAP_FLY"), "{}", said.err);
    let out = said.good();
    let mut lines = out.lines();
    for wanted in ["1000", "1001", "1001 7 8", "0077"] {
        assert_eq!(lines.next().unwrap(), wanted);
    }
    // Chown is 0, kill 5. After execve by a user only ambient ones remain permitted.
    for (name, value) in [("Inh", "20"), ("Prm", "20"), ("Eff", "20"), ("Bnd", "21"), ("Amb", "20")] {
        assert_eq!(lines.next().unwrap(), format!("Cap{name}:\t{:0>16}", value));
    }
    assert_eq!(lines.next().unwrap(), "NoNewPrivs:\t1");
}

/// The runtime itself lacks one; another is asked for where it is of no use.
#[test]
#[ignore = "needs root: makes containers"]
fn capabilities_that_cannot_be_granted_are_told_of() {
    let mut bundle = Bundle::script("grep -E '^Cap' /proc/self/status");
    bundle.set(
        "process/capabilities",
        json!({ "bounding": ["CAP_CHOWN", "CAP_SETUID"], "permitted": ["CAP_CHOWN", "CAP_SETUID"],
            "effective": ["CAP_CHOWN", "CAP_SETUID", "CAP_KILL"] }),
    );
    let inner = bundle.command(&["run", &bundle.name]);
    let mut command = std::process::Command::new("setpriv");
    command.args(["--bounding-set", "-setuid"]).arg(inner.get_program()).args(inner.get_args());
    let said: crate::common::Said = command.current_dir(bundle.path()).output().unwrap().into();
    for name in ["CAP_SETUID", "CAP_KILL"] {
        assert!(said.err.contains(&format!("ignoring capability {name}: it cannot be granted")), "{}", said.err);
    }
    assert_eq!(said.err.lines().count(), 2, "{}", said.err);
    let set = |name: &str| format!("Cap{name}:\t0000000000000001\n");
    let out = said.good();
    assert!([set("Prm"), set("Eff"), set("Bnd")].iter().all(|line| out.contains(line)), "{out}");
}

#[test]
#[ignore = "needs root: makes containers"]
fn its_world_is_its_own() {
    let mut bundle = Bundle::script(
        "hostname; echo $$; cat /proc/net/dev | grep -c :; ls /sys/class/net; cat /proc/sys/net/ipv4/ip_unprivileged_port_start; \
         cat /proc/self/oom_score_adj; ulimit -n; readlink /dev/fd; readlink /dev/ptmx; stat -c %t:%T /dev/null; cat /proc/1/cgroup | grep -v name",
    );
    bundle.set("linux/sysctl", json!({ "net.ipv4.ip_unprivileged_port_start": "77" }));
    bundle.set("process/oomScoreAdj", json!(500));
    bundle.set("process/rlimits", json!([{ "type": "RLIMIT_NOFILE", "soft": 77, "hard": 99 }]));
    let out = bundle.run().good();
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[..9], ["inside", "1", "1", "lo", "77", "500", "77", "/proc/self/fd", "pts/ptmx"]);
    assert_eq!(lines[9], "1:3");
    assert!(lines[10..].iter().all(|line| line.ends_with(":/")), "{out}");
}

#[test]
#[ignore = "needs root: makes containers"]
fn masked_and_readonly_paths_hold() {
    let mut bundle = Bundle::script(
        "wc -c < /proc/timer_list; ls /proc/scsi /sys/firmware | wc -w; touch /x && echo root writable; \
         echo 1 > /proc/sys/vm/overcommit_memory; echo 1 > /sys/kernel/mm/ksm/run; touch /hidden/x; ls /hidden",
    );
    std::fs::create_dir(bundle.rootfs().join("hidden")).unwrap();
    std::fs::write(bundle.rootfs().join("hidden/secret"), "x").unwrap();
    bundle.config["linux"]["maskedPaths"].as_array_mut().unwrap().push(json!("/hidden"));
    bundle.set("root/readonly", json!(true));
    let said = bundle.run();
    assert!(
        said.out.starts_with("0\n") && !said.out.contains("writable") && !said.out.contains("secret"),
        "{}",
        said.out
    );
    assert_eq!(said.err.matches("Read-only file system").count(), 4, "{}", said.err);
}

#[test]
#[ignore = "needs root: makes containers"]
fn a_filter_holds_with_and_without_no_new_privileges() {
    for no_new_privileges in [true, false] {
        let mut bundle = Bundle::script("mkdir /tmp/x; grep -E '^Seccomp:' /proc/self/status; id -u");
        bundle.set("process/noNewPrivileges", json!(no_new_privileges));
        bundle.set("process/user/uid", json!(1000));
        bundle.set(
            "linux/seccomp",
            json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
                "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95 }] }),
        );
        let said = bundle.run();
        assert!(said.err.contains("not supported"), "{}", said.err);
        assert_eq!(said.good(), "Seccomp:\t2\n1000\n");
    }
}

#[test]
#[ignore = "needs root: makes containers"]
fn no_descriptor_but_those_that_are_asked_for() {
    let bundle = Bundle::script("for n in 3 4 5 6 7 8 9; do readlink /proc/1/fd/$n; done; cat <&3");
    let shell = |flags: &str| {
        let line = format!("exec 3</etc/hostname 4</etc/passwd; exec \"$0\" --root \"$1\" run {flags} \"$2\"");
        let mut command = bundle.command(&[]);
        let mut sh = std::process::Command::new("sh");
        sh.args(["-c", &line, crate::common::binary()]).arg(bundle.state_root()).arg(&bundle.name);
        sh.current_dir(command.current_dir(bundle.path()).get_current_dir().unwrap());
        sh.output().unwrap()
    };
    let without = shell("");
    assert!(!String::from_utf8_lossy(&without.stdout).contains('/'), "{without:?}");
    let with = shell("--preserve-fds 1");
    let out = String::from_utf8_lossy(&with.stdout).into_owned();
    assert!(out.contains(&std::fs::read_to_string("/etc/hostname").unwrap()) && !out.contains("passwd"), "{with:?}");
}

#[test]
#[ignore = "needs root: makes containers"]
fn devices_are_made_as_asked() {
    let mut bundle = Bundle::script(
        "stat -c '%F %a %t:%T %u %g' /dev/fuse2 /deep/pipe; echo x > /dev/null; head -c 2 /dev/zero | wc -c",
    );
    bundle.set(
        "linux/devices",
        json!([
            { "path": "/dev/fuse2", "type": "c", "major": 10, "minor": 229, "fileMode": 384, "uid": 5, "gid": 6 },
            { "path": "/deep/pipe", "type": "p" }
        ]),
    );
    let out = bundle.run().good();
    assert_eq!(out, "character special file 600 a:e5 5 6\nfifo 666 0:0 0 0\n2\n");
}

#[test]
#[ignore = "needs root: makes containers"]
fn null_streams_are_the_container_s_own() {
    let bundle = Bundle::script(
        "for n in 0 1 2; do stat -L -c %d /proc/self/fd/$n; done > /tmp/x; stat -c %d /dev/null >> /tmp/x",
    );
    let null = || std::process::Stdio::from(std::fs::File::options().write(true).open("/dev/null").unwrap());
    assert!(bundle.command(&["run", &bundle.name]).stdout(null()).stderr(null()).status().unwrap().success());
    let seen = std::fs::read_to_string(bundle.rootfs().join("tmp/x")).unwrap();
    let devices: Vec<&str> = seen.lines().collect();
    assert!(devices[0] == devices[3] && devices[2] == devices[3], "{seen}");
}

/// A profile may be written for many machines. What this one's kernel does not execute needs no rules, of either byte order, and is told of.
#[test]
#[ignore = "needs root: makes containers"]
fn a_filter_for_other_machines_too() {
    let mut bundle = Bundle::script("mkdir /tmp/made; echo end");
    let foreign = ["SCMP_ARCH_S390X", "SCMP_ARCH_RISCV64", "SCMP_ARCH_PPC64LE", "SCMP_ARCH_MIPS"];
    let named = [&["SCMP_ARCH_NATIVE"], &foreign[..]].concat();
    bundle.set(
        "linux/seccomp",
        json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": named,
            "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO" }] }),
    );
    let said = bundle.run();
    assert_eq!((said.code, said.out.as_str()), (0, "end\n"), "{}", said.err);
    assert!(said.err.contains("Operation not permitted"), "the rules hold: {}", said.err);
    assert!(said.err.contains(&format!("{} ignored", foreign.join(", "))), "{}", said.err);
}
