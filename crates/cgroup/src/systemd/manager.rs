//! systemd's interface for units (org.freedesktop.systemd1(5)), as far as scopes need it.

use super::Property;
use crate::dbus::{Bus, Connection, DbusError, Method, Value};

const DESTINATION: &str = "org.freedesktop.systemd1";
const PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";

/// A connection to a service manager.
pub(super) struct Manager {
    connection: Connection,
}

impl Manager {
    /// Connects to the machine's systemd, or the user's.
    pub(super) fn open(user: bool) -> Result<Manager, DbusError> {
        let bus = if user { Bus::User } else { Bus::System };
        Connection::open(bus).map(|connection| Manager { connection })
    }

    fn call(&mut self, member: &str, arguments: &[Value]) -> Result<Vec<Value>, DbusError> {
        self.connection.call(Method { destination: DESTINATION, path: PATH, interface: MANAGER, member }, arguments)
    }

    fn property(&mut self, name: &str) -> Result<String, DbusError> {
        let interface = "org.freedesktop.DBus.Properties";
        let method = Method { destination: DESTINATION, path: PATH, interface, member: "Get" };
        let values = self.connection.call(method, &[text(MANAGER), text(name)])?;
        let found = values.into_iter().find_map(Value::into_string);
        found.ok_or_else(|| DbusError::Protocol(format!("the property {name} is no text")))
    }

    /// The cgroup below which it makes units, with a slash at the start; empty for the root.
    pub(super) fn control_group(&mut self) -> Result<String, DbusError> {
        self.property("ControlGroup")
    }

    /// Its version: 252 for `252.39-1~deb12u2`.
    pub(super) fn version(&mut self) -> Result<u32, DbusError> {
        let text = self.property("Version")?;
        let digits = text.trim_start_matches(|c: char| !c.is_ascii_digit());
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        digits[..end].parse().map_err(|_| DbusError::Protocol(format!("{text:?} is no version of systemd")))
    }

    /// Starts a scope, and waits until it is there. One that failed earlier under the same name is cleared away first.
    pub(super) fn start_scope(&mut self, name: &str, properties: &[Property]) -> Result<(), DbusError> {
        self.listen()?;
        let no_others = Value::Array("(sa(sv))".into(), Vec::new());
        let arguments = [text(name), text("replace"), encode(properties), no_others];
        let started = match self.call("StartTransientUnit", &arguments) {
            Err(e) if e.name() == Some("org.freedesktop.systemd1.UnitExists") => {
                let _ = self.reset_failed(name);
                self.call("StartTransientUnit", &arguments)
            }
            other => other,
        };
        match self.job(started?)?.as_str() {
            "done" => Ok(()),
            result => {
                let _ = self.reset_failed(name);
                Err(DbusError::Protocol(format!("the job to start it ended as {result:?}")))
            }
        }
    }

    /// Stops a unit, and waits until it is gone. One that does not exist is stopped already.
    pub(super) fn stop(&mut self, name: &str) -> Result<(), DbusError> {
        self.listen()?;
        let stopped = self.call("StopUnit", &[text(name), text("replace")]).and_then(|answer| self.job(answer));
        let _ = self.reset_failed(name);
        match stopped {
            Err(e) if e.name() == Some("org.freedesktop.systemd1.NoSuchUnit") => Ok(()),
            // Whatever the job's result: what counts is whether the cgroup can be removed, which is tried next.
            other => other.map(drop),
        }
    }

    fn reset_failed(&mut self, name: &str) -> Result<(), DbusError> {
        self.call("ResetFailedUnit", &[text(name)]).map(drop)
    }

    /// Changes properties until the next boot.
    pub(super) fn set_properties(&mut self, name: &str, properties: &[Property]) -> Result<(), DbusError> {
        self.call("SetUnitProperties", &[text(name), Value::Bool(true), encode(properties)]).map(drop)
    }

    /// The present values of these properties of a scope.
    pub(super) fn current(&mut self, name: &str, properties: &[Property]) -> Result<Vec<Property>, DbusError> {
        let path = self.call("GetUnit", &[text(name)])?.into_iter().find_map(Value::into_string);
        let path = path.ok_or_else(|| DbusError::Protocol("a unit without a path".into()))?;
        let (interface, member) = ("org.freedesktop.DBus.Properties", "Get");
        let mut list = Vec::with_capacity(properties.len());
        for property in properties {
            let method = Method { destination: DESTINATION, path: &path, interface, member };
            let arguments = [text("org.freedesktop.systemd1.Scope"), text(&property.name)];
            if let [Value::Variant(value), ..] = self.connection.call(method, &arguments)?.as_slice() {
                list.push(Property { value: (**value).clone(), ..property.clone() });
            }
        }
        Ok(list)
    }

    /// Moves a process into a unit's cgroup: systemd may where a user may not.
    pub(super) fn attach(&mut self, name: &str, pid: i32) -> Result<(), DbusError> {
        let pids = Value::Array("u".into(), vec![Value::U32(pid as u32)]);
        self.call("AttachProcessesToUnit", &[text(name), text(""), pids]).map(drop)
    }

    /// Has the ends of jobs reported.
    fn listen(&mut self) -> Result<(), DbusError> {
        self.connection.add_match(&format!(
            "type='signal',sender='{DESTINATION}',path='{PATH}',interface='{MANAGER}',member='JobRemoved'"
        ))?;
        // Without a subscriber systemd sends nothing.
        match self.call("Subscribe", &[]) {
            Err(e) if e.name() == Some("org.freedesktop.systemd1.AlreadySubscribed") => Ok(()),
            other => other.map(drop),
        }
    }

    /// Waits for the end of a job: its result.
    fn job(&mut self, answer: Vec<Value>) -> Result<String, DbusError> {
        let job = answer.into_iter().find_map(Value::into_string);
        let job = job.ok_or_else(|| DbusError::Protocol("a job without a path".into()))?;
        self.connection.wait(|signal| match (signal.member.as_str(), signal.body.as_slice()) {
            ("JobRemoved", [_, path, _, result, ..]) if path.as_str() == Some(&job) => {
                Some(result.as_str().unwrap_or_default().to_owned())
            }
            _ => None,
        })
    }
}

fn text(text: &str) -> Value {
    Value::Str(text.to_owned())
}

fn encode(properties: &[Property]) -> Value {
    let pair = |property: &Property| {
        Value::Struct(vec![text(&property.name), Value::Variant(Box::new(property.value.clone()))])
    };
    Value::Array("(sv)".into(), properties.iter().map(pair).collect())
}
