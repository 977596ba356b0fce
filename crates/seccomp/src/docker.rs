//! Profiles of Docker's shape (`--security-opt seccomp=FILE`): rules that depend on capabilities, architecture and kernel.
//!
//! Knows which rules apply; what they mean is for [`crate::compile`].

use crate::arch::Arch;
use crate::error::SeccompError;
use carboy_oci::runtime::{Seccomp, SeccompArg, SeccompRule};
use serde::Deserialize;

/// Major and minor number of a kernel, as `minKernel` compares them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KernelVersion(pub u32, pub u32);

impl KernelVersion {
    /// From uname(2)'s release, such as `6.12.5-amd64`, or a profile's `4.8`.
    pub fn parse(release: &str) -> Option<Self> {
        let mut parts = release.splitn(3, '.');
        let major = parts.next()?.parse().ok()?;
        let minor = parts.next()?;
        let digits = minor.find(|c: char| !c.is_ascii_digit()).unwrap_or(minor.len());
        Some(KernelVersion(major, minor[..digits].parse().ok()?))
    }
}

/// What the rules of a Docker profile may depend on.
#[derive(Debug, Clone, Copy)]
pub struct Conditions<'a> {
    /// The container's bounding set, names as `CAP_SYS_ADMIN`.
    pub capabilities: &'a [String],
    /// The kernel's architecture.
    pub arch: Arch,
    /// The kernel's version.
    pub kernel: KernelVersion,
}

impl Conditions<'_> {
    pub(crate) fn has(&self, capability: &str) -> bool {
        self.capabilities.iter().any(|name| name == capability)
    }

    /// The architecture's name in `includes.arches`.
    pub(crate) fn arch_name(&self) -> &'static str {
        match self.arch {
            Arch::X86_64 => "amd64",
            Arch::X86 => "x86",
            Arch::X32 => "x32",
            Arch::Aarch64 => "arm64",
            Arch::Arm => "arm",
        }
    }
}

/// A profile as Docker and Podman read it from a file.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DockerProfile {
    default_action: String,
    default_errno_ret: Option<u32>,
    architectures: Option<Vec<String>>,
    arch_map: Option<Vec<ArchMap>>,
    flags: Option<Vec<String>>,
    listener_path: Option<String>,
    listener_metadata: Option<String>,
    syscalls: Option<Vec<DockerRule>>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ArchMap {
    architecture: String,
    sub_architectures: Option<Vec<String>>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct DockerRule {
    name: Option<String>,
    names: Option<Vec<String>>,
    action: String,
    errno_ret: Option<u32>,
    args: Option<Vec<SeccompArg>>,
    includes: Option<Filter>,
    excludes: Option<Filter>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Filter {
    caps: Option<Vec<String>>,
    arches: Option<Vec<String>>,
    min_kernel: Option<String>,
}

impl DockerProfile {
    /// Reads a profile.
    ///
    /// # Errors
    /// Text that is not JSON of that shape, or uses both of two fields that exclude each other.
    pub fn parse(json: &str) -> Result<Self, SeccompError> {
        let profile: DockerProfile = serde_json::from_str(json)?;
        let filled = |list: usize| list > 0;
        if filled(profile.architectures.iter().flatten().count()) && filled(profile.arch_map.iter().flatten().count()) {
            return Err(SeccompError::invalid("archMap", "cannot be given together with architectures"));
        }
        for (position, rule) in profile.syscalls.iter().flatten().enumerate() {
            if rule.name.is_some() && rule.names.as_ref().is_some_and(|names| !names.is_empty()) {
                return Err(SeccompError::invalid(
                    format!("syscalls[{position}].name"),
                    "cannot be given together with names",
                ));
            }
        }
        Ok(profile)
    }

    /// The rules that apply under these conditions; `None` if the profile says nothing at all, which turns filtering off.
    ///
    /// # Errors
    /// A `minKernel` that is no version.
    pub fn resolve(&self, conditions: &Conditions<'_>) -> Result<Option<Seccomp>, SeccompError> {
        if self.default_action.is_empty() && self.syscalls.iter().flatten().next().is_none() {
            return Ok(None);
        }
        let mut architectures = self.architectures.clone().unwrap_or_default();
        if let Some(map) = self.arch_map.iter().flatten().find(|map| map.architecture == conditions.arch.name()) {
            architectures.push(map.architecture.clone());
            architectures.extend(map.sub_architectures.iter().flatten().cloned());
        }
        let mut syscalls = Vec::new();
        for (position, rule) in self.syscalls.iter().flatten().enumerate() {
            let excluded = rule.excludes.as_ref().map(|filter| filter.any(conditions, position)).transpose()?;
            let included = rule.includes.as_ref().map(|filter| filter.all(conditions, position)).transpose()?;
            if excluded == Some(true) || included == Some(false) {
                continue;
            }
            let names = rule.names.iter().flatten().chain(&rule.name).collect();
            syscalls.push(SeccompRule {
                names,
                action: rule.action.clone(),
                errno_ret: rule.errno_ret,
                args: rule.args.clone().unwrap_or_default(),
            });
        }
        Ok(Some(Seccomp {
            default_action: self.default_action.clone(),
            default_errno_ret: self.default_errno_ret,
            architectures,
            flags: self.flags.clone().unwrap_or_default(),
            listener_path: self.listener_path.clone(),
            listener_metadata: self.listener_metadata.clone(),
            syscalls,
        }))
    }
}

impl Filter {
    fn newer_than_minimum(&self, conditions: &Conditions<'_>, position: usize) -> Result<Option<bool>, SeccompError> {
        let Some(minimum) = self.min_kernel.as_deref().filter(|text| !text.is_empty()) else { return Ok(None) };
        let version = KernelVersion::parse(minimum)
            .ok_or_else(|| SeccompError::unknown(format!("syscalls[{position}].minKernel"), minimum))?;
        Ok(Some(conditions.kernel >= version))
    }

    /// For `excludes`: one match is enough.
    fn any(&self, conditions: &Conditions<'_>, position: usize) -> Result<bool, SeccompError> {
        Ok(self.arches.iter().flatten().any(|arch| arch == conditions.arch_name())
            || self.caps.iter().flatten().any(|capability| conditions.has(capability))
            || self.newer_than_minimum(conditions, position)? == Some(true))
    }

    /// For `includes`: whatever is named must match.
    fn all(&self, conditions: &Conditions<'_>, position: usize) -> Result<bool, SeccompError> {
        let arches = self.arches.as_deref().unwrap_or_default();
        Ok((arches.is_empty() || arches.iter().any(|arch| arch == conditions.arch_name()))
            && self.caps.iter().flatten().all(|capability| conditions.has(capability))
            && self.newer_than_minimum(conditions, position)? != Some(false))
    }
}
