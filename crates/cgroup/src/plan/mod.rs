//! From `linux.resources` to what is to be written, as data: pure, ordered, each step naming its spec field.

mod convert;
mod unit;
mod v1;
mod v2;

use crate::detect::{Hierarchies, Mode};
use crate::devices::DevicePolicy;
use crate::error::CgroupError;
use crate::systemd::Property;
use carboy_oci::runtime::{BlockIo, MemoryResources, Resources};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// One thing to be done to the cgroup.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The v1 controller whose hierarchy it concerns; in the unified hierarchy the controller that must be enabled.
    pub controller: Cow<'static, str>,
    /// What.
    pub what: What,
    /// The spec field it comes from.
    pub from: String,
}

/// What is done.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// A value is written into a file of the cgroup.
    Write {
        /// The file.
        file: Cow<'static, str>,
        /// The value.
        value: String,
        /// If the kernel has no such file.
        missing: Missing,
    },
    /// The file must hold at most this much, or nothing may be changed (`checkBeforeUpdate`).
    RequireAtMost {
        /// The file.
        file: &'static str,
        /// In bytes.
        limit: u64,
    },
    /// A program that decides about devices is attached (unified hierarchy).
    AttachDevices(DevicePolicy),
    /// systemd is told of limits, in its own words, that are also written.
    UnitProperties(Vec<Property>),
}

/// What to do when the kernel lacks a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// It is an error: somebody asked for it.
    Fail,
    /// Nothing is lost: it only repeats or completes another one.
    Skip,
    /// Another file takes this value.
    Instead(&'static str, String),
}

/// What the plan depends on besides the resources.
#[derive(Debug, Clone, Copy, Default)]
pub struct PlanOptions {
    /// Device rules are left out: in a user namespace the kernel refuses them, and nodes cannot be made there anyway.
    pub without_devices: bool,
    /// The cgroup has limits and processes already: order matters more, and values back to unlimited are written too.
    pub update: bool,
    /// systemd has the cgroup: it is told as well.
    pub systemd: bool,
}

impl Step {
    /// Whether it only concerns which devices may be used.
    pub fn is_about_devices(&self) -> bool {
        match &self.what {
            What::AttachDevices(_) => true,
            What::UnitProperties(list) => list.iter().all(Property::is_about_devices),
            _ => self.controller == "devices",
        }
    }

    /// Whether it is for systemd.
    pub fn is_about_unit(&self) -> bool {
        matches!(self.what, What::UnitProperties(_))
    }

    fn write(
        controller: &'static str,
        file: impl Into<Cow<'static, str>>,
        value: impl ToString,
        from: impl Into<String>,
    ) -> Self {
        let what = What::Write { file: file.into(), value: value.to_string(), missing: Missing::Fail };
        Step { controller: controller.into(), what, from: from.into() }
    }

    fn or(mut self, otherwise: Missing) -> Self {
        if let What::Write { missing, .. } = &mut self.what {
            *missing = otherwise;
        }
        self
    }
}

/// As `explain` shows it: `write memory.limit_in_bytes "67108864"`.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            What::Write { file, value, .. } => write!(f, "write {file} {value:?}"),
            What::RequireAtMost { file, limit } => write!(f, "read {file}, at most {limit}"),
            What::AttachDevices(policy) => {
                write!(
                    f,
                    "bpf(BPF_PROG_ATTACH, BPF_CGROUP_DEVICE), {} rules, default {}",
                    policy.rules.len(),
                    policy.default_word()
                )
            }
            What::UnitProperties(properties) => {
                let list: Vec<String> = properties.iter().map(Property::to_string).collect();
                write!(f, "unit properties {}", list.join(" "))
            }
        }
    }
}

/// What to do for these resources, in order.
///
/// # Errors
/// Values that make no sense, and limits that the arrangement of hierarchies cannot do: each error names its field.
pub fn plan(resources: &Resources, hierarchies: &Hierarchies, options: PlanOptions) -> Result<Vec<Step>, CgroupError> {
    check(resources)?;
    let mut steps = plan_files(resources, hierarchies, options)?;
    if options.systemd {
        let what = What::UnitProperties(unit::properties(resources, hierarchies.mode(), options)?);
        // What is to be looked at before anything is changed stays first.
        let at = steps.iter().take_while(|step| matches!(step.what, What::RequireAtMost { .. })).count();
        steps.insert(at, Step { controller: "".into(), what, from: "linux.resources".to_owned() });
    }
    Ok(steps)
}

/// What of these resources is ignored, in words: limits that kernels no longer have (as runc).
pub fn ignored(resources: &Resources) -> Vec<String> {
    let memory = resources.memory.as_ref();
    let fields = [("kernel", memory.and_then(|m| m.kernel)), ("kernelTCP", memory.and_then(|m| m.kernel_tcp))];
    let given = fields.into_iter().filter(|(_, limit)| set(*limit).is_some());
    given
        .map(|(name, _)| format!("linux.resources.memory.{name} is ignored: kernel memory has no limit of its own"))
        .collect()
}

