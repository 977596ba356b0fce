//! A container with its bundle and configuration; starting its monitor; being its client; leaving nothing behind.

use carboy_sys::exec::StringList;
use carboy_sys::spawn::{Spawn, spawn};
use carboy_wire::attach::{self, Decoder};
use carboy_wire::monitor::{Exit, LogConfig, MonitorConfig, RootMount, RuntimeCommand, StartReport, Started, file};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use serde_json::{Value, json};
use std::ffi::CString;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// No step of any test takes longer, even on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Makes of each function one test for each runtime.
#[macro_export]
macro_rules! on_each_runtime {
    ($($(#[$doc:meta])* fn $name:ident($runtime:ident) $body:block)*) => {$(
        $(#[$doc])*
        mod $name {
            use super::*;

            fn body($runtime: Runtime) $body

            #[test]
            #[ignore = "needs root, runc and busybox-static"]
            fn with_runc() {
                body(Runtime::Runc);
            }

            #[test]
            #[ignore = "needs root, runc, crun and busybox-static"]
            fn with_crun() {
                body(Runtime::Crun);
            }

            #[test]
            #[ignore = "needs root, runc and busybox-static"]
            fn with_ours() {
                body(Runtime::Ours);
            }
        }
    )*};
}

/// What runs the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Runtime {
    Runc,
    Crun,
    Ours,
}

/// See the module. Dropping it ends whatever still runs.
pub(crate) struct Container {
    pub(crate) dir: TempDir,
    pub(crate) config: MonitorConfig,
    pub(crate) spec: Value,
}

static SERIAL: AtomicU32 = AtomicU32::new(0);

impl Container {
    /// One that runs `args` on an overlay over the busybox, with no input.
    pub(crate) fn new(runtime: Runtime, args: &[&str]) -> Container {
        let dir = tempfile::Builder::new().prefix("carboy-monitor-").tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for name in ["bundle", "state", "container/upper", "container/work", "run"] {
            std::fs::create_dir_all(path(name)).unwrap();
        }
        make_busybox(&path("rootfs"));
        let id = format!("carboy-mon-{}-{}", std::process::id(), SERIAL.fetch_add(1, Ordering::Relaxed));
        let config = MonitorConfig {
            id,
            container_dir: path("container"),
            run_dir: path("run"),
            bundle: path("bundle"),
            runtime: runtime_command(runtime, dir.path()),
            root_mount: Some(RootMount::Overlay {
                lower: vec![path("rootfs")],
                upper: path("container/upper"),
                work: path("container/work"),
                userxattr: false,
            }),
            user_namespace: None,
            terminal: false,
            terminal_size: None,
            stdin_open: false,
            stdin_once: false,
            log: LogConfig::JsonFile { path: path("container/container.log"), max_size: None, max_files: 1 },
            remove_on_exit: Vec::new(),
            trace: false,
        };
        let mut spec = default_spec(&path("bundle"));
        spec["root"] = json!({ "path": path("run/rootfs"), "readonly": false });
        spec["process"]["terminal"] = json!(false);
        spec["process"]["args"] = json!(args);
        Container { dir, config, spec }
    }

    /// With standard input, which ends with the client that started it.
    pub(crate) fn with_stdin(mut self) -> Container {
        (self.config.stdin_open, self.config.stdin_once) = (true, true);
        self
    }

    /// With a terminal of this size.
    pub(crate) fn with_terminal(mut self, rows: u16, columns: u16) -> Container {
        self.spec["process"]["terminal"] = json!(true);
        // crun does not wait for whoever gets the terminal: the program may run before the monitor has set the size.
        self.spec["process"]["consoleSize"] = json!({ "height": rows, "width": columns });
        (self.config.terminal, self.config.terminal_size) = (true, Some((rows, columns)));
        self.with_stdin()
    }

    /// Writes the configuration as it is now.
    pub(crate) fn write(&self) -> PathBuf {
        let spec = serde_json::to_vec_pretty(&self.spec).unwrap();
        std::fs::write(self.config.bundle.join("config.json"), spec).unwrap();
        let path = self.config.container_dir.join("monitor.json");
        std::fs::write(&path, serde_json::to_vec_pretty(&self.config).unwrap()).unwrap();
        path
    }

    /// Starts the monitor as this user, and waits for its word.
    pub(crate) fn start(&self) -> (StartReport, UnixStream) {
        self.start_by(&[env!("CARGO_BIN_EXE_carboy-monitor")])
    }

    /// Starts it by another command, which is given the monitor's arguments.
    pub(crate) fn start_by(&self, command: &[&str]) -> (StartReport, UnixStream) {
        let config = self.write();
        let (mut status_read, status_write) = std::io::pipe().unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_read_timeout(Some(PATIENCE)).unwrap();
        let tail = ["run", "--config", config.to_str().unwrap(), "--status-fd", "3", "--attach-fd=4"];
        let args: Vec<&str> = command.iter().chain(&tail).copied().collect();
        let spawner = spawn_with(&args, &[(status_write.as_fd(), 3), (theirs.as_fd(), 4)]);
        drop((status_write, theirs));
        let mut line = String::new();
        status_read.read_to_string(&mut line).unwrap();
        // It has detached: what was spawned here is gone, or about to be.
        waitpid(Some(spawner), WaitOptions::empty()).unwrap();
        assert_eq!(line.matches('\n').count(), 1, "one line on the status descriptor: {line:?}");
        (serde_json::from_str(&line).unwrap(), ours)
    }

    /// Starts it, which must succeed.
    pub(crate) fn started(&self) -> (Started, UnixStream) {
        match self.start() {
            (StartReport::Started { started, .. }, client) => (started, client),
            (StartReport::Failed { message, code }, _) => panic!("not started: {message} ({code})"),
        }
    }

    /// Starts it, which must fail: message and code.
    pub(crate) fn refused(&self) -> (String, i32) {
        match self.start() {
            (StartReport::Failed { message, code }, _) => (message, code),
            (StartReport::Started { .. }, _) => panic!("started"),
        }
    }

    /// Runs it to its end.
    pub(crate) fn run(&self) -> Output {
        let (_, client) = self.started();
        let output = collect(&client);
        self.wait_for_end();
        output
    }

    /// Connects as another client.
    pub(crate) fn attach(&self) -> UnixStream {
        let client = UnixStream::connect(self.config.run_dir.join(file::ATTACH)).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client
    }

    /// Waits until nobody holds the monitor's lock.
    pub(crate) fn wait_for_end(&self) {
        let path = self.config.run_dir.join(file::LOCK);
        eventually("the lock is released", || {
            !path.exists()
                || std::fs::File::open(&path).is_ok_and(|lock| {
                    rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockShared).is_ok()
                })
        });
    }

    pub(crate) fn exit(&self) -> Exit {
        serde_json::from_slice(&std::fs::read(self.config.container_dir.join(file::EXIT)).unwrap()).unwrap()
    }

    /// The log's text and streams, record by record.
    pub(crate) fn log(&self) -> Vec<(String, String)> {
        let LogConfig::JsonFile { path, .. } = &self.config.log else { panic!("no log") };
        let text = std::fs::read_to_string(path).unwrap();
        let parse = |line: &str| {
            let record: Value = serde_json::from_str(line).unwrap();
            (record["log"].as_str().unwrap().to_owned(), record["stream"].as_str().unwrap().to_owned())
        };
        text.lines().map(parse).collect()
    }

    /// What the log holds of one stream.
    pub(crate) fn logged(&self, stream: &str) -> String {
        self.log().into_iter().filter(|(_, s)| s == stream).map(|(text, _)| text).collect()
    }

    /// Nothing is mounted, no process runs, and of the run only the lock is left.
    pub(crate) fn assert_nothing_left(&self) {
        let names = |path: &Path| -> Vec<String> {
            let entries = std::fs::read_dir(path).into_iter().flatten();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        };
        assert_eq!(names(&self.config.run_dir), [file::LOCK]);
        assert_eq!(names(&self.dir.path().join("state")), [""; 0]);
        let text = self.dir.path().to_str().unwrap();
        assert!(!std::fs::read_to_string("/proc/self/mountinfo").unwrap().contains(text));
        eventually("no process is left", || processes_naming(text).is_empty());
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let text = self.dir.path().to_str().unwrap().to_owned();
        let record = std::fs::read(self.config.container_dir.join(file::STARTED)).unwrap_or_default();
        if let Ok(started) = serde_json::from_slice::<Started>(&record)
            && carboy_state::process::ProcessRef::start_of(started.pid) == Some(started.pid_start)
        {
            let _ = kill_process(Pid::from_raw(started.pid).unwrap(), Signal::KILL);
        }
        let begin = Instant::now();
        while !processes_naming(&text).is_empty() && begin.elapsed() < Duration::from_secs(3) {
            std::thread::sleep(Duration::from_millis(20));
        }
        for pid in processes_naming(&text) {
            let _ = kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
        }
        let runtime = &self.config.runtime;
        if std::fs::read_dir(self.dir.path().join("state")).is_ok_and(|mut entries| entries.next().is_some()) {
            let mut command = Command::new(&runtime.path);
            let _ = command.args(&runtime.global_args).args(["delete", "--force", &self.config.id]).output();
        }
    }
}

