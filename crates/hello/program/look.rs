//! Looking around: /proc, /sys and what was told.

use super::{Cgroup, Interface, Limit, Mount, Namespace, Report, Status, Told, User};
use std::time::{SystemTime, UNIX_EPOCH};

/// A file as text; empty if it cannot be read.
fn read(path: &str) -> String {
    std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

impl Told {
    fn read() -> Self {
        let text = std::env::var("CARBOY_HELLO").unwrap_or_default();
        let words = text.split(' ').filter_map(|word| word.split_once('='));
        Told(words.map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
    }

    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str())
    }
}

impl Report {
    pub(super) fn look(now: SystemTime) -> Self {
        let told = Told::read();
        let since_epoch = now.duration_since(UNIX_EPOCH).map(|since| since.as_nanos() as u64).ok();
        let started = told.get("start").and_then(|text| text.parse::<u64>().ok());
        let mounts = parse_mounts(&read("/proc/self/mountinfo"));
        let status_text = read("/proc/self/status");
        Report {
            start_ns: since_epoch.zip(started).and_then(|(now, then)| now.checked_sub(then)),
            pid: std::process::id(),
            first: read("/proc/1/comm").trim().to_owned(),
            processes: count_processes(),
            host_name: read("/proc/sys/kernel/hostname").trim().to_owned(),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            user: User::look(&status_text),
            namespaces: namespaces(&told),
            status: Status::parse(&status_text),
            root: mounts.iter().rev().find(|mount| mount.point == "/").map(Mount::copy),
            cgroup: Cgroup::look(&read("/proc/self/cgroup")),
            interfaces: interfaces(&read("/proc/net/dev")),
            mounts,
            told,
        }
    }
}

fn count_processes() -> usize {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit())).count()
}

fn namespaces(told: &Told) -> Vec<Namespace> {
    ["pid", "mnt", "net", "ipc", "uts", "cgroup", "user", "time"]
        .into_iter()
        .filter_map(|kind| {
            let link = std::fs::read_link(format!("/proc/self/ns/{kind}")).ok()?;
            let here = link.to_string_lossy().split_once('[')?.1.trim_end_matches(']').parse().ok()?;
            let host = told.get(&format!("ns.{kind}")).and_then(|text| text.parse().ok());
            Some(Namespace { kind, here, host })
        })
        .collect()
}

/// The value of a line `Key:\tvalue`.
fn field<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).map(str::trim)
}

impl User {
    fn look(status: &str) -> Self {
        // Real, effective, saved, file system.
        let effective =
            |key| field(status, key).and_then(|ids| ids.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0);
        let (uid, gid): (u32, u32) = (effective("Uid"), effective("Gid"));
        let passwd = read("/etc/passwd");
        let entry = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let name = entry.into_iter().find(|parts| parts.get(2).is_some_and(|id| *id == uid.to_string()));
        let map = |file: &str| {
            let text = read(file);
            let line = |line: &str| {
                let mut numbers = line.split_whitespace().filter_map(|word| word.parse().ok());
                Some([numbers.next()?, numbers.next()?, numbers.next()?])
            };
            text.lines().filter_map(line).collect::<Vec<_>>()
        };
        User {
            uid,
            gid,
            name: name.map(|parts| parts[0].to_owned()).unwrap_or_default(),
            uid_map: map("/proc/self/uid_map"),
            gid_map: map("/proc/self/gid_map"),
        }
    }

    /// What an ID is one namespace further out.
    pub(super) fn outside(map: &[[u32; 3]], id: u32) -> Option<u32> {
        map.iter()
            .find(|[inner, _, size]| id >= *inner && id - inner < *size)
            .map(|[inner, outer, _]| outer + (id - inner))
    }

    pub(super) fn has_own_map(&self) -> bool {
        self.uid_map != [[0, 0, u32::MAX]]
    }
}

impl Status {
    fn parse(text: &str) -> Self {
        let hex = |key| field(text, key).and_then(|value| u64::from_str_radix(value, 16).ok()).unwrap_or(0);
        let number = |key| field(text, key).and_then(|value| value.parse().ok());
        Status {
            capabilities: hex("CapEff"),
            bounding: hex("CapBnd"),
            no_new_privileges: number("NoNewPrivs") == Some(1u32),
            seccomp: number("Seccomp"),
            filters: number("Seccomp_filters"),
        }
    }
}

impl Mount {
    fn copy(&self) -> Self {
        let Mount { point, kind, source, read_only, from, options } = self;
        let (point, kind, source) = (point.clone(), kind.clone(), source.clone());
        Mount { point, kind, source, read_only: *read_only, from: from.clone(), options: options.clone() }
    }

    /// Covered by /dev/null, or by an empty directory that cannot be written.
    pub(super) fn hides(&self) -> bool {
        let over = ["/proc/", "/sys/"].iter().any(|start| self.point.starts_with(start));
        over && (self.from == "/null"
            || (self.kind == "tmpfs" && self.read_only && !self.point.starts_with("/sys/fs/cgroup")))
    }
}

