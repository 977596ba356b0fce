//! A seccomp profile as a step.

use crate::error::{Error, Result};
use crate::step::Filter;
use carboy_oci::runtime::Seccomp;

/// Compiles a profile; `None` if it has neither rules nor a default that refuses.
pub fn compile(profile: &Seccomp) -> Result<Option<Filter>> {
    if profile.default_action.is_empty() && profile.syscalls.is_empty() {
        return Ok(None);
    }
    let set = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    if set(&profile.listener_metadata) && !set(&profile.listener_path) {
        return Err(Error::invalid("linux.seccomp.listenerMetadata", "is given without listenerPath"));
    }
    let filter = carboy_seccomp::compile(profile)?;
    let listener = match (filter.notifies, profile.listener_path.as_deref().filter(|path| !path.is_empty())) {
        (true, None) => return Err(Error::invalid("linux.seccomp.listenerPath", "is needed for SCMP_ACT_NOTIFY")),
        (true, Some(path)) => Some((path.to_owned(), profile.listener_metadata.clone().unwrap_or_default())),
        (false, _) => None,
    };
    Ok(Some(Filter { program: filter.program, flags: filter.flags, listener }))
}