/// PIDs of processes whose command line holds a text.
pub(crate) fn processes_naming(text: &str) -> Vec<i32> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let names = |pid: &i32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(text)
    };
    pids.filter(names).collect()
}

/// What a client got.
#[derive(Debug, Default)]
pub(crate) struct Output {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    /// Absent if the connection ended without.
    pub(crate) exit: Option<Exit>,
}

impl Output {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.stdout.clone()).unwrap()
    }

    pub(crate) fn code(&self) -> i32 {
        self.exit.as_ref().expect("an EXIT frame").code
    }
}

/// Reads until the connection ends.
pub(crate) fn collect(client: &UnixStream) -> Output {
    collect_until(client, |_| false)
}

/// Reads until the connection ends, or enough is there.
pub(crate) fn collect_until(mut client: &UnixStream, enough: impl Fn(&Output) -> bool) -> Output {
    let mut output = Output::default();
    let mut decoder = Decoder::new();
    while !enough(&output) && decoder.read_from(&mut client).expect("something within a time") > 0 {
        while let Some(frame) = decoder.next_frame().unwrap() {
            match frame.kind {
                attach::STDOUT => output.stdout.extend_from_slice(frame.payload),
                attach::STDERR => output.stderr.extend_from_slice(frame.payload),
                attach::EXIT => output.exit = Some(serde_json::from_slice(frame.payload).unwrap()),
                other => panic!("frame of kind {other}"),
            }
        }
    }
    output
}