/// Properties of the unit that annotations ask for, `org.systemd.property.NAME`: for a new scope.
///
/// # Errors
/// An annotation that cannot be read.
pub fn plan_annotations(annotations: &BTreeMap<String, String>) -> Result<Option<Step>, CgroupError> {
    let properties = crate::systemd::annotation::properties(annotations)?;
    let what = What::UnitProperties(properties);
    let step = Step { controller: "".into(), what, from: "annotations".to_owned() };
    Ok(Some(step).filter(|step| !matches!(&step.what, What::UnitProperties(list) if list.is_empty())))
}

fn plan_files(
    resources: &Resources,
    hierarchies: &Hierarchies,
    options: PlanOptions,
) -> Result<Vec<Step>, CgroupError> {
    match hierarchies.mode() {
        Mode::V2 => v2::plan(resources, options),
        Mode::V1 | Mode::Hybrid => {
            let steps = v1::plan(resources, options)?;
            let missing = steps.iter().find(|step| hierarchies.with_controller(&step.controller).is_none());
            match missing {
                None => Ok(steps),
                // Nobody asked for the devices that are always allowed or refused.
                Some(step) if step.controller == "devices" => {
                    Ok(steps.into_iter().filter(|step| step.controller != "devices").collect())
                }
                Some(step) => Err(CgroupError::unsupported(
                    step.from.clone(),
                    format!("no cgroup hierarchy with the controller {:?} is mounted", step.controller),
                )),
            }
        }
    }
}

/// What is wrong whatever the kernel.
fn check(resources: &Resources) -> Result<(), CgroupError> {
    if let Some(memory) = &resources.memory {
        check_memory(memory)?;
    }
    if let Some(io) = &resources.block_io {
        check_block_io(io)?;
    }
    for (position, limit) in resources.hugepage_limits.iter().enumerate() {
        let valid = ["KB", "MB", "GB"].iter().any(|unit| {
            limit.page_size.strip_suffix(unit).is_some_and(|number| number.parse::<u64>().is_ok_and(|n| n > 0))
        });
        if !valid {
            return Err(CgroupError::invalid(
                format!("linux.resources.hugepageLimits[{position}].pageSize"),
                format!("{:?} is no page size such as 2MB", limit.page_size),
            ));
        }
    }
    if let Some((device, _)) = resources.rdma.iter().find(|(_, l)| l.hca_handles.is_none() && l.hca_objects.is_none()) {
        let field = format!("linux.resources.rdma[{device:?}]");
        return Err(CgroupError::invalid(field, "neither hcaHandles nor hcaObjects is given"));
    }
    if let Some(name) = resources.unified.keys().find(|name| name.contains('/') || name.is_empty()) {
        return Err(CgroupError::invalid(
            "linux.resources.unified",
            format!("{name:?} is not the name of a cgroup file"),
        ));
    }
    Ok(())
}

fn check_block_io(io: &BlockIo) -> Result<(), CgroupError> {
    let field = |name: &str| format!("linux.resources.blockIO.{name}");
    if let Some(weight) = set(io.weight).filter(|weight| !(10..=1000).contains(weight)) {
        return Err(CgroupError::invalid(field("weight"), format!("{weight} is not between 10 and 1000")));
    }
    match io.weight_device.iter().position(|device| device.weight.is_none() && device.leaf_weight.is_none()) {
        Some(position) => {
            let reason = "neither weight nor leafWeight is given";
            Err(CgroupError::invalid(field(&format!("weightDevice[{position}]")), reason))
        }
        None => Ok(()),
    }
}

fn check_memory(memory: &MemoryResources) -> Result<(), CgroupError> {
    let field = |name: &str| format!("linux.resources.memory.{name}");
    for (name, value) in [("limit", memory.limit), ("swap", memory.swap), ("reservation", memory.reservation)] {
        if let Some(value) = value.filter(|value| *value < -1) {
            return Err(CgroupError::invalid(field(name), format!("{value} bytes; only -1 means unlimited")));
        }
    }
    if let Some(swappiness) = memory.swappiness.filter(|value| *value > 100) {
        return Err(CgroupError::invalid(field("swappiness"), format!("{swappiness} is not between 0 and 100")));
    }
    if let (Some(limit), Some(swap)) = (memory.limit, memory.swap)
        && swap > 0
        && limit > 0
        && swap < limit
    {
        return Err(CgroupError::invalid(
            field("swap"),
            format!("{swap} (memory and swap together) is below the memory limit {limit}"),
        ));
    }
    Ok(())
}

/// Zero means unset in most fields, as in runc.
fn set<T: PartialEq + Default + Copy>(value: Option<T>) -> Option<T> {
    value.filter(|value| *value != T::default())
}

/// A limit of processes: -1 is unlimited, 0 the least that there is (as runc since 1.4: systemd knows no 0).
fn pids_limit(resources: &Resources) -> Option<i64> {
    let limit = resources.pids.as_ref()?.limit?;
    Some(if limit == 0 { 1 } else { limit })
}

/// `max` for negative numbers.
fn max_or(value: i64) -> String {
    if value < 0 { "max".to_owned() } else { value.to_string() }
}
