//! Which of the host's namespaces a container shares.

use crate::failure::{Failure, usage};
use clap::Args;

/// Which of the host's namespaces a container shares.
#[derive(Debug, Clone, Args)]
pub(crate) struct NamespaceArgs {
    /// Share the host's processes
    #[arg(long, value_name = "host")]
    pid: Option<String>,
    /// Share the host's System V IPC and message queues, or not
    #[arg(long, value_name = "host|private")]
    ipc: Option<String>,
    /// Share the host's name
    #[arg(long, value_name = "host")]
    uts: Option<String>,
    /// Share the host's cgroup namespace, or not
    #[arg(long, value_name = "host|private")]
    cgroupns: Option<String>,
}

impl NamespaceArgs {
    /// The kinds that are the host's. `named`: whether the container is given a host name.
    pub(super) fn of_host(&self, named: bool) -> Result<Vec<String>, Failure> {
        let mut list = Vec::new();
        for (kind, value) in [("pid", &self.pid), ("ipc", &self.ipc), ("uts", &self.uts), ("cgroup", &self.cgroupns)] {
            match value.as_deref() {
                None | Some("" | "private") => {}
                Some("host") => list.push(kind.to_owned()),
                Some(other) => return Err(usage(format!("--{kind} {other:?} is not supported: host or private"))),
            }
        }
        if list.iter().any(|k| k == "uts") && named {
            return Err(usage("conflicting options: hostname and the UTS mode"));
        }
        Ok(list)
    }
}
