//! containerd of our own, driven by `ctr`, whose shim (io.containerd.runc.v2) calls the runtime by its option BinaryName.

use crate::common::terminal::Terminal;
use crate::common::{Call, images, wait_until};
use crate::place::{Place, by_systemd, by_version, runtime};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

pub(crate) const IMAGE: &str = "localhost/busybox:latest";

/// Starts a containerd with folders of its own and a socket of that name; nobody waits until it answers.
pub(crate) fn start(place: &Place, socket: &str) -> Child {
    let dir = place.dir().display();
    let config = format!(
        "version = 2\nroot = \"{dir}/cd\"\nstate = \"{dir}/ce\"\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
         [grpc]\naddress = \"{dir}/{socket}\"\n[ttrpc]\naddress = \"{dir}/t\"\n"
    );
    let log = std::fs::File::create(place.path("containerd.log")).unwrap();
    let mut call = place.call("containerd").arg("-c").arg(place.write("config.toml", &config));
    let command = call.command().stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    command.spawn().expect("containerd is installed")
}

/// Ends a daemon; by force if it does not want to.
pub(crate) fn end(daemon: &mut Child) {
    let _ = rustix::process::kill_process(rustix::process::Pid::from_child(daemon), rustix::process::Signal::TERM);
    if crate::common::command::wait(daemon, Duration::from_secs(30)).is_none() {
        let _ = daemon.kill();
        let _ = daemon.wait();
    }
}

/// A daemon with folders and sockets of its own, in which there is the busybox image.
pub(crate) struct Containerd {
    pub(crate) place: Place,
    daemon: Child,
}

impl Containerd {
    pub(crate) fn new() -> Containerd {
        let place = Place::new("", None);
        let containerd = Containerd { daemon: start(&place, "s"), place };
        wait_until("containerd to answer", Duration::from_secs(60), || containerd.ctr(["version"]).output().code == 0);
        containerd.ctr(["images", "import"]).arg(images::file("busybox.oci.tar")).ok();
        containerd
    }

    fn base(&self, call: Call) -> Call {
        call.arg("--address").arg(self.place.path("s"))
    }

    /// `ctr …`.
    pub(crate) fn ctr<const N: usize>(&self, args: [&str; N]) -> Call {
        self.base(self.place.call("ctr")).args(args)
    }

    /// `ctr run …` with the runtime under test.
    fn run_by(&self, call: Call) -> Call {
        let call = self.base(call).arg("run").arg("--runc-binary").arg(runtime());
        let call = call.arg("--runc-root").arg(self.place.path("state")).arg("--cgroup");
        match by_systemd() {
            true => call.arg(self.place.cgroup() + ":ctr:one").arg("--runc-systemd-cgroup"),
            false => call.arg(self.place.cgroup() + "/one"),
        }
    }

    pub(crate) fn run<const N: usize>(&self, args: [&str; N]) -> Call {
        self.run_by(self.place.call("ctr")).args(args)
    }

    /// Runs a shell script with options; what it printed. The pause is for ctr, which may lose the output of what ends at once.
    #[track_caller]
    fn seen(&self, options: &[&str], script: &str) -> String {
        let script = format!("({script}) 2>&1; sleep 0.3");
        self.run(["--rm"]).args(options).args([IMAGE, "seen", "sh", "-c", &script]).ok()
    }

    pub(crate) fn status(&self, id: &str) -> String {
        let list = self.ctr(["task", "ls"]).ok();
        let line = list.lines().find(|line| line.split_whitespace().next() == Some(id));
        line.and_then(|line| line.split_whitespace().last()).unwrap_or("none").to_owned()
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        let end = || {
            for id in self.ctr(["containers", "ls", "-q"]).output().text().lines() {
                self.ctr(["task", "delete", "-f", id]).output();
                self.ctr(["containers", "delete", id]).output();
            }
        };
        // A panic in here while another unwinds would abort and hide both.
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(end));
        self::end(&mut self.daemon);
        assert!(ended.is_ok() || std::thread::panicking(), "the containers could not be removed");
    }
}

