//! Control groups: where the hierarchies are, what to write for which resource, and doing it.
//!
//! Three parts that know little of each other:
//!
//! ```text
//! Hierarchies::detect   v1 controllers and their mounts, the unified hierarchy, or both (hybrid)
//! plan                  oci Resources ──► ordered writes, each naming the spec field it comes from; pure, printed by `explain`
//! CgroupManager         makes, fills, joins, freezes, kills, measures and removes one cgroup, in all hierarchies: version 1 and
//!                       hybrid, the unified one, or either of them within a scope that systemd makes (over D-Bus)
//! ```
//!
//! Knows nothing of namespaces and mounts. Only touches cgroups below the path that it was given; parents that it had to make stay.
//!
//! Joining is done by the process itself ([`Joiner`]): writing "0" into `tasks` needs no system-wide lock, while moving another
//! process by its PID waits for an RCU grace period (7 ms instead of 0.3 ms in ten v1 hierarchies, Linux 6.18).
//! In the unified hierarchy, whose cgroup.procs always takes that lock, a process can be born in its cgroup
//! (`CLONE_INTO_CGROUP`). That needs a second look ([`killed_at_birth`]): once `cgroup.kill` has been used on either
//! the parent's cgroup or the new one, the kernel takes the child for one that escaped the kill, and kills it at birth (seen on 6.18: it
//! compares the kill counters of two different cgroups).
#![forbid(unsafe_code)]

mod dbus;
mod detect;
mod devices;
mod dir;
mod error;
mod manager;
mod oom;
mod path;
mod plan;
mod stats;
mod systemd;
mod undo;
mod v1;
mod v2;

pub use dbus::DbusError;
pub use detect::{Hierarchies, Hierarchy, Mode, OwnCgroups};
pub use devices::{DeviceKind, DevicePolicy, Rule as DevicePolicyRule, device_program};
pub use error::CgroupError;
pub use manager::{CgroupManager, Joiner, killed_at_birth, open, own, reopen, reopen_membership};
pub use oom::OomWatch;
pub use path::CgroupPath;
pub use plan::{Missing, PlanOptions, Step, What, ignored, plan, plan_annotations};
pub use stats::{
    CpuStats, CpusetStats, HugetlbStats, IoStats, MemoryStats, MemoryUse, PidsStats, Pressure, Stall, Stats,
};
pub use systemd::{Location, Property, ScopeName, Unit, locate, reopen_scope};
pub use undo::apply_whole;
