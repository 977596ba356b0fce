//! A bundle with all that belongs to it.

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const APPLETS: &[&str] = &[
    "sh", "true", "false", "cat", "id", "ls", "mount", "hostname", "env", "grep", "touch", "sleep", "tty", "stty",
    "echo", "head", "pwd", "mkdir", "stat", "readlink", "kill", "test", "wc", "chmod", "ulimit", "dd", "rm", "ps",
    "nproc", "mknod", "tr",
];

static SERIAL: AtomicU32 = AtomicU32::new(0);

/// A bundle, a state folder, a cgroup path.
pub(crate) struct Bundle {
    dir: tempfile::TempDir,
    pub(crate) config: Value,
    pub(crate) name: String,
}

/// What a command said.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Said {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Said { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Said {
    #[track_caller]
    pub(crate) fn good(self) -> String {
        assert_eq!(self.code, 0, "out: {} err: {}", self.out, self.err);
        self.out
    }

    #[track_caller]
    pub(crate) fn fails_with(&self, code: i32, words: &str) {
        assert!(self.code == code && self.err.contains(words), "{} out: {} err: {}", self.code, self.out, self.err);
    }
}

/// The runtime under test; another one by hand, to see what a test says of it.
pub(crate) fn binary() -> &'static str {
    static OTHER: OnceLock<Option<String>> = OnceLock::new();
    let other = OTHER.get_or_init(|| std::env::var("CARBOY_TEST_RUNTIME").ok());
    other.as_deref().unwrap_or(env!("CARGO_BIN_EXE_carboy-runtime"))
}

impl Bundle {
    pub(crate) fn new() -> Bundle {
        let dir = tempfile::Builder::new().prefix("runtime-test-").tempdir().unwrap();
        let name = format!("carboy-test-{}-{}", std::process::id(), SERIAL.fetch_add(1, Ordering::Relaxed));
        let rootfs = dir.path().join("rootfs");
        for folder in ["bin", "etc", "tmp"] {
            std::fs::create_dir_all(rootfs.join(folder)).unwrap();
        }
        std::fs::copy("/bin/busybox", rootfs.join("bin/busybox")).expect("busybox-static is installed");
        for applet in APPLETS {
            std::os::unix::fs::symlink("busybox", rootfs.join("bin").join(applet)).unwrap();
        }
        open_to_all(dir.path());
        let config = config(&name);
        Bundle { dir, config, name }
    }

    /// With a shell script as its program.
    pub(crate) fn script(text: &str) -> Bundle {
        let mut bundle = Bundle::new();
        bundle.config["process"]["args"] = json!(["sh", "-c", text]);
        bundle
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn rootfs(&self) -> PathBuf {
        self.dir.path().join("rootfs")
    }

    pub(crate) fn state_root(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// A field by its path, such as `linux/maskedPaths`.
    pub(crate) fn set(&mut self, path: &str, value: Value) {
        let mut at = &mut self.config;
        for part in path.split('/') {
            at = &mut at[part];
        }
        *at = value;
    }

    pub(crate) fn add_mount(&mut self, value: Value) {
        self.config["mounts"].as_array_mut().unwrap().push(value);
    }

    /// The runtime with these arguments, the configuration written.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        std::fs::write(self.dir.path().join("config.json"), self.config.to_string()).unwrap();
        let mut command = Command::new(binary());
        command.arg("--root").arg(self.state_root()).args(args).stdin(Stdio::null()).current_dir(self.dir.path());
        command
    }

    pub(crate) fn call(&self, args: &[&str]) -> Said {
        self.command(args).output().unwrap().into()
    }

    pub(crate) fn run(&self) -> Said {
        self.call(&["run", &self.name])
    }

    /// Runs detached; its output goes nowhere.
    pub(crate) fn run_detached(&self) {
        let status =
            self.command(&["run", "-d", &self.name]).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        assert!(status.success());
    }

    /// Creates; its output goes to a file, as whoever holds a pipe would wait for the container.
    pub(crate) fn create(&self) -> PathBuf {
        let path = self.dir.path().join("out");
        let out = std::fs::File::create(&path).unwrap();
        let status = self.command(&["create", &self.name]).stdout(out).stderr(Stdio::inherit()).status().unwrap();
        assert!(status.success());
        path
    }

    pub(crate) fn state(&self) -> Value {
        serde_json::from_str(&self.call(&["state", &self.name]).good()).unwrap()
    }

    pub(crate) fn status(&self) -> String {
        self.state()["status"].as_str().unwrap().to_owned()
    }

    pub(crate) fn wait_for(&self, status: &str) {
        wait_until(status, || self.status() == status);
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        for entry in std::fs::read_dir(self.state_root()).into_iter().flatten().flatten() {
            let id = entry.file_name().into_string().unwrap_or_default();
            let _ = Command::new(binary()).arg("--root").arg(self.state_root()).args(["delete", "-f", &id]).output();
        }
        assert!(cgroups_of(&self.name).is_empty() || std::thread::panicking(), "cgroups of {} are left", self.name);
    }
}

/// Copies the runtime. By cp(1): a descriptor for writing in this process would be inherited by what other tests start, and a file that
/// is open for writing cannot be executed.
pub(crate) fn copy_binary(to: &Path) {
    assert!(Command::new("cp").arg(binary()).arg(to).status().unwrap().success());
}

/// The directories of a cgroup at the top of any hierarchy.
pub(crate) fn cgroups_of(name: &str) -> Vec<PathBuf> {
    let hierarchies = std::fs::read_dir("/sys/fs/cgroup").unwrap().flatten().map(|entry| entry.path());
    hierarchies
        .chain([PathBuf::from("/sys/fs/cgroup")])
        .map(|path| path.join(name))
        .filter(|path| path.is_dir())
        .collect()
}

#[track_caller]
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    // The virtual machine of the lane has no hardware's help.
    let patience = if std::env::var_os("V2VM").is_some() { 200 } else { 20 };
    let end = Instant::now() + Duration::from_secs(patience);
    while !holds() {
        assert!(Instant::now() < end, "waited for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn open_to_all(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

pub(crate) const CAPABILITIES: [&str; 4] = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_CHOWN"];

/// What engines write, in short.
fn config(name: &str) -> Value {
    let mount = |to: &str, kind: &str, options: &[&str]| json!({ "destination": to, "type": kind, "source": kind, "options": options });
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "user": { "uid": 0, "gid": 0 },
            "args": ["true"],
            "env": ["PATH=/bin"],
            "cwd": "/",
            "capabilities": { "bounding": CAPABILITIES, "effective": CAPABILITIES, "permitted": CAPABILITIES },
            "noNewPrivileges": true
        },
        "root": { "path": "rootfs", "readonly": false },
        "hostname": "inside",
        "mounts": [
            mount("/proc", "proc", &[]),
            mount("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
            mount("/dev/pts", "devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]),
            mount("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
            mount("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
            mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
            mount("/sys/fs/cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"]),
        ],
        "linux": {
            "cgroupsPath": format!("/{name}"),
            "namespaces": [
                { "type": "pid" }, { "type": "network" }, { "type": "ipc" }, { "type": "uts" }, { "type": "mount" },
                { "type": "cgroup" }
            ],
            "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/scsi", "/sys/firmware"],
            "readonlyPaths": ["/proc/bus", "/proc/sys", "/proc/sysrq-trigger"]
        }
    })
}