/// Waits for something to become true.
pub(crate) fn eventually(what: &str, mut is_true: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_true() {
        assert!(begin.elapsed() < PATIENCE, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub(crate) fn spawn_with(args: &[&str], fds: &[(BorrowedFd<'_>, i32)]) -> Pid {
    let list = StringList::new(args.iter().map(|arg| CString::new(*arg).unwrap()).collect());
    let path = CString::new(args[0]).unwrap();
    spawn(&Spawn { path: &path, args: &list, env: None, fds }).unwrap()
}

/// Keeps both ends of a client's socket apart from the test's own.
pub(crate) fn close(client: UnixStream) {
    drop(OwnedFd::from(client));
}

fn runtime_command(runtime: Runtime, dir: &Path) -> RuntimeCommand {
    let global_args = vec!["--root".into(), dir.join("state").to_str().unwrap().into()];
    let path = match runtime {
        Runtime::Runc => "/usr/sbin/runc".into(),
        Runtime::Crun => crun_without_hybrid(dir),
        Runtime::Ours => env!("CARGO_BIN_EXE_carboy-runtime").into(),
    };
    RuntimeCommand { path, global_args, ours: runtime == Runtime::Ours }
}

/// crun refuses the hybrid cgroup set-up; it gets a mount namespace without the second hierarchy.
fn crun_without_hybrid(dir: &Path) -> PathBuf {
    let path = dir.join("crun");
    let script =
        "#!/bin/sh\nexec unshare -m sh -c 'umount /sys/fs/cgroup/unified 2>/dev/null; exec crun \"$@\"' crun \"$@\"\n";
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn make_busybox(root: &Path) {
    for name in ["bin", "proc", "sys", "dev", "tmp", "etc"] {
        std::fs::create_dir_all(root.join(name)).unwrap();
    }
    std::fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
    for name in ["sh", "cat", "echo", "sleep", "id", "head", "seq", "stty", "tty", "yes", "dd", "kill", "true", "mount"]
    {
        symlink("busybox", root.join("bin").join(name)).unwrap();
    }
}

fn default_spec(bundle: &Path) -> Value {
    let output = Command::new("runc").arg("spec").current_dir(bundle).output().unwrap();
    assert!(output.status.success(), "runc spec: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&std::fs::read(bundle.join("config.json")).unwrap()).unwrap()
}
