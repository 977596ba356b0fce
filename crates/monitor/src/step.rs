//! The monitor's steps as data: what `run` executes in this order, and what `explain` prints.
//!
//! Computed from the configuration alone; nothing here touches the kernel.

use carboy_wire::monitor::{LogConfig, MonitorConfig, RootMount, UserNamespace, file};
use carboy_wire::plan::{Actor, PlanReport, StepReport};
use std::path::PathBuf;

/// One step.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    /// Become a process of its own, with nothing of the spawner's but what was given.
    Detach,
    /// Hold the lock whose release tells that the container has ended.
    Lock(PathBuf),
    /// Become the parent of what the runtime leaves behind.
    BecomeSubreaper,
    /// Rootless: a user namespace with these maps.
    UserNamespace(UserNamespace),
    /// A mount namespace of its own.
    MountNamespace,
    /// The root file system.
    MountRoot { root: RootMount, target: PathBuf, volatile: bool },
    /// Our runtime's file, read-only in this namespace.
    ProtectRuntime(PathBuf),
    /// Pipes for the program.
    OpenPipes { stdin: bool },
    /// A socket on which the runtime hands over the terminal.
    OpenConsole(PathBuf),
    /// Start the runtime; it works while the next steps are done.
    SpawnRuntime(Vec<String>),
    /// The socket for later clients.
    ListenAttach(PathBuf),
    /// The log.
    OpenLog(PathBuf),
    /// The monitor's PID.
    WritePid(PathBuf),
    /// Wait until the runtime has ended, and see how.
    AwaitRuntime(PathBuf),
    /// Put the start on record.
    WriteStarted(PathBuf),
    /// Carry data until the program ends.
    Serve,
    /// Delete the container from the runtime.
    DeleteContainer(Vec<String>),
    /// Unmount the root file system.
    UnmountRoot(PathBuf),
    /// Remove the files of the run.
    RemoveRunFiles(Vec<PathBuf>),
    /// Put the exit on record.
    WriteExit(PathBuf),
    /// Make that record outlast the machine, once everybody has been told.
    SyncExit(PathBuf),
    /// Remove a whole tree.
    RemoveTree(PathBuf),
}

/// What will be done, in order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    /// Until the program runs. A failure undoes what was done.
    pub(crate) start: Vec<Step>,
    /// From then on. A failure is put on record and the rest is done all the same.
    pub(crate) finish: Vec<Step>,
}

impl Plan {
    pub(crate) fn new(config: &MonitorConfig) -> Plan {
        Plan { start: start(config), finish: finish(config) }
    }

    /// Both lists, as `explain` prints them.
    pub(crate) fn report(&self) -> PlanReport {
        PlanReport { steps: self.start.iter().chain(&self.finish).map(Step::report).collect() }
    }
}

fn start(config: &MonitorConfig) -> Vec<Step> {
    let in_run_dir = |name: &str| config.run_dir.join(name);
    let mut steps = vec![Step::Detach, Step::Lock(in_run_dir(file::LOCK)), Step::BecomeSubreaper];
    if let Some(maps) = &config.user_namespace {
        steps.push(Step::UserNamespace(maps.clone()));
    }
    steps.push(Step::MountNamespace);
    if let Some(root) = &config.root_mount {
        // What is removed in the end need not reach the disk: unmounting would otherwise write back all of its file system, which
        // takes tens of milliseconds on a busy one.
        let volatile = match root {
            RootMount::Overlay { upper, .. } => config.remove_on_exit.iter().any(|path| upper.starts_with(path)),
            RootMount::Bind { .. } => false,
        };
        steps.push(Step::MountRoot { root: root.clone(), target: in_run_dir(file::ROOTFS), volatile });
    }
    if config.runtime.ours {
        steps.push(Step::ProtectRuntime(config.runtime.path.clone()));
    }
    steps.push(match config.terminal {
        true => Step::OpenConsole(in_run_dir(CONSOLE)),
        false => Step::OpenPipes { stdin: config.stdin_open },
    });
    steps.push(Step::SpawnRuntime(run_arguments(config)));
    steps.push(Step::ListenAttach(in_run_dir(file::ATTACH)));
    if let LogConfig::JsonFile { path, .. } = &config.log {
        steps.push(Step::OpenLog(path.clone()));
    }
    steps.push(Step::WritePid(in_run_dir(file::MONITOR_PID)));
    steps.push(Step::AwaitRuntime(in_run_dir(file::PID)));
    steps.push(Step::WriteStarted(config.container_dir.join(file::STARTED)));
    steps
}

