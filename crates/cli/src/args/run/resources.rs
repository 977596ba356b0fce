//! Limits of what a container may use.

use crate::failure::{Failure, usage};
use crate::units::{parse_cpus, parse_size, parse_size_or_unlimited};
use carboy_engine::{Limits, Ulimit};
use clap::Args;

/// Limits of what a container may use.
#[derive(Debug, Clone, Args)]
pub(crate) struct ResourceArgs {
    /// Memory limit, such as 64m
    #[arg(short, long, value_name = "BYTES", value_parser = parse_size)]
    memory: Option<u64>,
    /// Memory and swap together; -1 for no limit
    #[arg(long, value_name = "BYTES", value_parser = parse_size_or_unlimited, allow_negative_numbers = true)]
    memory_swap: Option<i64>,
    /// Soft memory limit
    #[arg(long, value_name = "BYTES", value_parser = parse_size)]
    memory_reservation: Option<u64>,
    /// Number of CPUs, such as 1.5
    #[arg(long, value_name = "N", value_parser = parse_cpus)]
    cpus: Option<i64>,
    /// Relative weight
    #[arg(short, long, value_name = "N")]
    cpu_shares: Option<u64>,
    /// CPU period in microseconds
    #[arg(long, value_name = "N")]
    cpu_period: Option<u64>,
    /// CPU microseconds in each period
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    cpu_quota: Option<i64>,
    /// CPUs to use, such as 0-3,5
    #[arg(long, value_name = "CPUS")]
    cpuset_cpus: Option<String>,
    /// Memory nodes to use
    #[arg(long, value_name = "NODES")]
    cpuset_mems: Option<String>,
    /// Number of tasks; -1 for no limit
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pids_limit: Option<i64>,
    /// Cgroup to make the container's below, instead of /carboy
    #[arg(long, value_name = "PATH")]
    cgroup_parent: Option<String>,
    /// Limit a resource of the process, such as nofile=1024:4096
    #[arg(long, value_name = "NAME=SOFT[:HARD]")]
    ulimit: Vec<String>,
    /// Size of /dev/shm
    #[arg(long, value_name = "BYTES", value_parser = parse_size)]
    pub(super) shm_size: Option<u64>,
    /// Adjust the OOM killer's choice, -1000 to 1000
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(super) oom_score_adj: Option<i32>,
}

impl ResourceArgs {
    pub(super) fn limits(&self) -> Limits {
        let signed = |n: Option<u64>| n.map(|n| n as i64).filter(|n| *n != 0);
        Limits {
            memory: signed(self.memory),
            memory_swap: self.memory_swap.filter(|n| *n != 0),
            memory_reservation: signed(self.memory_reservation),
            nano_cpus: self.cpus.filter(|n| *n != 0),
            cpu_shares: self.cpu_shares,
            cpu_period: self.cpu_period,
            cpu_quota: self.cpu_quota,
            cpuset_cpus: self.cpuset_cpus.clone(),
            cpuset_mems: self.cpuset_mems.clone(),
            pids: self.pids_limit.filter(|n| *n != 0),
        }
    }

    pub(super) fn cgroup_parent(&self) -> Option<String> {
        self.cgroup_parent.clone().filter(|path| !path.is_empty())
    }

    pub(super) fn ulimits(&self) -> Result<Vec<Ulimit>, Failure> {
        self.ulimit.iter().map(|u| ulimit(u)).collect()
    }
}

fn ulimit(text: &str) -> Result<Ulimit, Failure> {
    let bad = || usage(format!("invalid ulimit argument: {text:?} (NAME=SOFT[:HARD])"));
    let (name, values) = text.split_once('=').ok_or_else(bad)?;
    let (soft, hard) = values.split_once(':').unwrap_or((values, values));
    let number = |text: &str| match text {
        "-1" | "unlimited" => Ok(u64::MAX),
        _ => text.parse().map_err(|_| bad()),
    };
    Ok(Ulimit { name: name.to_owned(), soft: number(soft)?, hard: number(hard)? })
}
