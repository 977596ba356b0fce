//! Changes of several limits that are made whole or not at all.

use crate::dir::CgroupDir;
use crate::error::CgroupError;
use crate::manager::CgroupManager;
use crate::plan::{Missing, Step, What};
use rustix::io::Errno;
use std::slice::from_ref;

/// Carries out a plan for a cgroup with limits and processes. If one of its steps fails, what the others have changed is set back.
///
/// # Errors
/// That of the step; [`CgroupError::NotUndone`] if something could not be set back, for instance because more is in use by now.
pub fn apply_whole(cgroup: &dyn CgroupManager, steps: &[Step]) -> Result<(), CgroupError> {
    let mut before: Vec<Step> = steps.iter().rev().flat_map(|step| cgroup.inverse(step)).collect();
    let Err(cause) = cgroup.apply(steps) else { return Ok(()) };
    // Limits may bound each other: what is refused at first is tried again after the others.
    for _ in 0..2 {
        before.retain(|step| cgroup.inverse(step) != from_ref(step) && cgroup.apply(from_ref(step)).is_err());
    }
    if before.is_empty() {
        return Err(cause);
    }
    Err(CgroupError::NotUndone { fields: before.into_iter().map(|step| step.from).collect(), cause: cause.into() })
}

/// What brings back the present content of the file that a step writes.
pub(crate) fn of_write(dir: &CgroupDir, step: &Step) -> Vec<Step> {
    let What::Write { file, value, missing } = &step.what else { return Vec::new() };
    let (file, value, now) = match (dir.try_read(file), missing) {
        (Err(Errno::NOENT), Missing::Instead(other, value)) => (*other, value, dir.try_read(other)),
        (now, _) => (file.as_ref(), value, now),
    };
    // What cannot be read cannot be written either, or has no content to come back to.
    let Ok(now) = now else { return Vec::new() };
    let write = |file: &str, value: String| {
        let what = What::Write { file: file.to_owned().into(), value, missing: Missing::Skip };
        Step { what, ..step.clone() }
    };
    let mut steps = vec![write(file, content(file, value, &now))];
    if file == "cpu.idle" {
        // An idle group loses its weight.
        let weight = ["cpu.weight", "cpu.shares"].into_iter().find_map(|name| Some((name, dir.try_read(name).ok()?)));
        steps.extend(weight.map(|(name, now)| write(name, now.trim().to_owned())));
    }
    steps
}

/// What is to be written so that a file that is about to take `value` holds `now` again.
fn content(file: &str, value: &str, now: &str) -> String {
    let line = |key: &str| now.lines().find(|line| line.split_whitespace().next() == Some(key)).map(str::to_owned);
    if file == "memory.oom_control" {
        return line("oom_kill_disable").and_then(|line| Some(line.split_once(' ')?.1.to_owned())).unwrap_or_default();
    }
    let key = value.split_whitespace().next().unwrap_or_default();
    let is_device = key.split_once(':').is_some_and(|(a, b)| a.parse::<u32>().is_ok() && b.parse::<u32>().is_ok());
    if is_device || matches!(file, "rdma.max" | "net_prio.ifpriomap") {
        // One line for each device; a device without one has no limit.
        let none = match file {
            "io.max" => "rbps=max wbps=max riops=max wiops=max",
            "rdma.max" => "hca_handle=max hca_object=max",
            "io.weight" | "io.bfq.weight" => "default",
            _ => "0",
        };
        return line(key).unwrap_or_else(|| format!("{key} {none}"));
    }
    let now = line("default").unwrap_or_else(|| now.trim().to_owned());
    // Nothing at all would not be written.
    if now.is_empty() { "\n".to_owned() } else { now }
}

#[cfg(test)]
mod tests {
    use super::content;

    #[test]
    fn files_get_their_content_back() {
        for (file, value, now, expected) in [
            ("pids.max", "7", "max\n", "max"),
            ("cpu.max", "5 10", "max 100000\n", "max 100000"),
            ("cpuset.cpus", "0", "\n", "\n"),
            ("io.max", "8:0 rbps=1", "8:16 rbps=5 wbps=max\n", "8:0 rbps=max wbps=max riops=max wiops=max"),
            ("io.max", "8:16 rbps=1", "8:0 rbps=2\n8:16 rbps=5 wbps=max\n", "8:16 rbps=5 wbps=max"),
            ("io.weight", "50", "default 100\n8:0 20\n", "default 100"),
            ("io.weight", "8:0 50", "default 100\n8:0 20\n", "8:0 20"),
            ("blkio.throttle.read_bps_device", "8:0 5", "", "8:0 0"),
            ("net_prio.ifpriomap", "lo 5", "lo 0\neth0 3\n", "lo 0"),
            ("memory.oom_control", "1", "oom_kill_disable 0\nunder_oom 0\n", "0"),
        ] {
            assert_eq!(content(file, value, now), expected, "{file} {value}");
        }
    }
}
