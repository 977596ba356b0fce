//! ID maps of a new user namespace (user_namespaces(7)).

use crate::error::{Context, Error, Result};
use crate::init::userns::lines;
use crate::step::IdMaps;
use carboy_oci::runtime::IdMapping;
use std::process::Command;

/// Writes the maps of a process.
pub fn write(pid: i32, maps: &IdMaps) -> Result<()> {
    if maps.deny_setgroups {
        let path = format!("/proc/{pid}/setgroups");
        std::fs::write(&path, "deny").context(|| format!("write {path}"))?;
    }
    for (name, helper, map) in [("gid_map", "newgidmap", &maps.gid), ("uid_map", "newuidmap", &maps.uid)] {
        if maps.helpers {
            call(helper, pid, map)?;
        } else {
            let path = format!("/proc/{pid}/{name}");
            std::fs::write(&path, lines(map)).context(|| format!("write {path}"))?;
        }
    }
    Ok(())
}

/// newuidmap(1), newgidmap(1): set-user-ID programs that permit what /etc/subuid and /etc/subgid grant.
fn call(helper: &str, pid: i32, map: &[IdMapping]) -> Result<()> {
    let mut command = Command::new(helper);
    command.arg(pid.to_string());
    for range in map {
        command.args([range.container_id, range.host_id, range.size].map(|n| n.to_string()));
    }
    let output = command.output().context(|| format!("run {helper}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Error::Other(format!("{helper}: {}: {}", output.status, said.trim_end())))
}
