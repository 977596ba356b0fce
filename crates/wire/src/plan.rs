//! Steps as data: what will be done to the kernel, and what it took.

use serde::{Deserialize, Serialize};

/// Which process does a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Actor {
    /// `carboy`.
    Engine,
    /// `carboy-monitor`.
    Monitor,
    /// `carboy-runtime`, outside the container.
    Runtime,
    /// `carboy-runtime`'s child, inside the container until it executes the program.
    Init,
}

/// One step, as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// Who does it.
    pub actor: Actor,
    /// Short name, unique in meaning, such as `mount /proc`.
    pub name: String,
    /// The system calls or file writes, in order, such as `fsopen("proc")` or `write memory.limit_in_bytes "67108864"`.
    pub calls: Vec<String>,
    /// Why it is done, one clause.
    pub why: String,
    /// The setting or spec field it comes from, such as `mounts[0]` or `--memory`.
    pub from: String,
    /// With `--trace`: how long it took, in nanoseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ns: Option<u64>,
    /// With `--trace`: how it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// An ordered list of steps. `carboy-runtime explain --json` prints it, `--trace FILE` writes it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PlanReport {
    /// In order of execution.
    pub steps: Vec<StepReport>,
}
