//! Network devices that move into the container (runtime-spec 1.3, "Network Devices").

use super::Planner;
use crate::error::{Error, Result};
use crate::step::Action;
use carboy_oci::runtime::Linux;
use carboy_sys::clone::flag;

/// Longest name of a device (IFNAMSIZ without the NUL).
const LONGEST: usize = 15;

impl Planner<'_> {
    /// The move, once the namespace is there.
    pub fn net_devices(&mut self, linux: &Linux, own: u64) -> Result<()> {
        if linux.net_devices.is_empty() {
            return Ok(());
        }
        if own & flag::NEWNET == 0 {
            return Err(Error::invalid("linux.netDevices", "cannot be moved without a network namespace"));
        }
        let mut devices: Vec<(String, String)> = Vec::with_capacity(linux.net_devices.len());
        for (name, device) in &linux.net_devices {
            let inside = device.name.as_deref().filter(|name| !name.is_empty()).unwrap_or(name);
            check(name, format!("linux.netDevices.{name}"))?;
            check(inside, format!("linux.netDevices.{name}.name"))?;
            let template = inside.contains('%');
            if template && (inside.matches('%').count() > 1 || !inside.contains("%d")) {
                let reason = format!("{inside:?} is no name of a network device: one %d may stand for a number");
                return Err(Error::invalid(format!("linux.netDevices.{name}.name"), reason));
            }
            if !template && devices.iter().any(|(_, taken)| taken == inside) {
                let reason = format!("{inside:?} is the name of two devices in the container");
                return Err(Error::invalid(format!("linux.netDevices.{name}.name"), reason));
            }
            devices.push((name.clone(), inside.to_owned()));
        }
        let joined = linux.namespaces.iter().find(|n| n.kind == "network").and_then(|n| n.path.clone());
        self.runtime("linux.netDevices", Action::NetDevices(devices, joined));
        Ok(())
    }
}

/// As the kernel's dev_valid_name().
fn check(name: &str, field: String) -> Result<()> {
    let bad = |c: char| c == '/' || c == ':' || c.is_ascii_whitespace() || c == '\0';
    if name.is_empty() || name.len() > LONGEST || name == "." || name == ".." || name.contains(bad) {
        return Err(Error::invalid(field, format!("{name:?} is no name of a network device")));
    }
    Ok(())
}
