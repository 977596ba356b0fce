//! Steps as people see them: name, calls, reason. The same values are executed.

mod calls;
mod mounts;
mod names;

use crate::step::{Action, Signal, Step, When};
use calls::{
    appearance_calls, clone_calls, device_call, device_move, identity_calls, join_call, limit_calls, map_calls,
};
use carboy_wire::plan::{Actor, StepReport};
use mounts::{mount_calls, mount_reason, propagation_name, source_calls};

impl Step {
    /// The step as it is shown.
    pub fn report(&self) -> StepReport {
        let (calls, why) = self.action.explain(self.actor);
        let from = self.from.to_string();
        StepReport {
            actor: self.actor,
            name: self.name(),
            calls,
            why: why.to_owned(),
            from,
            took_ns: None,
            error: None,
        }
    }

    /// Its name, unique in meaning.
    pub fn name(&self) -> String {
        self.action.name()
    }
}

impl Action {
    fn explain(&self, actor: Actor) -> (Vec<String>, &'static str) {
        match self {
            Action::Clone(birth) => (clone_calls(birth), "one process, born into all its new namespaces at once"),
            Action::IdMaps(maps) => (map_calls(maps), "users of the container are other users of the host"),
            Action::OomScore(score) => (
                vec![format!("write /proc/<init>/oom_score_adj \"{score}\"")],
                "who is killed first when memory runs out",
            ),
            Action::Cgroup(placement) => (placement.calls(), "the container's resources are limited and counted"),
            Action::Hierarchies(placement) => {
                (placement.calls(), "the container's resources are limited and counted; made while init is under way")
            }
            Action::OuterLimits(limits) => {
                (limit_calls("prlimit(<init>, ", limits), "in its user namespace init may not raise them")
            }
            Action::NetDevices(devices, joined) => (
                devices.iter().map(|device| device_move(device, joined.as_deref())).collect(),
                "the host lends its devices",
            ),
            Action::OpenSource(mount) => (
                ["setns(pidfd of init, CLONE_NEWNS)".to_owned()]
                    .into_iter()
                    .chain(source_calls(mount))
                    .chain(["sendmsg".to_owned()])
                    .collect(),
                "in its user namespace init may not open every path of the host",
            ),
            Action::Affinity(when, cpus) => (
                vec![format!("sched_setaffinity({cpus:x?})")],
                match when {
                    When::Initial => "while it moves into the cgroup",
                    When::Final => "once it is there",
                },
            ),
            Action::Hooks(_, hooks) => {
                (hooks.iter().map(|h| format!("run {}", h.path)).collect(), "the caller's own set-up")
            }
            Action::Tell(signal) => (vec![format!("sendmsg({signal:?})")], signal_reason(*signal)),
            _ => self.explain_early(actor),
        }
    }

    fn explain_early(&self, actor: Actor) -> (Vec<String>, &'static str) {
        match self {
            Action::BecomeRoot => (
                ["setgroups([])", "setresgid(0)", "setresuid(0)"].map(String::from).into(),
                "until here it is nobody in the user namespace, and what it makes would have no owner",
            ),
            Action::Session => (vec!["setsid()".into()], "a session and process group of its own"),
            Action::Join(list) => (list.iter().map(join_call).collect(), "namespaces that others made"),
            Action::Appear(with) => {
                (appearance_calls(with), "from here on processes of the container can look into it")
            }
            Action::JoinCgroup => {
                (vec!["write cgroup.procs \"0\"".into()], "moving oneself avoids the lock of moving another")
            }
            Action::JoinHierarchies(paths) => (
                paths.iter().map(|path| format!("write {} \"0\"", path.join("tasks").display())).collect(),
                "moving oneself avoids the lock of moving another",
            ),
            Action::NetworkNamespace => {
                (vec!["unshare(CLONE_NEWNET)".into()], "made by init itself, as it takes the kernel half a millisecond")
            }
            Action::IpcNamespace => {
                (vec!["unshare(CLONE_NEWIPC)".into()], "made by its root, who owns its mqueue then")
            }
            Action::CurrentRoot => (vec!["open(\"/\", O_PATH)".into()], "paths are looked up from this descriptor"),
            Action::CgroupNamespace => {
                (vec!["unshare(CLONE_NEWCGROUP)".into()], "its own cgroup becomes the root that it sees")
            }
            Action::TimeNamespace(lines) => (
                vec![
                    "unshare(CLONE_NEWTIME)".into(),
                    format!("write /proc/self/timens_offsets {lines:?}"),
                    "setns".into(),
                ],
                "clocks of its own",
            ),
            Action::Loopback => {
                (vec!["ioctl(SIOCSIFFLAGS, \"lo\", IFF_UP)".into()], "a new network namespace has lo, but down")
            }
            Action::Keyring(name) => {
                (vec![format!("keyctl(JOIN_SESSION_KEYRING, {name:?})")], "keys of the host stay out of reach")
            }
            Action::KeyLabel(label) => {
                (vec![format!("write attr/keycreate {label:?}")], "the keyring has the label of the program")
            }
            _ => self.explain_root(actor),
        }
    }

