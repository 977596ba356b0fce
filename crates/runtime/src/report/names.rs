//! What steps are called.

use crate::step::{Action, Signal, When};

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
            Action::IpcNamespace => "IPC namespace".into(),
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
            Action::Mask(..) => "mask paths".into(),
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
