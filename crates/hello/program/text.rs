//! The report for people: two columns, eighty characters.

use super::look::capability_names;
use super::{Interface, Limit, Mount, Namespace, Report, User};
use std::fmt::Write;

/// Columns of the report.
const WIDTH: usize = 80;
/// Where the second column begins.
const INDENT: usize = 14;

/// Lines of two columns, wrapped between words.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn add(&mut self, label: &str, text: &str) {
        let mut line = format!("{label:INDENT$}");
        let mut filled = false;
        for word in text.split(' ') {
            let word = fitting(word);
            if filled && line.chars().count() + 1 + word.chars().count() > WIDTH {
                let _ = writeln!(self.0, "{}", line.trim_end());
                line = " ".repeat(INDENT);
                filled = false;
            }
            if filled {
                line.push(' ');
            }
            line.push_str(&word);
            filled = true;
        }
        let _ = writeln!(self.0, "{}", line.trim_end());
    }
}

/// A word that fits into a line: a longer one loses its end.
fn fitting(word: &str) -> String {
    const ROOM: usize = WIDTH - INDENT;
    if word.chars().count() <= ROOM {
        return word.to_owned();
    }
    let kept: String = word.chars().take(ROOM - 1).collect();
    kept + "…"
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
    pub(super) fn text(&self) -> String {
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
            .map(|mount| format!("{}{}", short_ids(&mount.point), if mount.read_only { "(ro)" } else { "" }))
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
