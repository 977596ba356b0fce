//! What the engine tells the monitor, and what it answers.
//!
//! ```text
//! engine                                             monitor
//!   │  carboy-monitor run --config FILE --status-fd N [--attach-fd M]
//!   ├────────────────────────────────────────────────▶│ detaches: own session, fork, subreaper
//!   │                                                  │ flock <run_dir>/monitor.lock (held for its whole life)
//!   │                                                  │ [user namespace], mount namespace, root file system
//!   │                                                  │ carboy-runtime run --detach …
//!   │◀──────── one line of JSON: StartReport ──────────┤ (status fd, then closed)
//!   │◀═══════ attach frames (M, or <run_dir>/attach) ══▶│ pumps stdio, writes the log
//!   │                                                  │ program ends: runtime delete, <container_dir>/exit.json,
//!   │◀──────── EXIT frame ─────────────────────────────┤ removes `remove_on_exit`, closes, lock released by the kernel
//! ```
//!
//! Whoever waits for a container's end takes a shared lock on `monitor.lock` and then reads `exit.json`; a released lock without
//! `exit.json` means the monitor was killed, and the engine cleans up what the records name: it ends the program, which may still run
//! without standard streams, by `runtime delete --force`.
//!
//! The monitor's exit status tells nothing: the process that the engine spawned exits as soon as the monitor has detached, or with 125
//! if it did not come to that. A start that fails has undone everything (cgroups, mounts, sockets, and `remove_on_exit`) before it is
//! reported; `exit.json` then holds the message and 125, 126 or 127. A container whose `container_dir` is in `remove_on_exit` gets no
//! `exit.json`: its exit code is in the EXIT frame only.
//!
//! `exit.json` is renamed into place before the EXIT frame, and synced to the disk after the lock's release, so that nobody waits for
//! the disk. Signals TERM, INT, QUIT, HUP, USR1 and USR2 sent to the monitor are passed on to the program.

use crate::plan::PlanReport;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// File names within a container's folders.
pub mod file {
    /// In `container_dir`: [`super::Started`], written when the program has started.
    pub const STARTED: &str = "started.json";
    /// In `container_dir`: [`super::Exit`], written when the program has ended.
    pub const EXIT: &str = "exit.json";
    /// In `run_dir`: held with an exclusive flock by the monitor.
    pub const LOCK: &str = "monitor.lock";
    /// In `run_dir`: the attach socket.
    pub const ATTACH: &str = "attach";
    /// In `run_dir`: the program's PID, written by the runtime.
    pub const PID: &str = "pid";
    /// In `run_dir`: the monitor's PID, as text.
    pub const MONITOR_PID: &str = "monitor.pid";
    /// In `run_dir`: the mount point of the root file system, in the monitor's mount namespace.
    pub const ROOTFS: &str = "rootfs";
}

/// Everything the monitor is told, read from `--config`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MonitorConfig {
    /// Container ID.
    pub id: String,
    /// `<root>/containers/<id>`: what lasts. Exists.
    pub container_dir: PathBuf,
    /// `<runroot>/containers/<id>`: what a reboot may take. Exists.
    pub run_dir: PathBuf,
    /// The bundle, with its `config.json`. Its `root.path` is `run_dir/rootfs`.
    pub bundle: PathBuf,
    /// The runtime.
    pub runtime: RuntimeCommand,
    /// What to mount on `run_dir/rootfs`; absent when the bundle's root is ready as it is.
    pub root_mount: Option<RootMount>,
    /// Rootless: the maps of the user namespace that the monitor makes for itself and the runtime.
    pub user_namespace: Option<UserNamespace>,
    /// Whether the program has a terminal (`process.terminal`).
    pub terminal: bool,
    /// Initial size of the terminal: rows, columns. Set when the runtime hands the terminal over, before the program runs if the spec
    /// has `process.consoleSize` too.
    pub terminal_size: Option<(u16, u16)>,
    /// Whether standard input stays open (`-i`); otherwise it is /dev/null. A CLOSE_STDIN frame ends it, unless there is a terminal.
    pub stdin_open: bool,
    /// Whether standard input closes when a client leaves that has sent to it, or the client of `--attach-fd` (Docker's StdinOnce;
    /// `run -i` sets it). A terminal never closes so.
    pub stdin_once: bool,
    /// Where output is recorded.
    pub log: LogConfig,
    /// Removed after the end, in this order, each whole tree; for `--rm`.
    pub remove_on_exit: Vec<PathBuf>,
    /// Whether [`StartReport::Started`] carries the trace.
    pub trace: bool,
}

