//! How `exec` comes into the PID namespace of a container: last, and with nothing of the host's.
//!
//! Whoever in the container has CAP_SYS_PTRACE, where no user namespace limits it, can look into every process that it sees, take its
//! descriptors, and make it do anything (CVE-2016-9962, which `PR_SET_DUMPABLE` does not prevent then). So an intermediate process, which
//! the container does not see, joins its namespaces and cgroups, closes what it has of the host, gives up the privileges that are not
//! needed any more, and only then makes the process that will be the program.
//!
//! For that moment there are two processes in the cgroup, so a limit of processes must leave room for both. (runc needs more.)

use super::Init;
use crate::error::{Context, Result};
use crate::step::Appearance;
use carboy_sys::clone::{Clone, clone3, flag};
use carboy_sys::process::{self, CapabilitySets};
use std::os::fd::AsFd;

impl Init<'_> {
    /// Goes on as a new process, the runtime's child as this one is, which ends here.
    pub fn appear(&mut self, with: &Appearance) -> Result<()> {
        // Nothing that comes later uses the cgroup's or the container's descriptors, which are closed here, too.
        std::mem::forget([self.root.take(), self.proc.take(), self.null.take(), self.shared_root.take()]);
        process::close_all_but(3 + with.preserved, &[self.inheritance.channel.as_fd()]).context(|| "close_range")?;
        if let Some(keep) = with.capabilities {
            limit_capabilities(keep)?;
        }
        match clone3(flag::PARENT, None).context(|| "clone3")? {
            Clone::Child => Ok(()),
            Clone::Parent { pid, .. } => {
                self.inheritance.channel.born(pid)?;
                process::exit_now(0)
            }
        }
    }
}

fn limit_capabilities(keep: u64) -> Result<()> {
    let CapabilitySets { effective, permitted, inheritable } = process::capget().context(|| "capget")?;
    let sets =
        CapabilitySets { effective: effective & keep, permitted: permitted & keep, inheritable: inheritable & keep };
    process::capset(sets).context(|| "capset")
}