fn finish(config: &MonitorConfig) -> Vec<Step> {
    let in_run_dir = |name: &str| config.run_dir.join(name);
    let mut steps = vec![Step::Serve, Step::DeleteContainer(delete_arguments(config))];
    let mut files = vec![file::ATTACH, file::PID, file::MONITOR_PID, RUNTIME_LOG];
    if config.root_mount.is_some() {
        steps.push(Step::UnmountRoot(in_run_dir(file::ROOTFS)));
        files.push(file::ROOTFS);
    }
    steps.push(Step::RemoveRunFiles(files.into_iter().map(in_run_dir).collect()));
    // What is about to be removed need not be written, and above all not be synced.
    let record_stays = !config.remove_on_exit.iter().any(|path| config.container_dir.starts_with(path));
    let record = config.container_dir.join(file::EXIT);
    if record_stays {
        steps.push(Step::WriteExit(record.clone()));
    }
    steps.extend(config.remove_on_exit.iter().cloned().map(Step::RemoveTree));
    // A sync may take a tenth of a second on a busy disk, for which nobody has to wait.
    if record_stays {
        steps.push(Step::SyncExit(record));
    }
    steps
}

/// In `run_dir`: what the runtime says, line by line in JSON.
pub(crate) const RUNTIME_LOG: &str = "runtime.log";
/// In `run_dir`: the runtime's steps and times.
pub(crate) const RUNTIME_TRACE: &str = "trace.json";
/// In `run_dir`: the socket on which the runtime hands over the terminal.
pub(crate) const CONSOLE: &str = "console";

/// The runtime's arguments for starting, without its name. The console socket's name is put in by whoever bound it.
fn run_arguments(config: &MonitorConfig) -> Vec<String> {
    let in_run_dir = |name: &str| text(config.run_dir.join(name));
    let mut args = global_arguments(config);
    args.extend(["run".into(), "--detach".into(), "--bundle".into(), text(config.bundle.clone())]);
    args.extend(["--pid-file".into(), in_run_dir(file::PID)]);
    if config.terminal {
        args.extend(["--console-socket".into(), in_run_dir(CONSOLE)]);
    }
    if config.trace && config.runtime.ours {
        args.extend(["--trace".into(), in_run_dir(RUNTIME_TRACE)]);
    }
    args.push(config.id.clone());
    args
}

fn delete_arguments(config: &MonitorConfig) -> Vec<String> {
    let mut args = global_arguments(config);
    args.extend(["delete".into(), "--force".into(), config.id.clone()]);
    args
}

fn global_arguments(config: &MonitorConfig) -> Vec<String> {
    let mut args = config.runtime.global_args.clone();
    let log = text(config.run_dir.join(RUNTIME_LOG));
    args.extend(["--log".into(), log, "--log-format".into(), "json".into()]);
    args
}

fn text(path: PathBuf) -> String {
    path.into_os_string().into_string().unwrap_or_else(|path| path.to_string_lossy().into_owned())
}

impl Step {
    /// The step as it is shown.
    pub(crate) fn report(&self) -> StepReport {
        let (name, calls, why, from) = self.words();
        let actor = Actor::Monitor;
        StepReport { actor, name, calls, why: why.into(), from: from.into(), took_ns: None, error: None }
    }

