//! Cgroups that systemd makes: a transient scope for each container, over D-Bus.
//!
//! systemd owns the slices and the scope; what lies in the scope's cgroup is delegated to us, and so are the limits: they are given to
//! systemd as the unit's properties, as far as it has them, so that it does not undo them (at `daemon-reload`), and written by
//! ourselves, exactly as the spec says them, afterwards (as runc does).
//!
//! A scope is made around a process that exists already, see [`CgroupManager::adopt`].
//!
//! [`CgroupManager::adopt`]: crate::CgroupManager::adopt

pub(crate) mod annotation;
mod manager;
mod name;
mod scope;

pub use name::ScopeName;
pub use scope::{Location, locate, reopen_scope};

use crate::dbus::Value;
use std::borrow::Cow;
use std::fmt;

/// A scope, and whose systemd has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Its names.
    pub name: ScopeName,
    /// Whether it is the calling user's systemd, not the machine's.
    pub user: bool,
}

/// A property of a unit (systemd.resource-control(5), org.freedesktop.systemd1(5)).
#[derive(Debug, Clone, PartialEq)]
pub struct Property {
    pub(crate) name: Cow<'static, str>,
    pub(crate) value: Value,
    /// The version of systemd that has it first; older ones are not asked.
    pub(crate) since: u32,
}

impl Property {
    pub(crate) fn new(name: impl Into<Cow<'static, str>>, value: Value) -> Property {
        Property { name: name.into(), value, since: 0 }
    }

    pub(crate) fn is_about_devices(&self) -> bool {
        self.name.starts_with("Device")
    }

    pub(crate) fn since(self, since: u32) -> Property {
        Property { since, ..self }
    }
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.value)
    }
}
