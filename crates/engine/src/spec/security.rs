//! Masked and read-only paths, and the system call filter.

use crate::error::{Error, Result};
use crate::request::{RunRequest, SeccompRequest};
use carboy_oci::defaults::{MASKED_PATHS, READONLY_PATHS};
use carboy_oci::runtime::Seccomp;
use carboy_seccomp::{Arch, Conditions, DockerProfile, KernelVersion, SeccompError, default_profile};

pub(super) struct Masks {
    pub(super) masked: Vec<String>,
    pub(super) read_only: Vec<String>,
}

pub(super) fn masks(request: &RunRequest) -> Masks {
    if request.privileged {
        return Masks { masked: Vec::new(), read_only: Vec::new() };
    }
    let owned = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect();
    Masks { masked: owned(&MASKED_PATHS), read_only: owned(&READONLY_PATHS) }
}

/// The filter: Docker's default profile for these capabilities, unless another was asked for or the container is privileged.
pub(super) fn seccomp(request: &RunRequest, capabilities: &[String]) -> Result<Option<Seccomp>> {
    let invalid = |e: SeccompError| Error::Invalid(format!("seccomp profile: {}", crate::error::flat(&e)));
    let conditions = Conditions { capabilities, arch: ARCH, kernel: kernel() };
    match &request.seccomp {
        SeccompRequest::Default if request.privileged => Ok(None),
        SeccompRequest::Default => Ok(Some(default_profile(capabilities, conditions.arch, conditions.kernel))),
        SeccompRequest::Unconfined => Ok(None),
        SeccompRequest::Profile(text) => {
            DockerProfile::parse(text).and_then(|p| p.resolve(&conditions)).map_err(invalid)
        }
    }
}

#[cfg(target_arch = "x86_64")]
const ARCH: Arch = Arch::X86_64;
#[cfg(target_arch = "aarch64")]
const ARCH: Arch = Arch::Aarch64;

/// The running kernel; an unreadable release counts as an old one, which allows less.
fn kernel() -> KernelVersion {
    let uname = rustix::system::uname();
    KernelVersion::parse(&uname.release().to_string_lossy()).unwrap_or(KernelVersion(3, 0))
}