/// How the runtime is called: `path global_args… run --detach --bundle … --pid-file … ID`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RuntimeCommand {
    /// The executable.
    pub path: PathBuf,
    /// Arguments before the verb, such as `--root DIR`.
    pub global_args: Vec<String>,
    /// Whether it is ours, which understands `--trace FILE` after `run`.
    pub ours: bool,
}

/// A container's root file system.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum RootMount {
    /// An overlay.
    Overlay {
        /// Layer directories, topmost first (overlayfs order). At least one.
        lower: Vec<PathBuf>,
        /// Writable directory.
        upper: PathBuf,
        /// Work directory, beside `upper`.
        work: PathBuf,
        /// Whether overlay keeps its marks in `user.` attributes (rootless).
        userxattr: bool,
    },
    /// A directory of the user's (`--rootfs`), bound with everything below it.
    Bind {
        /// The directory.
        path: PathBuf,
    },
}

/// A rootless user namespace.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct UserNamespace {
    /// User ID ranges: first inside, first outside, count.
    pub uid_map: Vec<(u32, u32, u32)>,
    /// Group ID ranges.
    pub gid_map: Vec<(u32, u32, u32)>,
    /// Whether the maps are written by newuidmap and newgidmap (more than the user's own ID).
    pub setuid_helpers: bool,
}

/// Where output is recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "driver")]
pub enum LogConfig {
    /// Nowhere.
    None,
    /// Docker's json-file: a line `{"log":"…\n","stream":"stdout","time":"RFC 3339 with ns"}` for each line of output.
    JsonFile {
        /// The file.
        path: PathBuf,
        /// Bytes after which it is rotated; `None` for never.
        max_size: Option<u64>,
        /// Number of files kept; at least 1.
        max_files: u32,
    },
}

/// `started.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Started {
    /// The program's PID as the host sees it.
    pub pid: i32,
    /// Its start time: field 22 of /proc/PID/stat, in clock ticks since boot.
    pub pid_start: u64,
    /// The monitor's PID as the host sees it.
    pub monitor_pid: i32,
    /// The monitor's start time, likewise.
    pub monitor_start: u64,
    /// Nanoseconds since the epoch.
    pub at_ns: u64,
}

/// `exit.json` and the EXIT frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Exit {
    /// Exit status; 128 + signal if a signal ended it. 125, 126, 127 if it never started.
    pub code: i32,
    /// The signal, if one ended it.
    pub signal: Option<i32>,
    /// Whether the kernel killed it for want of memory.
    pub oom_killed: bool,
    /// Why it never started, or what the cleanup could not do.
    pub error: Option<String>,
    /// Nanoseconds since the epoch.
    pub at_ns: u64,
}

/// The monitor's one line on the status descriptor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StartReport {
    /// The program runs.
    Started {
        /// As in `started.json`.
        started: Started,
        /// The steps of monitor and runtime with their times, if asked for.
        trace: Option<PlanReport>,
    },
    /// Nothing runs, and what had been made is gone again.
    Failed {
        /// The cause, whole, as the runtime or the monitor said it.
        message: String,
        /// 125 (could not be made), 126 (program cannot be executed) or 127 (program not found).
        code: i32,
    },
}
