//! `/hello`: looks around in a container and says what isolates it. One file, only the standard library, static.
//!
//! Says what it sees and no more: a file that is missing (no /sys, no cgroup mount, an old kernel) leaves out a line or a word. What
//! cannot be known inside comes from the variable CARBOY_HELLO, whose format is drawn in the library beside this file.
#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

/// Columns of the report.
const WIDTH: usize = 80;
/// Where the second column begins.
const INDENT: usize = 14;

const USAGE: &str = "usage: hello [--json]\nReports from the inside what isolates a container.\n";

fn main() {
    // First of all: what follows is not part of the start.
    let now = SystemTime::now();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (text, code) = match words[..] {
        [] => (Report::look(now).text(), 0),
        ["--json"] => (Report::look(now).json(), 0),
        ["--help" | "-h"] => (USAGE.to_owned(), 0),
        _ => {
            eprint!("hello: unknown argument {:?}\n{USAGE}", words.join(" "));
            ("".to_owned(), 2)
        }
    };
    // Nobody reads any more: not an error worth a message.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    std::process::exit(code);
}

/// A file as text; empty if it cannot be read.
fn read(path: &str) -> String {
    std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// What is known.
struct Report {
    told: Told,
    /// From the command to the first instruction here, in nanoseconds.
    start_ns: Option<u64>,
    pid: u32,
    first: String,
    processes: usize,
    host_name: String,
    kernel: String,
    user: User,
    namespaces: Vec<Namespace>,
    status: Status,
    root: Option<Mount>,
    mounts: Vec<Mount>,
    cgroup: Cgroup,
    interfaces: Vec<Interface>,
}

/// The words of CARBOY_HELLO.
struct Told(Vec<(String, String)>);

impl Told {
    fn read() -> Self {
        let text = std::env::var("CARBOY_HELLO").unwrap_or_default();
        let words = text.split(' ').filter_map(|word| word.split_once('='));
        Told(words.map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str())
    }
}

struct User {
    uid: u32,
    gid: u32,
    name: String,
    /// Lines of /proc/self/uid_map: first ID here, first ID outside, how many.
    uid_map: Vec<[u32; 3]>,
    gid_map: Vec<[u32; 3]>,
}

struct Namespace {
    kind: &'static str,
    here: u64,
    host: Option<u64>,
}

/// From /proc/self/status.
struct Status {
    capabilities: u64,
    bounding: u64,
    no_new_privileges: bool,
    /// 0 off, 1 strict, 2 filter.
    seccomp: Option<u32>,
    filters: Option<u32>,
}

struct Mount {
    point: String,
    kind: String,
    source: String,
    read_only: bool,
    /// Directory of the source that is mounted.
    from: String,
    options: String,
}

#[derive(Default)]
struct Cgroup {
    version: &'static str,
    path: String,
    hierarchies: usize,
    memory: Option<Limit>,
    tasks: Option<Limit>,
    /// Processors' worth of time, in thousandths.
    cpu: Option<Limit>,
    memory_used: Option<u64>,
}

enum Limit {
    None,
    At(u64),
}

struct Interface {
    name: String,
    up: bool,
}

impl Report {
    fn look(now: SystemTime) -> Self {
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
    fn outside(map: &[[u32; 3]], id: u32) -> Option<u32> {
        map.iter()
            .find(|[inner, _, size]| id >= *inner && id - inner < *size)
            .map(|[inner, outer, _]| outer + (id - inner))
    }

    fn has_own_map(&self) -> bool {
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
    fn hides(&self) -> bool {
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
fn capability_names(set: u64, kept: bool) -> Vec<&'static str> {
    let last = read("/proc/sys/kernel/cap_last_cap").trim().parse().unwrap_or(CAPABILITIES.len() - 1);
    let known = CAPABILITIES.iter().enumerate().take(last + 1);
    known.filter(|(number, _)| (set >> number & 1 == 1) == kept).map(|(_, name)| *name).collect()
}

// ---- as text ----

/// Lines of two columns, wrapped between words.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn add(&mut self, label: &str, text: &str) {
        let mut line = format!("{label:INDENT$}");
        let mut filled = false;
        for word in text.split(' ') {
            if filled && line.chars().count() + 1 + word.chars().count() > WIDTH {
                let _ = writeln!(self.0, "{}", line.trim_end());
                line = " ".repeat(INDENT);
                filled = false;
            }
            if filled {
                line.push(' ');
            }
            line.push_str(word);
            filled = true;
        }
        let _ = writeln!(self.0, "{}", line.trim_end());
    }
}

fn milliseconds(ns: u64) -> String {
    format!("{}.{} ms", ns / 1_000_000, ns / 100_000 % 10)
}

fn bytes(count: u64) -> String {
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    match units.into_iter().find(|(_, shift)| count >= 1 << shift) {
        Some((unit, shift)) if count % (1 << shift) == 0 => format!("{} {unit}", count >> shift),
        Some((unit, shift)) => format!("{:.1} {unit}", count as f64 / (1u64 << shift) as f64),
        None => format!("{count} bytes"),
    }
}

impl Report {
    fn text(&self) -> String {
        let mut lines = Lines::default();
        let start = match self.start_ns {
            Some(ns) => format!("From the command to this program: {}.", milliseconds(ns)),
            None => String::new(),
        };
        let _ = writeln!(lines.0, "Hello from inside a container. {start}\n");
        lines.add("process", &self.process_text());
        lines.add("host name", &format!("{}, on Linux {}", or_dash(&self.host_name), or_dash(&self.kernel)));
        lines.add("user", &self.user_text());
        self.namespace_lines(&mut lines);
        self.capability_lines(&mut lines);
        lines.add("system calls", &self.seccomp_text());
        lines.add("root", &self.root_text());
        lines.add("mounts", &self.mounts_text());
        lines.add("cgroup", &self.cgroup_text());
        lines.add("network", &self.network_text());
        lines.0
    }

    fn process_text(&self) -> String {
        let own_pids = self.differs("pid");
        let first = if self.pid == 1 { "this one".to_owned() } else { or_dash(&self.first).to_owned() };
        let others = match (self.processes, own_pids) {
            (0, _) => "/proc is not mounted".to_owned(),
            (1, _) => "there is no other".to_owned(),
            (n, Some(false)) => format!("all {n} of the host are visible"),
            (n, _) => format!("{n} are visible"),
        };
        format!("PID {}; PID 1 is {first}; {others}", self.pid)
    }

    /// Whether a namespace is another one than the host's, if that is known.
    fn differs(&self, kind: &str) -> Option<bool> {
        let namespace = self.namespaces.iter().find(|namespace| namespace.kind == kind)?;
        namespace.host.map(|host| host != namespace.here)
    }

    fn user_text(&self) -> String {
        let user = &self.user;
        let name = if user.name.is_empty() { String::new() } else { format!(" ({})", user.name) };
        let here = format!("{}:{}{name}", user.uid, user.gid);
        if !user.has_own_map() {
            let warning =
                if user.uid == 0 { ": root here is root there, held back by the rest of this list" } else { "" };
            return format!("{here}, the same on the host (IDs are not mapped){warning}");
        }
        let id = |map: &[[u32; 3]], id| User::outside(map, id).map_or("?".to_owned(), |id| id.to_string());
        let count: u64 = user.uid_map.iter().map(|[_, _, size]| u64::from(*size)).sum();
        let ids = if count == 1 { "1 ID is".to_owned() } else { format!("{count} IDs are") };
        format!("{here}, outside {}:{}; {ids} mapped", id(&user.uid_map, user.uid), id(&user.gid_map, user.gid))
    }

    fn namespace_lines(&self, lines: &mut Lines) {
        let cell = |namespace: &Namespace| {
            let against = match namespace.host {
                Some(host) if host == namespace.here => "the host's".to_owned(),
                Some(host) => format!("not {host}"),
                None => "(host unknown)".to_owned(),
            };
            format!("{:6} {} {against}", namespace.kind, namespace.here)
        };
        for (row, pair) in self.namespaces.chunks(2).enumerate() {
            let label = if row == 0 { "namespaces" } else { "" };
            let right = pair.get(1).map(&cell).unwrap_or_default();
            let line = format!("{label:INDENT$}{:33}{right}", cell(&pair[0]));
            let _ = writeln!(lines.0, "{}", line.trim_end());
        }
    }

    fn capability_lines(&self, lines: &mut Lines) {
        let (kept, dropped) =
            (capability_names(self.status.capabilities, true), capability_names(self.status.capabilities, false));
        let list = |names: &[&str]| if names.is_empty() { "none".to_owned() } else { names.join(" ") };
        let outside = if self.user.has_own_map() { " over this user namespace" } else { "" };
        lines.add("capabilities", &format!("{} kept{outside}: {}", kept.len(), list(&kept)));
        lines.add("", &format!("{} dropped: {}", dropped.len(), list(&dropped)));
    }

    fn seccomp_text(&self) -> String {
        let calls = self.told.get("calls").map(|text| text.split(',').collect::<Vec<_>>());
        let new = if self.status.no_new_privileges { "; set-user-ID gives nothing" } else { "" };
        let mode = match (self.status.seccomp, calls.as_deref()) {
            (None, _) => "whether they are filtered is unknown".to_owned(),
            (Some(0), _) => "not filtered".to_owned(),
            (Some(1), _) => "strict mode: read, write and exit only".to_owned(),
            (Some(_), Some([allowed, conditional, refused])) => {
                format!("filtered: {allowed} allowed, {conditional} depending on arguments, {refused} refused")
            }
            (Some(_), _) => format!("filtered by {}", count(self.status.filters.unwrap_or(1) as usize, "program")),
        };
        mode + new
    }

    fn root_text(&self) -> String {
        let Some(root) = &self.root else { return "unknown: /proc is not mounted".to_owned() };
        let access = if root.read_only { "read-only" } else { "writable" };
        let option =
            |name: &str| root.options.split(',').find_map(|option| option.strip_prefix(name)?.strip_prefix('='));
        if root.kind != "overlay" {
            return format!(
                "{} ({access}), from {}{}",
                root.kind,
                root.source,
                if root.from == "/" { "" } else { &root.from }
            );
        }
        // Long lists of layers are given by descriptor numbers or not shown at all, so a count is all there is to say.
        let layers =
            option("lowerdir").map(|list| list.split(':').filter(|part| !part.is_empty()).count()).unwrap_or(0)
                + root.options.matches("lowerdir+=").count();
        let layers = if layers == 0 { String::new() } else { format!(": {} below", count(layers, "read-only layer")) };
        let changes = if option("upperdir").is_some() { ", changes go to a directory of this container" } else { "" };
        format!("overlay ({access}){layers}{changes}")
    }

    fn mounts_text(&self) -> String {
        let mut seen: Vec<&Mount> = Vec::new();
        for mount in self.mounts.iter().filter(|mount| mount.point != "/" && !mount.hides()) {
            if !seen.iter().any(|other| other.point == mount.point) {
                seen.push(mount);
            }
        }
        let hidden = self.mounts.iter().filter(|mount| mount.hides()).count();
        let under_proc =
            |mount: &&&Mount| mount.point.starts_with("/proc/") || mount.point.starts_with("/sys/fs/cgroup/");
        let shown = seen.iter().filter(|mount| !under_proc(mount));
        let names: Vec<String> = shown
            .take(12)
            .map(|mount| format!("{}{}", mount.point, if mount.read_only { "(ro)" } else { "" }))
            .collect();
        let locked = seen.iter().filter(|mount| mount.point.starts_with("/proc/") && mount.read_only).count();
        let more = seen.iter().filter(|mount| !under_proc(mount)).count().saturating_sub(names.len());
        let mut text = names.join(" ");
        if more > 0 {
            let _ = write!(text, " and {more} more");
        }
        if hidden + locked > 0 {
            let _ = write!(text, "; {hidden} kernel paths hidden, {locked} read-only");
        }
        text
    }

    fn cgroup_text(&self) -> String {
        let cgroup = &self.cgroup;
        if cgroup.version.is_empty() || (cgroup.path.is_empty() && cgroup.hierarchies == 0) {
            return "unknown: /proc is not mounted, or the kernel has no cgroups".to_owned();
        }
        let asked = |name: &str| self.told.get(&format!("limit.{name}"));
        let say = |name: &str, limit: &Option<Limit>, show: &dyn Fn(u64) -> String| match (limit, asked(name)) {
            (Some(Limit::At(value)), _) => format!("{name} {}", show(*value)),
            (_, Some(asked)) => format!("{name} {asked} (asked for, not visible here)"),
            (Some(Limit::None), None) => format!("{name} unlimited"),
            (None, None) => String::new(),
        };
        let cpus = |thousandths: u64| format!("{}.{:02}", thousandths / 1000, thousandths % 1000 / 10);
        let limits = [
            say("memory", &cgroup.memory, &bytes),
            say("cpus", &cgroup.cpu, &cpus),
            say("tasks", &cgroup.tasks, &|value| value.to_string()),
        ];
        let limits: Vec<String> = limits.into_iter().filter(|text| !text.is_empty()).collect();
        let limits = if limits.is_empty() { "limits are not visible here".to_owned() } else { limits.join(", ") };
        let used = cgroup.memory_used.map(|used| format!("; {} used", bytes(used))).unwrap_or_default();
        format!("{} ({}); {limits}{used}", short_ids(&cgroup.path), cgroup.version)
    }

    fn network_text(&self) -> String {
        if self.interfaces.is_empty() {
            return "no interface".to_owned();
        }
        let name = |interface: &Interface| format!("{}{}", interface.name, if interface.up { "" } else { " (down)" });
        let names = self.interfaces.iter().map(name).collect::<Vec<_>>().join(", ");
        let only_loopback = self.interfaces.iter().all(|interface| interface.name == "lo");
        let meaning = match (self.differs("net"), only_loopback) {
            (Some(false), _) => ": the host's own",
            (_, true) => ": nothing in, nothing out",
            _ => "",
        };
        names + meaning
    }
}

/// A path whose long hexadecimal names are cut to the twelve digits that listings show.
fn short_ids(path: &str) -> String {
    let is_id = |name: &&str| name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    let short = |name: &str| if is_id(&name) { format!("{}…", &name[..12]) } else { name.to_owned() };
    path.split('/').map(short).collect::<Vec<_>>().join("/")
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

// ---- as JSON ----

/// A JSON string.
fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c < ' ' => {
                let _ = write!(quoted, "\\u{:04x}", c as u32);
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

fn array(items: impl IntoIterator<Item = String>) -> String {
    format!("[{}]", items.into_iter().collect::<Vec<_>>().join(","))
}

fn object(fields: &[(&str, String)]) -> String {
    let field = |(key, value): &(&str, String)| format!("{}:{value}", quote(key));
    format!("{{{}}}", fields.iter().map(field).collect::<Vec<_>>().join(","))
}

fn or_null(value: Option<impl ToString>) -> String {
    value.map_or("null".to_owned(), |value| value.to_string())
}

impl Report {
    fn json(&self) -> String {
        let names = |kept| array(capability_names(self.status.capabilities, kept).into_iter().map(quote));
        let process =
            [("pid", self.pid.to_string()), ("first", quote(&self.first)), ("visible", self.processes.to_string())];
        let capabilities = [
            ("kept", names(true)),
            ("dropped", names(false)),
            ("effective", quote(&format!("{:016x}", self.status.capabilities))),
            ("bounding", quote(&format!("{:016x}", self.status.bounding))),
            ("no_new_privileges", self.status.no_new_privileges.to_string()),
        ];
        let report = object(&[
            ("start_ns", or_null(self.start_ns)),
            ("process", object(&process)),
            ("host_name", quote(&self.host_name)),
            ("kernel", quote(&self.kernel)),
            ("user", self.user_json()),
            ("rootless", (self.told.get("rootless") == Some("1")).to_string()),
            ("namespaces", self.namespaces_json()),
            ("capabilities", object(&capabilities)),
            ("seccomp", self.seccomp_json()),
            ("root", self.root.as_ref().map_or("null".to_owned(), Mount::json)),
            ("mounts", array(self.mounts.iter().map(Mount::json))),
            ("cgroup", self.cgroup.json()),
            ("limits_asked", self.limits_json()),
            ("interfaces", array(self.interfaces.iter().map(Interface::json))),
        ]);
        report + "\n"
    }

    fn user_json(&self) -> String {
        let user = &self.user;
        let map = |map: &[[u32; 3]]| {
            array(map.iter().map(|[inside, outside, size]| {
                object(&[("inside", inside.to_string()), ("outside", outside.to_string()), ("size", size.to_string())])
            }))
        };
        object(&[
            ("uid", user.uid.to_string()),
            ("gid", user.gid.to_string()),
            ("name", quote(&user.name)),
            ("uid_map", map(&user.uid_map)),
            ("gid_map", map(&user.gid_map)),
        ])
    }

    fn namespaces_json(&self) -> String {
        let entry = |namespace: &Namespace| {
            let fields = [("here", namespace.here.to_string()), ("host", or_null(namespace.host))];
            (namespace.kind, object(&fields))
        };
        object(&self.namespaces.iter().map(entry).collect::<Vec<_>>())
    }

    fn seccomp_json(&self) -> String {
        let calls = self.told.get("calls").unwrap_or_default();
        let mut numbers = calls.split(',').map(|text| or_null(text.parse::<u32>().ok()));
        let mut next = || numbers.next().unwrap_or("null".to_owned());
        object(&[
            ("mode", or_null(self.status.seccomp)),
            ("filters", or_null(self.status.filters)),
            ("allowed", next()),
            ("conditional", next()),
            ("refused", next()),
        ])
    }

    fn limits_json(&self) -> String {
        let asked = self.told.0.iter().filter_map(|(key, value)| Some((key.strip_prefix("limit.")?, quote(value))));
        object(&asked.collect::<Vec<_>>())
    }
}

impl Mount {
    fn json(&self) -> String {
        object(&[
            ("point", quote(&self.point)),
            ("type", quote(&self.kind)),
            ("source", quote(&self.source)),
            ("from", quote(&self.from)),
            ("read_only", self.read_only.to_string()),
            ("hides", self.hides().to_string()),
        ])
    }
}

impl Cgroup {
    /// Limits: absent if not visible, -1 if there is none.
    fn json(&self) -> String {
        let limit = |limit: &Option<Limit>| match limit {
            None => "null".to_owned(),
            Some(Limit::None) => "-1".to_owned(),
            Some(Limit::At(value)) => value.to_string(),
        };
        object(&[
            ("version", quote(self.version)),
            ("path", quote(&self.path)),
            ("hierarchies", self.hierarchies.to_string()),
            ("memory_bytes", limit(&self.memory)),
            ("memory_used_bytes", or_null(self.memory_used)),
            ("cpu_thousandths", limit(&self.cpu)),
            ("tasks", limit(&self.tasks)),
        ])
    }
}

impl Interface {
    fn json(&self) -> String {
        object(&[("name", quote(&self.name)), ("up", self.up.to_string())])
    }
}