    fn words(&self) -> (String, Vec<String>, &'static str, &'static str) {
        match self {
            Step::Detach => (
                "detach".into(),
                strings(&["setsid()", "fork()", "close_range(3, ~0)", "dup2(/dev/null, 0, 1, 2)", "chdir(\"/\")"]),
                "the container outlives the command that started it",
                "always",
            ),
            Step::BecomeSubreaper => (
                "become subreaper".into(),
                strings(&["prctl(PR_SET_CHILD_SUBREAPER, 1)", "rt_sigprocmask(SIG_SETMASK, all)", "signalfd4()"]),
                "the program, orphaned by the runtime, is this process's to wait for",
                "always",
            ),
            Step::MountNamespace => (
                "mount namespace".into(),
                strings(&["unshare(CLONE_NEWNS)", "mount(\"/\", MS_REC|MS_SLAVE)"]),
                "the container's root is mounted here, not in the host's table; the kernel unmounts it with this process",
                "always",
            ),
            Step::OpenPipes { stdin } => (
                "pipes".into(),
                strings(&[if *stdin { "pipe2() × 3" } else { "pipe2() × 2, open(\"/dev/null\")" }]),
                "the program's standard streams pass through the monitor",
                "terminal, stdin_open",
            ),
            Step::Serve => (
                "serve".into(),
                strings(&["poll()", "read()", "write()", "sendmsg()", "waitid(P_PIDFD)"]),
                "output goes to the log and to clients, input to the program, until it ends",
                "always",
            ),
            Step::Lock(_) | Step::ListenAttach(_) | Step::OpenLog(_) | Step::WritePid(_) | Step::OpenConsole(_) => {
                self.file_words()
            }
            Step::UserNamespace(_) | Step::MountRoot { .. } | Step::UnmountRoot(_) => self.root_words(),
            Step::ProtectRuntime(_) | Step::SpawnRuntime(_) | Step::AwaitRuntime(_) | Step::DeleteContainer(_) => {
                self.runtime_words()
            }
            Step::WriteStarted(_)
            | Step::RemoveRunFiles(_)
            | Step::WriteExit(_)
            | Step::SyncExit(_)
            | Step::RemoveTree(_) => self.record_words(),
        }
    }

    fn file_words(&self) -> (String, Vec<String>, &'static str, &'static str) {
        match self {
            Step::Lock(path) => (
                "lock".into(),
                vec![format!("open({path:?}, O_CREAT)"), "flock(LOCK_EX)".into()],
                "its release, by the kernel, tells everybody that the container has ended",
                "run_dir",
            ),
            Step::ListenAttach(path) => (
                "listen for clients".into(),
                vec!["socket(AF_UNIX)".into(), format!("bind({path:?}), mode 0600"), "listen()".into()],
                "others can attach later",
                "run_dir",
            ),
            Step::OpenLog(path) => (
                "open log".into(),
                vec![format!("open({path:?}, O_APPEND|O_CREAT)")],
                "what the program writes can be read later",
                "log",
            ),
            Step::OpenConsole(path) => (
                "console socket".into(),
                vec!["socket(AF_UNIX)".into(), format!("bind({path:?})"), "listen()".into()],
                "the runtime makes the terminal inside the container and hands its master over",
                "terminal",
            ),
            Step::WritePid(path) => {
                ("record PID".into(), vec![format!("write({path:?})")], "to find the monitor", "run_dir")
            }
            _ => (String::new(), Vec::new(), "", ""),
        }
    }

    fn root_words(&self) -> (String, Vec<String>, &'static str, &'static str) {
        match self {
            Step::UserNamespace(maps) => (
                "user namespace".into(),
                user_namespace_calls(maps),
                "root in the container is an ordinary user outside",
                "user_namespace",
            ),
            Step::MountRoot { root, target, volatile } => (
                "mount root".into(),
                crate::rootfs::calls(root, target, *volatile),
                match root {
                    RootMount::Overlay { .. } => {
                        "the image's layers, shared and read-only, below one writable directory"
                    }
                    RootMount::Bind { .. } => "the user's directory, as it is",
                },
                "root_mount",
            ),
            Step::UnmountRoot(path) => (
                "unmount root".into(),
                vec![format!("umount2({path:?})")],
                "the writable directory can be removed and the layers unmounted",
                "root_mount",
            ),
            _ => (String::new(), Vec::new(), "", ""),
        }
    }

