//! Devices move into another network namespace, get their addresses back, and are brought up.

use super::{Address, IFF_UP, Socket};
use crate::error::{Context, Result};
use carboy_sys::clone::flag;
use carboy_sys::namespace::setns;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};

/// A device that shall move: what it is here.
struct Device<'a> {
    name: &'a str,
    index: u32,
    up: bool,
    addresses: Vec<Address>,
}

/// Moves devices, each by its name here and its name there, into the network namespace behind a file. Their permanent global addresses go with
/// them, and they are up in the end. A name that holds `%d` gets the first number that is free. If one cannot be moved, none is.
pub fn move_devices(devices: &[(String, String)], namespace: &str) -> Result<()> {
    let (home, target) = (open("/proc/self/ns/net")?, open(namespace)?);
    let mut here = Socket::new()?;
    let found = devices.iter().map(|(name, _)| find(&mut here, name)).collect::<Result<Vec<_>>>()?;
    // Looked up before anything moves: the kernel finds out that a name is taken when the device is there already.
    let names = within(&target, &home, || free_names(devices))?;
    let pairs: Vec<_> = found.iter().zip(&names).collect();
    let mut moved = 0;
    let sent = pairs.iter().try_for_each(|(device, name)| {
        let what = || format!("move network device {} to {name}", device.name);
        here.give(device.index, &target, name).context(what).inspect(|()| moved += 1)
    });
    let settled = sent.and_then(|()| {
        within(&target, &home, || pairs.iter().try_for_each(|(device, name)| settle(device, name, true)))
    });
    if settled.is_err() {
        // They would be lost with the namespace. The first error is the one that counts.
        let pairs = &pairs[..moved];
        let _ = within(&target, &home, || pairs.iter().try_for_each(|(device, name)| send_back(device, name, &home)));
        let _ = pairs.iter().try_for_each(|(device, _)| settle(device, device.name, device.up));
    }
    settled
}

fn open(path: &str) -> Result<OwnedFd> {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).context(|| format!("open {path}"))
}

/// Does something in another network namespace.
fn within<T>(target: &OwnedFd, home: &OwnedFd, work: impl FnOnce() -> Result<T>) -> Result<T> {
    setns(target.as_fd(), flag::NEWNET).context(|| "setns to the container's network")?;
    let result = work();
    setns(home.as_fd(), flag::NEWNET).context(|| "setns back")?;
    result
}

fn find<'a>(socket: &mut Socket, name: &'a str) -> Result<Device<'a>> {
    let (index, flags) = socket.link(name).context(|| format!("network device {name}"))?;
    let addresses = socket.addresses(index).context(|| format!("addresses of network device {name}"))?;
    Ok(Device { name, index, up: flags & IFF_UP != 0, addresses })
}

/// The names that devices get in this namespace.
fn free_names(devices: &[(String, String)]) -> Result<Vec<String>> {
    let mut socket = Socket::new()?;
    let mut names: Vec<String> = Vec::with_capacity(devices.len());
    for (name, wanted) in devices {
        let what = || format!("move network device {name} to {wanted}");
        let mut number = 0;
        let mut candidate = wanted.replace("%d", "0");
        while names.contains(&candidate) || socket.has(&candidate).context(what)? {
            if candidate == *wanted {
                return Err(Errno::EXIST).context(what);
            }
            number += 1;
            candidate = wanted.replace("%d", &number.to_string());
        }
        names.push(candidate);
    }
    Ok(names)
}

/// Gives a device that has come into this namespace its addresses, and brings it up.
fn settle(device: &Device<'_>, name: &str, up: bool) -> Result<()> {
    let mut socket = Socket::new()?;
    let what = || format!("network device {name}, which has moved");
    let (index, _) = socket.link(name).context(what)?;
    for address in &device.addresses {
        socket.add_address(index, address).context(|| format!("address of {}", what()))?;
    }
    let flags = if up { IFF_UP } else { 0 };
    socket.set_link(index, flags, IFF_UP, &[]).context(|| format!("bring up {}", what()))
}

fn send_back(device: &Device<'_>, name: &str, home: &OwnedFd) -> Result<()> {
    let mut socket = Socket::new()?;
    let what = || format!("move network device {name} back to {}", device.name);
    let (index, _) = socket.link(name).context(what)?;
    socket.give(index, home, device.name).context(what)
}