#[test]
#[ignore = "needs root, containerd"]
fn a_whole_life() {
    let containerd = Containerd::new();
    let program = "trap 'exit 3' TERM; while :; do sleep 0.1; done";
    containerd.run(["-d", "--memory-limit=33554432", IMAGE, "live", "sh", "-c", program]).ok();
    assert_eq!(containerd.status("live"), "RUNNING");
    assert!(containerd.place.path("state/default/live").is_dir(), "the runtime has it on record");
    // One in each hierarchy.
    let hierarchies = std::fs::read_to_string("/proc/self/cgroup").unwrap().lines().count();
    assert_eq!(containerd.place.containers().len(), hierarchies);

    let out = containerd
        .ctr([
            "task",
            "exec",
            "--exec-id=a",
            "--user=app",
            "--cwd=/home",
            "live",
            "sh",
            "-c",
            "id -u; pwd; sleep 0.3; exit 4",
        ])
        .output();
    assert_eq!((out.code, out.text().as_str()), (4, "1000\n/home\n"), "{out}");
    let out = containerd.ctr(["task", "exec", "--exec-id=b", "live", "nonexistent"]).output();
    assert!(out.code == 1 && out.error().contains("executable file not found in $PATH"), "{out}");
    containerd.ctr(["task", "exec", "-d", "--exec-id=c", "live", "sleep", "100"]).ok();
    let list = containerd.ctr(["task", "ps", "live"]).ok();
    assert!(list.lines().count() >= 3 && list.contains("ExecID:c"), "{list}");
    containerd.ctr(["task", "kill", "-s", "KILL", "--exec-id=c", "live"]).ok();

    let mut terminal = Terminal::start(
        containerd
            .base(containerd.place.call("setsid").args(["--ctty", "--wait", "ctr"]))
            .args(["task", "exec", "-t", "--exec-id=d", "live", "sh"])
            .command(),
    );
    terminal.expect("# ");
    terminal.send("tty; exit 6\r");
    terminal.expect("/dev/pts/0\r");
    assert_eq!(terminal.wait(), 6);

    containerd.ctr(["task", "pause", "live"]).ok();
    assert_eq!(containerd.status("live"), "PAUSED");
    containerd.ctr(["task", "resume", "live"]).ok();
    let metrics = containerd.ctr(["task", "metrics", "--format=json", "live"]).ok();
    let metrics: serde_json::Value = serde_json::from_str(&metrics).unwrap();
    let limit = by_version("/memory/usage/limit", "/memory/usage_limit");
    assert_eq!(metrics.pointer(limit), Some(&33554432.into()), "{metrics}");
    assert!(metrics["pids"]["current"].as_u64().unwrap() >= 1, "{metrics}");

    containerd.ctr(["task", "kill", "-s", "TERM", "live"]).ok();
    wait_until("its end", Duration::from_secs(20), || containerd.status("live") == "STOPPED");
    let out = containerd.ctr(["task", "delete", "live"]).output();
    assert!(out.error().contains("exit code 3"), "{out}");
    assert!(
        !Path::new(&containerd.place.path("state/default/live")).exists() && containerd.place.containers().is_empty()
    );
    containerd.ctr(["task", "start", "-d", "live"]).ok();
    containerd.ctr(["task", "delete", "-f", "live"]).output();
    containerd.ctr(["containers", "delete", "live"]).ok();
}

#[test]
#[ignore = "needs root, containerd"]
fn what_ctr_can_ask_for() {
    let containerd = Containerd::new();
    let options = ["--read-only", "--cap-drop=CAP_CHOWN", "--cap-add=CAP_NET_ADMIN", "--env=A=b", "--cwd=/tmp"];
    let out = containerd.seen(&options, "touch /x; pwd; echo $A; grep -E 'CapEff|NoNew' /proc/self/status");
    assert_eq!(out, "touch: /x: Read-only file system\n/tmp\nb\nCapEff:\t00000000a80435fa\nNoNewPrivs:\t1\n");
    let limits =
        ["--memory-limit=33554432", "--cpus=0.5", "--mount=type=cgroup,src=cgroup,dst=/sys/fs/cgroup,options=ro"];
    let (files, values) = by_version(
        ("memory/memory.limit_in_bytes cpu/cpu.cfs_quota_us", "33554432\n50000\n"),
        ("memory.max cpu.max", "33554432\n50000 100000\n"),
    );
    assert_eq!(containerd.seen(&limits, &format!("cd /sys/fs/cgroup; cat {files}")), values);
    std::fs::write(containerd.place.path("f"), "content\n").unwrap();
    let mount = format!("--mount=type=bind,src={},dst=/v,options=rbind:ro", containerd.place.dir().display());
    assert_eq!(containerd.seen(&[&mount], "cat /v/f; touch /v/x"), "content\ntouch: /v/x: Read-only file system\n");
    let maps = ["--uidmap=0:100000:1000", "--gidmap=0:100000:1000"];
    assert_eq!(containerd.seen(&maps, "id -u; tr -s ' ' < /proc/self/uid_map"), "0\n 0 100000 1000\n");
    assert_eq!(containerd.seen(&["--device=/dev/fuse"], "ls /dev/fuse"), "/dev/fuse\n");
    assert_eq!(containerd.seen(&["--seccomp"], "grep Seccomp: /proc/self/status"), "Seccomp:\t2\n");
    let netns = std::fs::read_link("/proc/self/ns/net").unwrap().display().to_string() + "\n";
    assert_eq!(containerd.seen(&["--net-host"], "readlink /proc/self/ns/net"), netns);
    let privileged = containerd.seen(&["--privileged"], "grep CapBnd /proc/self/status");
    assert!(std::fs::read_to_string("/proc/self/status").unwrap().contains(&privileged), "{privileged}");
    let out = containerd.run(["--rm", IMAGE, "none", "nonexistent"]).output();
    assert!(out.code == 1 && out.error().contains("executable file not found in $PATH"), "{out}");
    assert_eq!(containerd.run(["--rm", IMAGE, "code", "sh", "-c", "exit 7"]).output().code, 7);
    assert_eq!(containerd.ctr(["containers", "ls", "-q"]).ok(), "");
}

#[test]
#[ignore = "needs root, containerd"]
fn events() {
    let containerd = Containerd::new();
    let mut events = containerd.ctr(["events"]).spawn();
    let dd = "dd if=/dev/zero of=/dev/null bs=64M; sleep 1; exit 5";
    // The subscription takes a moment.
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(containerd.run(["--rm", "--memory-limit=16777216", IMAGE, "seen", "sh", "-c", dd]).output().code, 5);
    wait_until("the last event", Duration::from_secs(20), || {
        containerd.ctr(["containers", "ls", "-q"]).ok().is_empty()
    });
    std::thread::sleep(Duration::from_millis(300));
    events.kill().unwrap();
    let text = String::from_utf8(events.wait_with_output().unwrap().stdout).unwrap();
    let mut kinds: Vec<&str> =
        text.lines().filter_map(|line| line.split(' ').find(|word| word.starts_with("/tasks/"))).collect();
    kinds.dedup();
    assert_eq!(kinds, ["/tasks/create", "/tasks/start", "/tasks/oom", "/tasks/exit", "/tasks/delete"], "{text}");
}