/// proc_pid_mountinfo(5): `36 35 98:0 /root /mount options optional… - type source super-options`.
fn parse_mounts(text: &str) -> Vec<Mount> {
    let parse = |line: &str| {
        let (left, right) = line.split_once(" - ")?;
        let left: Vec<&str> = left.split(' ').collect();
        let right: Vec<&str> = right.split(' ').collect();
        let (own, super_options) = (*left.get(5)?, *right.get(2)?);
        let read_only = |options: &str| options.split(',').any(|option| option == "ro");
        Some(Mount {
            point: left[4].replace("\\040", " "),
            kind: right[0].to_owned(),
            source: right[1].to_owned(),
            read_only: read_only(own) || read_only(super_options),
            from: left[3].to_owned(),
            options: super_options.to_owned(),
        })
    };
    text.lines().filter_map(parse).collect()
}

impl Cgroup {
    fn look(own: &str) -> Self {
        let paths: Vec<(&str, &str)> = own.lines().filter_map(|line| line.split_once(':')?.1.split_once(':')).collect();
        let of = |controller: &str| {
            paths.iter().find(|(names, _)| names.split(',').any(|name| name == controller)).map(|(_, path)| *path)
        };
        let (Some(unified), v1) = (of(""), paths.iter().filter(|(names, _)| !names.is_empty()).count()) else {
            return Cgroup::v1(paths.len(), of("memory").or(of("pids")).unwrap_or_default(), "v1");
        };
        if v1 > 0 {
            return Cgroup::v1(v1, of("memory").or(of("pids")).unwrap_or(unified), "v1 and v2");
        }
        Cgroup::v2(unified)
    }

    fn v1(hierarchies: usize, path: &str, version: &'static str) -> Self {
        let base = "/sys/fs/cgroup";
        // Inside its own cgroup namespace the mount's root is this cgroup; otherwise it lies further down.
        let find = |controller: &str, file: &str| {
            let own = read(&format!("{base}/{controller}{path}/{file}"));
            if own.is_empty() { read(&format!("{base}/{controller}/{file}")) } else { own }
        };
        let number = |text: String| text.trim().parse::<i64>().ok();
        // "Unlimited" is the largest multiple of the page size.
        let limit = |value: i64| if value <= 0 || value >= 1 << 62 { Limit::None } else { Limit::At(value as u64) };
        let tasks = find("pids", "pids.max");
        let quota = number(find("cpu", "cpu.cfs_quota_us"));
        let period = number(find("cpu", "cpu.cfs_period_us")).filter(|period| *period > 0);
        Cgroup {
            version,
            path: path.to_owned(),
            hierarchies,
            memory: number(find("memory", "memory.limit_in_bytes")).map(limit),
            memory_used: number(find("memory", "memory.usage_in_bytes")).map(|used| used as u64),
            tasks: Cgroup::max(&tasks),
            cpu: quota.zip(period).map(
                |(quota, period)| {
                    if quota < 0 { Limit::None } else { Limit::At((quota * 1000 / period) as u64) }
                },
            ),
        }
    }

    fn v2(path: &str) -> Self {
        let find = |file: &str| {
            let own = read(&format!("/sys/fs/cgroup{path}/{file}"));
            if own.is_empty() { read(&format!("/sys/fs/cgroup/{file}")) } else { own }
        };
        let cpu = find("cpu.max");
        let words: Vec<&str> = cpu.split_whitespace().collect();
        let cpu = match words[..] {
            ["max", _] => Some(Limit::None),
            [quota, period] => {
                quota.parse::<u64>().ok().zip(period.parse::<u64>().ok()).map(|(q, p)| Limit::At(q * 1000 / p.max(1)))
            }
            _ => None,
        };
        Cgroup {
            version: "v2",
            path: path.to_owned(),
            hierarchies: 1,
            memory: Cgroup::max(&find("memory.max")),
            memory_used: find("memory.current").trim().parse().ok(),
            tasks: Cgroup::max(&find("pids.max")),
            cpu,
        }
    }

    fn max(text: &str) -> Option<Limit> {
        match text.trim() {
            "" => None,
            "max" => Some(Limit::None),
            number => number.parse().ok().map(Limit::At),
        }
    }
}

fn interfaces(dev: &str) -> Vec<Interface> {
    let name = |line: &str| line.split_once(':').map(|(name, _)| name.trim().to_owned());
    let up = |name: &str| {
        // IFF_UP is the lowest bit.
        let flags = read(&format!("/sys/class/net/{name}/flags"));
        u32::from_str_radix(flags.trim().trim_start_matches("0x"), 16).is_ok_and(|flags| flags & 1 != 0)
    };
    dev.lines().skip(2).filter_map(name).map(|name| Interface { up: up(&name), name }).collect()
}

/// linux/capability.h, by number.
const CAPABILITIES: [&str; 41] = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];

/// The names in a set, or those not in it, as far as the running kernel knows them.
pub(super) fn capability_names(set: u64, kept: bool) -> Vec<&'static str> {
    let last = read("/proc/sys/kernel/cap_last_cap").trim().parse().unwrap_or(CAPABILITIES.len() - 1);
    let known = CAPABILITIES.iter().enumerate().take(last + 1);
    known.filter(|(number, _)| (set >> number & 1 == 1) == kept).map(|(_, name)| *name).collect()
}
