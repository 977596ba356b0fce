//! Who the program is: limits, IDs, capabilities, and the filter that it lives under.

use super::Init;
use crate::error::{Context, Result};
use crate::step::{CapabilityMasks, Filter, Identity, Limit};
use carboy_sys::process::{self, CapabilitySets};
use carboy_sys::seccomp;
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, setrlimit};
use std::os::fd::{AsFd, BorrowedFd};

/// Linux has 41 capabilities (6.18); the loop below ends at the first that the kernel does not know.
const MAX_CAPABILITY: u8 = 63;

/// Takes the IDs that the user namespace maps to root. One without a root, or one that denies setgroups(2), is left as it is.
pub fn become_root() -> Result<()> {
    match process::setgroups(&[]) {
        Err(Errno::PERM) => {}
        result => result.context(|| "setgroups")?,
    }
    for (result, what) in [(process::setresgid(0), "setresgid 0"), (process::setresuid(0), "setresuid 0")] {
        match result {
            Err(Errno::INVAL) => {}
            result => result.context(|| what)?,
        }
    }
    Ok(())
}

/// As many descriptors as this process may need itself.
const OWN_FILES: u64 = 256;

impl Init<'_> {
    /// Sets resource limits of this process. Fewer descriptors than it needs itself are a matter for its last moment.
    pub fn set_limits(&mut self, limits: &[Limit]) -> Result<()> {
        for limit in limits {
            let mut now = Rlimit { current: limit.soft, maximum: limit.hard };
            if limit.resource == Resource::Nofile && limit.soft.is_some_and(|soft| soft < OWN_FILES) {
                self.late_limit = Some(now);
                if limit.hard.is_some_and(|hard| hard < OWN_FILES) {
                    continue;
                }
                now.current = Some(OWN_FILES);
            }
            setrlimit(limit.resource, now).context(|| format!("setrlimit {}", limit.name))?;
        }
        Ok(())
    }

    /// Installs a filter; the descriptor of notifications goes to its listener.
    pub fn install_filter(&mut self, filter: &Filter) -> Result<()> {
        let listener = seccomp::install(&filter.program, filter.flags).context(|| "seccomp SECCOMP_SET_MODE_FILTER")?;
        if let Some(listener) = listener {
            self.inheritance.channel.listener(listener.as_fd())?;
            self.listener_sent = true;
        }
        Ok(())
    }

    /// Takes the IDs and capabilities of the user.
    pub fn take_identity(&mut self, identity: &Identity) -> Result<()> {
        rustix::process::umask(Mode::from_raw_mode(identity.umask.unwrap_or(0o022)));
        if identity.uid != 0 {
            self.give_streams(identity.uid)?;
        }
        if let Some(masks) = &identity.capabilities {
            drop_bounding(masks.bounding)?;
            if identity.uid != 0 {
                process::set_keep_capabilities(true).context(|| "prctl PR_SET_KEEPCAPS")?;
            }
        }
        if let Some(groups) = &identity.groups {
            match process::setgroups(groups) {
                // In a user namespace whose setgroups file says deny there is nothing to clear.
                Err(Errno::PERM) if groups.is_empty() => {}
                result => result.context(|| "setgroups")?,
            }
        }
        if !identity.root_stays || !process::is_root_from_the_start() {
            process::setresgid(identity.gid).context(|| format!("setresgid {}", identity.gid))?;
            process::setresuid(identity.uid).context(|| format!("setresuid {}", identity.uid))?;
        }
        self.uid = identity.uid;
        if let Some(masks) = &identity.capabilities {
            set_capabilities(masks)?;
        }
        self.enter_pending_directory()
    }

    /// Makes the user the owner of its terminal or pipes, so that /dev/stdout and the like can be opened (as runc).
    fn give_streams(&self, uid: u32) -> Result<()> {
        use rustix::fs::{FileType, Uid, fchown, fstat};
        for raw in 0..3 {
            let fd: BorrowedFd<'_> = match raw {
                0 => rustix::stdio::stdin(),
                1 => rustix::stdio::stdout(),
                _ => rustix::stdio::stderr(),
            };
            let Ok(stat) = fstat(fd) else { continue };
            let kind = FileType::from_raw_mode(stat.st_mode);
            let null = kind == FileType::CharacterDevice && stat.st_rdev == rustix::fs::makedev(1, 3);
            if stat.st_uid == uid || null {
                continue;
            }
            match fchown(fd, Some(Uid::from_raw(uid)), None) {
                // Not ours to give: a file system or a descriptor of somebody else's.
                Ok(()) | Err(Errno::INVAL | Errno::PERM | Errno::ROFS) => {}
                Err(e) => return Err(e).context(|| format!("fchown of stream {raw}")),
            }
        }
        Ok(())
    }
}

fn drop_bounding(keep: u64) -> Result<()> {
    for capability in 0..=MAX_CAPABILITY {
        if keep & 1 << capability != 0 {
            continue;
        }
        match process::drop_bounding(capability) {
            Err(Errno::INVAL) => break,
            result => result.context(|| format!("prctl PR_CAPBSET_DROP {capability}"))?,
        }
    }
    Ok(())
}

fn set_capabilities(masks: &CapabilityMasks) -> Result<()> {
    let CapabilityMasks { effective, permitted, inheritable, ambient, .. } = *masks;
    process::capset(CapabilitySets { effective, permitted, inheritable }).context(|| "capset")?;
    // capset(2) has taken away what is not both permitted and inheritable (capabilities(7)).
    if permitted & inheritable != 0 {
        process::clear_ambient().context(|| "prctl PR_CAP_AMBIENT_CLEAR_ALL")?;
    }
    for capability in (0..=MAX_CAPABILITY).filter(|c| ambient & 1 << c != 0) {
        match process::raise_ambient(capability) {
            // Not permitted or not inheritable: cannot be granted, of which the plan has warned (as runc).
            Ok(()) | Err(Errno::PERM | Errno::INVAL) => {}
            Err(e) => return Err(e).context(|| format!("prctl PR_CAP_AMBIENT_RAISE {capability}")),
        }
    }
    Ok(())
}
