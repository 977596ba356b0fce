//! Steps as people see them: name, calls, reason. The same values are executed.

use crate::plan::namespaces::NAMES;
use crate::step::{
    Action, Appearance, Birth, DeviceNode, Identity, Join, Limit, MapOf, MountSource, MountStep, Place, Signal, Step,
    When,
};
use carboy_sys::mount::{Change, attr, propagation};
use carboy_wire::plan::{Actor, StepReport};

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
    /// The name of a step that does this. (Its `Debug` form would bring that of all the spec's types into the program.)
    pub fn name(&self) -> String {
        match self {
            Action::Clone(_) => "create init".into(),
            Action::IdMaps(_) => "map IDs".into(),
            Action::OomScore(_) => "OOM score".into(),
            Action::Cgroup(_) => "make cgroup".into(),
            Action::Hierarchies(_) => "make v1 cgroups".into(),
            Action::OuterLimits(_) => "limits from outside".into(),
            Action::NetDevices(..) => "network devices".into(),
            Action::OpenSource(mount) => format!("open the source of {}", mount.destination),
            Action::Affinity(When::Initial, _) => "CPUs at first".into(),
            Action::Affinity(When::Final, _) => "CPUs".into(),
            Action::Hooks(moment, _) => format!("{} hooks", moment.name()),
            Action::Tell(signal) => format!("tell {}", signal_name(*signal)),
            Action::BecomeRoot => "become root".into(),
            Action::Session => "session".into(),
            Action::Join(_) => "join namespaces".into(),
            Action::Appear(_) => "enter PID namespace".into(),
            Action::JoinCgroup => "join cgroup".into(),
            Action::JoinHierarchies(_) => "join v1 cgroups".into(),
            Action::NetworkNamespace => "network namespace".into(),
            Action::CurrentRoot => "open root".into(),
            Action::CgroupNamespace => "cgroup namespace".into(),
            Action::TimeNamespace(_) => "time namespace".into(),
            Action::Loopback => "loopback".into(),
            Action::Keyring(_) => "session keyring".into(),
            Action::KeyLabel(_) => "label of new keys".into(),
            Action::Isolate(_) => "isolate mounts".into(),
            Action::Root { .. } => "root file system".into(),
            Action::Mount(mount) => format!("mount {}", mount.destination),
            Action::Devices(_) => "device nodes".into(),
            Action::Links(_) => "links in /dev".into(),
            Action::Console(_) => "terminal".into(),
            Action::Pivot { .. } => "pivot root".into(),
            Action::RootPropagation(..) => "propagation of the root".into(),
            Action::ReadonlyRoot => "read-only root".into(),
            Action::Hostname(_) => "host name".into(),
            Action::Domainname(_) => "domain name".into(),
            Action::Sysctl(path, _) => format!("sysctl {path}"),
            Action::Mask(_) => "mask paths".into(),
            Action::Readonly(_) => "read-only paths".into(),
            Action::Limits(_) => "limits".into(),
            Action::Scheduler(_) => "scheduler".into(),
            Action::IoPriority(..) => "I/O priority".into(),
            Action::Personality(_) => "personality".into(),
            Action::MemoryPolicy(..) => "memory policy".into(),
            Action::NoNewPrivileges => "no new privileges".into(),
            Action::Seccomp(_) => "system call filter".into(),
            Action::AppArmor(_) => "AppArmor profile".into(),
            Action::Selinux(_) => "SELinux label".into(),
            Action::Identity(_) => "identity".into(),
            Action::Descriptors(_) => "close descriptors".into(),
            Action::WorkingDirectory { .. } => "working directory".into(),
            Action::Find(name, _) => format!("find {name}"),
            Action::AwaitStart => "await start".into(),
            Action::Execute(_) => "execute program".into(),
        }
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
            Action::Mask(paths) => (
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

fn signal_name(signal: Signal) -> &'static str {
    match signal {
        Signal::MapsWritten => "init: IDs are mapped",
        Signal::Placed => "init: cgroup entered",
        Signal::WantSource => "runtime: open the next source",
        Signal::RootfsReady => "runtime: mounts are made",
        Signal::HooksDone => "init: hooks have run",
        Signal::Created => "runtime: ready",
        Signal::Proceed => "init: proceed",
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

fn flags(bits: u64) -> String {
    let names: Vec<_> = NAMES.iter().filter(|(bit, ..)| bits & bit != 0).map(|(_, _, name)| *name).collect();
    if names.is_empty() { "0".into() } else { names.join("|") }
}

fn place(place: &Place) -> String {
    match place {
        Place::Path(path) => format!("{path:?}"),
        Place::Process(process) => format!("pidfd of {}", process.pid),
    }
}

fn join_call(join: &Join) -> String {
    format!("setns({}, {})", place(&join.place), flags(join.flags))
}

fn appearance_calls(with: &Appearance) -> Vec<String> {
    let close = format!("close_range({}, ~0) but the socket to the runtime", 3 + with.preserved);
    let keep = with.capabilities.map(|keep| {
        let names: Vec<_> = crate::plan::capabilities::names(keep).collect();
        format!("capset({})", names.join("|"))
    });
    [close].into_iter().chain(keep).chain(["clone3(CLONE_PARENT|CLONE_PIDFD)".to_owned()]).collect()
}

fn clone_calls(birth: &Birth) -> Vec<String> {
    let mut calls: Vec<String> =
        birth.pid_namespace.iter().map(|p| format!("setns({}, CLONE_NEWPID)", place(p))).collect();
    calls.extend(birth.through.iter().map(join_call));
    calls.push(format!("clone3({}|CLONE_PIDFD)", flags(birth.create)));
    calls
}

fn map_calls(maps: &crate::step::IdMaps) -> Vec<String> {
    let mut calls = Vec::new();
    if maps.deny_setgroups {
        calls.push("write /proc/<init>/setgroups \"deny\"".into());
    }
    let verb = |file: &str, program: &str| {
        if maps.helpers { format!("run {program}") } else { format!("write /proc/<init>/{file}") }
    };
    calls.push(format!("{} \"{}\"", verb("gid_map", "newgidmap"), ranges(&maps.gid)));
    calls.push(format!("{} \"{}\"", verb("uid_map", "newuidmap"), ranges(&maps.uid)));
    calls
}

fn limit_calls(call: &str, limits: &[Limit]) -> Vec<String> {
    let show = |value: Option<u64>| value.map_or("unlimited".to_owned(), |value| value.to_string());
    limits.iter().map(|l| format!("{call}{}, {}, {})", l.name, show(l.soft), show(l.hard))).collect()
}

fn device_call(node: &DeviceNode) -> String {
    if node.bind {
        return format!("bind the host's {}", node.path);
    }
    format!("mknodat({:?}, {} {}:{}, {:04o})", node.path, node.kind, node.major, node.minor, node.mode)
}

fn identity_calls(identity: &Identity) -> Vec<String> {
    let mut calls = vec![format!("umask({:04o})", identity.umask.unwrap_or(0o022))];
    if let Some(masks) = &identity.capabilities {
        let kept = carboy_oci::capabilities::NAMES.iter().enumerate().filter(|(bit, _)| masks.bounding & 1 << bit != 0);
        let kept: Vec<_> = kept.map(|(_, name)| *name).collect();
        calls.push(format!(
            "prctl(PR_CAPBSET_DROP, all but {})",
            if kept.is_empty() { "none".into() } else { kept.join(",") }
        ));
    }
    if let Some(groups) = &identity.groups {
        calls.push(format!("setgroups({groups:?})"));
    }
    calls.push(format!("setresgid({})", identity.gid));
    calls.push(format!("setresuid({})", identity.uid));
    if let Some(masks) = &identity.capabilities {
        let (e, p, i) = (masks.effective, masks.permitted, masks.inheritable);
        calls.push(format!("capset(effective {e:#x}, permitted {p:#x}, inheritable {i:#x})"));
        if masks.ambient != 0 {
            calls.push(format!("prctl(PR_CAP_AMBIENT, {:#x})", masks.ambient));
        }
    }
    calls
}

fn propagation_name(flag: u64) -> &'static str {
    match flag {
        propagation::PRIVATE => "MS_PRIVATE",
        propagation::SLAVE => "MS_SLAVE",
        propagation::SHARED => "MS_SHARED",
        propagation::UNBINDABLE => "MS_UNBINDABLE",
        _ => "unchanged",
    }
}

fn attributes(change: Change) -> Vec<&'static str> {
    const NAMES: &[(u64, &str)] = &[
        (attr::RDONLY, "RDONLY"),
        (attr::NOSUID, "NOSUID"),
        (attr::NODEV, "NODEV"),
        (attr::NOEXEC, "NOEXEC"),
        (attr::NOATIME, "NOATIME"),
        (attr::STRICTATIME, "STRICTATIME"),
        (attr::NODIRATIME, "NODIRATIME"),
        (attr::NOSYMFOLLOW, "NOSYMFOLLOW"),
    ];
    NAMES.iter().filter(|(bit, _)| change.set & bit != 0).map(|(_, name)| *name).collect()
}

fn mount_calls(mount: &MountStep) -> Vec<String> {
    let set = attributes(mount.attributes).join("|");
    let mut calls = Vec::new();
    match &mount.source {
        MountSource::Existing => calls.push(format!("openat2({:?})", mount.destination)),
        MountSource::Bind { handed: true, .. } => calls.push("recvmsg".into()),
        MountSource::Bind { .. } => calls.extend(source_calls(mount)),
        MountSource::New { kind, .. } => {
            calls.push(format!("fsopen({kind:?})"));
            calls.extend(mount.data.iter().map(|(key, value)| match value {
                Some(value) => format!("fsconfig({key}={value})"),
                None => format!("fsconfig({key})"),
            }));
            calls.push(format!("fsmount({set})"));
        }
        MountSource::Cgroup(view) => calls.extend(view.calls(&set)),
    }
    if !matches!(mount.source, MountSource::Bind { .. }) {
        calls.extend(change_calls(mount));
    }
    if !matches!(mount.source, MountSource::Existing) {
        calls.push(format!("move_mount(→ {:?})", mount.destination));
    }
    calls
}

/// What is done to a mount that exists, or that is made of one.
fn change_calls(mount: &MountStep) -> Vec<String> {
    let mut calls = Vec::new();
    if matches!(mount.source, MountSource::Existing) && !mount.data.is_empty() {
        calls.push("fspick, fsconfig(RECONFIGURE)".into());
    }
    if !matches!(mount.source, MountSource::New { .. } | MountSource::Cgroup(_))
        && mount.attributes != Change::default()
    {
        calls.push(format!("mount_setattr({})", attributes(mount.attributes).join("|")));
    }
    if mount.recursive != Change::default() {
        calls.push(format!("mount_setattr(AT_RECURSIVE, {})", attributes(mount.recursive).join("|")));
    }
    for (flag, recursive) in &mount.propagation {
        let all = if *recursive { "AT_RECURSIVE, " } else { "" };
        calls.push(format!("mount_setattr({all}{})", propagation_name(*flag)));
    }
    calls
}

/// How what a bind mount shows is opened.
fn source_calls(mount: &MountStep) -> Vec<String> {
    let MountSource::Bind { path, recursive, .. } = &mount.source else { return Vec::new() };
    let all = if *recursive { "|AT_RECURSIVE" } else { "" };
    let mut calls = vec![format!("open_tree({path:?}, OPEN_TREE_CLONE{all})")];
    if let Some(map) = &mount.id_map {
        let all = if map.recursive { "AT_RECURSIVE, " } else { "" };
        let of = match &map.of {
            MapOf::Ranges(uid, gid) => format!("users {}; groups {}", ranges(uid), ranges(gid)),
            MapOf::Namespace(path) => path.clone(),
        };
        calls.push(format!("mount_setattr({all}IDMAP, {of})"));
    }
    calls.extend(change_calls(mount));
    calls
}

fn ranges(map: &[carboy_oci::runtime::IdMapping]) -> String {
    map.iter().map(|m| format!("{} {} {}", m.container_id, m.host_id, m.size)).collect::<Vec<_>>().join(", ")
}

fn device_move((name, inside): &(String, String), joined: Option<&str>) -> String {
    format!("RTM_NEWLINK({name:?} → {inside:?} in {}), its addresses, IFF_UP", joined.unwrap_or("/proc/<init>/ns/net"))
}

fn mount_reason(mount: &MountStep) -> &'static str {
    match &mount.source {
        MountSource::Existing => "a mount changed",
        MountSource::Bind { .. } => "files of the host, by request",
        MountSource::Cgroup(_) => "the program may look at its limits",
        MountSource::New { kind, .. } => match kind.as_str() {
            "proc" => "the container's own processes",
            "sysfs" => "devices and the network namespace's interfaces",
            "devpts" => "terminals of its own",
            "mqueue" => "POSIX message queues of its IPC namespace",
            "tmpfs" => "memory, gone with the container",
            _ => "a file system by request",
        },
    }
}
