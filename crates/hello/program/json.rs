//! The report for programs.

use super::look::capability_names;
use super::{Cgroup, Interface, Limit, Mount, Namespace, Report};
use std::fmt::Write;

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
    pub(super) fn json(&self) -> String {
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