    fn runtime_words(&self) -> (String, Vec<String>, &'static str, &'static str) {
        match self {
            Step::ProtectRuntime(path) => (
                "protect runtime".into(),
                vec![
                    format!("open_tree({path:?}, OPEN_TREE_CLONE)"),
                    "mount_setattr(MOUNT_ATTR_RDONLY)".into(),
                    format!("move_mount({path:?})"),
                ],
                "a container cannot overwrite the runtime by way of /proc/PID/exe, and the runtime need not copy itself",
                "runtime",
            ),
            Step::SpawnRuntime(args) => (
                "start runtime".into(),
                vec!["clone(CLONE_VM|CLONE_VFORK)".into(), format!("execve({:?})", args)],
                "it makes the container; meanwhile the monitor goes on",
                "runtime",
            ),
            Step::AwaitRuntime(pid_file) => (
                "await runtime".into(),
                vec!["waitid(runtime)".into(), format!("read({pid_file:?})"), "pidfd_open()".into()],
                "the program runs once the runtime has ended well",
                "always",
            ),
            Step::DeleteContainer(args) => (
                "delete container".into(),
                vec!["clone(CLONE_VM|CLONE_VFORK)".into(), format!("execve({:?})", args)],
                "cgroups and the runtime's record go",
                "runtime",
            ),
            _ => (String::new(), Vec::new(), "", ""),
        }
    }

    fn record_words(&self) -> (String, Vec<String>, &'static str, &'static str) {
        match self {
            Step::WriteStarted(path) => (
                "record start".into(),
                vec![format!("write({path:?})"), "rename()".into()],
                "the program is known by PID and start time",
                "container_dir",
            ),
            Step::RemoveRunFiles(paths) => (
                "remove run files".into(),
                paths.iter().map(|path| format!("unlink({path:?})")).collect(),
                "a container that has ended leaves no socket",
                "run_dir",
            ),
            Step::WriteExit(path) => (
                "record exit".into(),
                vec![format!("write({path:?})"), "rename()".into()],
                "the exit code outlasts the monitor",
                "container_dir",
            ),
            Step::SyncExit(path) => (
                "sync exit".into(),
                vec!["send EXIT, release the lock".into(), format!("fsync({path:?})"), "fsync(its folder)".into()],
                "the exit code outlasts the machine, too",
                "container_dir",
            ),
            Step::RemoveTree(path) => (
                "remove".into(),
                vec![format!("openat({path:?}, O_NOFOLLOW)"), "unlinkat() of everything below".into()],
                "the container was to be removed at its end",
                "remove_on_exit",
            ),
            _ => (String::new(), Vec::new(), "", ""),
        }
    }
}

fn user_namespace_calls(maps: &UserNamespace) -> Vec<String> {
    let ranges = |map: &[(u32, u32, u32)]| {
        map.iter().map(|(inside, outside, count)| format!("{inside} {outside} {count}")).collect::<Vec<_>>().join(", ")
    };
    let (uids, gids) = (ranges(&maps.uid_map), ranges(&maps.gid_map));
    let mut calls = vec!["unshare(CLONE_NEWUSER)".to_owned()];
    if maps.setuid_helpers {
        calls.extend([format!("newuidmap {uids:?}"), format!("newgidmap {gids:?}")]);
    } else {
        calls.extend([format!("write(uid_map, {uids:?})"), "write(setgroups, \"deny\"), unless privileged".into()]);
        calls.push(format!("write(gid_map, {gids:?})"));
    }
    calls
}

fn strings(items: &[&str]) -> Vec<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}