    fn explain_root(&self, actor: Actor) -> (Vec<String>, &'static str) {
        match self {
            Action::Isolate(flag) => (
                vec![format!("mount_setattr(\"/\", AT_RECURSIVE, {})", propagation_name(*flag))],
                "what is mounted here does not appear on the host",
            ),
            Action::Root { path, .. } => (
                vec![format!("open_tree({path:?}, OPEN_TREE_CLONE|AT_RECURSIVE)"), format!("move_mount(→ {path:?})")],
                "pivot_root wants a mount; paths inside are looked up from its descriptor",
            ),
            Action::Mount(mount) => (mount_calls(mount), mount_reason(mount)),
            Action::Devices(nodes) => {
                (nodes.iter().map(device_call).collect(), "the devices that every program expects")
            }
            Action::Links(links) => (
                links.iter().map(|(to, name)| format!("symlink({to:?}, {name:?})")).collect(),
                "names that programs expect",
            ),
            Action::Console(_) => (
                [
                    "openat2(\"/dev/pts/ptmx\")",
                    "ioctl(TIOCGPTPEER)",
                    "sendmsg(master)",
                    "ioctl(TIOCSCTTY)",
                    "dup2(→ 0, 1, 2)",
                ]
                .map(String::from)
                .into(),
                "a terminal of the container's own devpts",
            ),
            Action::Pivot { move_only: true } => (
                ["umount2(/proc, /sys, MNT_DETACH)", "mount(MS_MOVE)", "chroot(\".\")"].map(String::from).into(),
                "--no-pivot, for a host that runs from an initramfs",
            ),
            Action::Pivot { .. } => (
                ["fchdir(root)", "pivot_root(\".\", \".\")", "umount2(\".\", MNT_DETACH)"].map(String::from).into(),
                "the host's files are gone for good",
            ),
            Action::RootPropagation(flag, recursive) => {
                let all = if *recursive { ", AT_RECURSIVE" } else { "" };
                (vec![format!("mount_setattr(root{all}, {})", propagation_name(*flag))], "as asked")
            }
            Action::ReadonlyRoot => (vec!["mount_setattr(root, MOUNT_ATTR_RDONLY)".into()], "the image stays as it is"),
            Action::Hostname(name) => (vec![format!("sethostname({name:?})")], "the name that the container goes by"),
            Action::Domainname(name) => (vec![format!("setdomainname({name:?})")], "its NIS domain"),
            Action::Sysctl(path, value) => {
                (vec![format!("write /proc/sys/{path} {value:?}")], "a parameter of its own namespaces")
            }
            Action::Mask(paths, _) => (
                paths.iter().map(|path| format!("move_mount(/dev/null or empty tmpfs → {path:?})")).collect(),
                "they tell of the host, or change it",
            ),
            Action::Readonly(paths) => (
                paths.iter().map(|path| format!("open_tree, mount_setattr(RDONLY), move_mount({path:?})")).collect(),
                "they configure the kernel that all share",
            ),
            _ => self.explain_process(actor),
        }
    }

    fn explain_process(&self, _actor: Actor) -> (Vec<String>, &'static str) {
        match self {
            Action::Limits(limits) => (limit_calls("setrlimit(", limits), "limits of the process"),
            Action::Scheduler(attr) => (vec![format!("sched_setattr({attr:?})")], "as asked"),
            Action::IoPriority(class, level) => (vec![format!("ioprio_set({class}, {level})")], "as asked"),
            Action::Personality(domain) => (vec![format!("personality({domain:#x})")], "as asked"),
            Action::MemoryPolicy(mode, nodes) => (vec![format!("set_mempolicy({mode:#x}, {nodes:?})")], "as asked"),
            Action::NoNewPrivileges => (vec!["prctl(PR_SET_NO_NEW_PRIVS)".into()], "set-user-ID programs give nothing"),
            Action::Seccomp(filter) => (
                vec![format!("seccomp(SECCOMP_SET_MODE_FILTER, {} instructions)", filter.program.len())],
                "the part of the kernel that can be attacked shrinks",
            ),
            Action::AppArmor(profile) => {
                (vec![format!("write attr/apparmor/exec \"exec {profile}\"")], "confined by AppArmor")
            }
            Action::Selinux(label) => (vec![format!("write attr/exec {label:?}")], "confined by SELinux"),
            Action::Identity(identity) => {
                (identity_calls(identity), "the program's user, with no more power than given")
            }
            Action::Descriptors(preserved) => (
                vec![format!("close_range({}, ~0) but the sockets and the root's", 3 + preserved)],
                "from here on paths of the container are looked up, which must not lead out through one of them",
            ),
            Action::WorkingDirectory { path, .. } => (
                vec![format!("openat2({path:?}, RESOLVE_IN_ROOT|RESOLVE_NO_MAGICLINKS)"), "fchdir".into()],
                "where it starts",
            ),
            Action::Find(name, path) => (
                vec![format!("faccessat({name:?}, X_OK) in {path}")],
                "a missing program is reported before it is needed",
            ),
            Action::AwaitStart => (vec!["accept(start.sock)".into()], "`start` lets it go on"),
            Action::Execute(program) => (vec![format!("execve({:?})", program.args)], "the program replaces init"),
            // Those above are all: a step that is forgotten there has a name at least.
            _ => (Vec::new(), ""),
        }
    }
}

fn signal_reason(signal: Signal) -> &'static str {
    match signal {
        Signal::MapsWritten => "without maps init is nobody",
        Signal::Placed => "what follows belongs to the cgroup",
        Signal::WantSource => "earlier mounts may lie over it",
        Signal::RootfsReady => "the hooks may look at them",
        Signal::HooksDone => "init waits for them",
        Signal::Created => "the record can be written",
        Signal::Proceed => "its PID is on record, so it can be found after any crash",
    }
}
