//! Network devices by rtnetlink(7).
//!
//! Knows nothing of containers. A message is a header, a fixed part and attributes, all in the machine's byte order:
//!
//! ```text
//! nlmsghdr   length u32, type u16, flags u16, sequence u32, port u32
//! ifinfomsg  family u8, 0 u8, type u16, index i32, flags u32, change u32
//! ifaddrmsg  family u8, prefix length u8, flags u8, scope u8, index u32
//! attribute  length u16, type u16, bytes, filled up to four
//! ```

mod moving;

pub use moving::move_devices;

use crate::error::{Context, Result};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};
use std::os::fd::{AsRawFd, OwnedFd};

const ERROR: u16 = 2;
const DONE: u16 = 3;
const NEW_LINK: u16 = 16;
const GET_LINK: u16 = 18;
const NEW_ADDRESS: u16 = 20;
const GET_ADDRESS: u16 = 22;

const REQUEST: u16 = 0x1;
const ACK: u16 = 0x4;
const DUMP: u16 = 0x300;
const CREATE_NEW: u16 = 0x600;

const IFLA_IFNAME: u16 = 3;
const IFLA_NET_NS_FD: u16 = 28;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const IFA_FLAGS: u16 = 8;

const IFF_UP: u32 = 1;
const IFA_F_PERMANENT: u32 = 0x80;
/// Global scope.
const UNIVERSE: u8 = 0;

/// An address of a device: family, length of its prefix, and the attributes that say what it is.
struct Address {
    family: u8,
    prefix: u8,
    attributes: Vec<(u16, Vec<u8>)>,
}

fn text(name: &str) -> Vec<u8> {
    [name.as_bytes(), &[0]].concat()
}

struct Socket {
    fd: OwnedFd,
    sequence: u32,
}

impl Socket {
    fn new() -> Result<Socket> {
        // No protocol: 0 is NETLINK_ROUTE.
        let fd = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)
            .context(|| "socket NETLINK_ROUTE")?;
        Ok(Socket { fd, sequence: 0 })
    }

    /// Whether there is a device of this name.
    fn has(&mut self, name: &str) -> std::result::Result<bool, Errno> {
        match self.link(name) {
            Err(Errno::NODEV) => Ok(false),
            result => result.map(|_| true),
        }
    }

    /// The index of a device, and its flags.
    fn link(&mut self, name: &str) -> std::result::Result<(u32, u32), Errno> {
        let body = [&[0; 16][..], &attribute(IFLA_IFNAME, &text(name))].concat();
        let answers = self.ask(GET_LINK, REQUEST, &body)?;
        let link = answers.into_iter().find(|(kind, _)| *kind == NEW_LINK).ok_or(Errno::NODEV)?;
        u32_at(&link.1, 4).zip(u32_at(&link.1, 8)).ok_or(Errno::IO)
    }

    /// Moves a device into another namespace. It has to be down for a new name; in the same request, so that it is whole here or there.
    fn give(&mut self, index: u32, to: &OwnedFd, name: &str) -> std::result::Result<(), Errno> {
        let fd = to.as_raw_fd().to_ne_bytes();
        self.set_link(index, 0, IFF_UP, &[(IFLA_NET_NS_FD, &fd[..]), (IFLA_IFNAME, &text(name))])
    }

    /// What somebody configured on it: addresses that expire or that the kernel makes by itself stay behind.
    fn addresses(&mut self, index: u32) -> std::result::Result<Vec<Address>, Errno> {
        let answers = self.ask(GET_ADDRESS, REQUEST | DUMP, &[0; 8])?;
        let mut found = Vec::new();
        for (_, body) in answers.iter().filter(|(kind, _)| *kind == NEW_ADDRESS) {
            let [family, prefix, flags, scope, ..] = body[..] else { continue };
            let attributes = attributes(body.get(8..).unwrap_or_default());
            let long = attributes.iter().find(|(kind, _)| *kind == IFA_FLAGS).and_then(|(_, value)| u32_at(value, 0));
            let permanent = long.unwrap_or(u32::from(flags)) & IFA_F_PERMANENT != 0;
            if u32_at(body, 4) == Some(index) && scope == UNIVERSE && permanent {
                let kept = |kind: u16| matches!(kind, IFA_ADDRESS | IFA_LOCAL | IFA_BROADCAST);
                let attributes = attributes.into_iter().filter(|(kind, _)| kept(*kind)).collect();
                found.push(Address { family, prefix, attributes });
            }
        }
        Ok(found)
    }

    fn add_address(&mut self, index: u32, address: &Address) -> std::result::Result<(), Errno> {
        let mut body = vec![address.family, address.prefix, IFA_F_PERMANENT as u8, UNIVERSE];
        body.extend(index.to_ne_bytes());
        body.extend(address.attributes.iter().flat_map(|(kind, value)| attribute(*kind, value)));
        self.ask(NEW_ADDRESS, REQUEST | ACK | CREATE_NEW, &body).map(drop)
    }

    fn set_link(
        &mut self,
        index: u32,
        flags: u32,
        change: u32,
        attributes: &[(u16, &[u8])],
    ) -> std::result::Result<(), Errno> {
        let mut body = vec![0; 4];
        for number in [index, flags, change] {
            body.extend(number.to_ne_bytes());
        }
        body.extend(attributes.iter().flat_map(|(kind, value)| attribute(*kind, value)));
        self.ask(NEW_LINK, REQUEST | ACK, &body).map(drop)
    }

    /// Sends a request and gathers what answers it: type and body of each message.
    fn ask(&mut self, kind: u16, flags: u16, body: &[u8]) -> std::result::Result<Vec<(u16, Vec<u8>)>, Errno> {
        self.sequence += 1;
        let mut message = (16 + body.len() as u32).to_ne_bytes().to_vec();
        message.extend(kind.to_ne_bytes());
        message.extend(flags.to_ne_bytes());
        message.extend(self.sequence.to_ne_bytes());
        message.extend([0; 4]);
        message.extend(body);
        send(&self.fd, &message, SendFlags::empty())?;
        let mut answers = Vec::new();
        let mut buffer = vec![0u8; 32768];
        loop {
            let (length, _) = recv(&self.fd, &mut buffer[..], RecvFlags::empty())?;
            if take(&buffer[..length], self.sequence, flags, &mut answers)? {
                return Ok(answers);
            }
        }
    }
}

/// Takes the messages of one datagram; true after the last that is to be expected.
fn take(
    mut bytes: &[u8],
    sequence: u32,
    flags: u16,
    answers: &mut Vec<(u16, Vec<u8>)>,
) -> std::result::Result<bool, Errno> {
    while let (Some(length), Some(number)) = (u32_at(bytes, 0), u32_at(bytes, 8)) {
        let kind = u16_at(bytes, 4).unwrap_or(DONE);
        let message = bytes.get(16..length as usize).ok_or(Errno::IO)?;
        bytes = bytes.get((length as usize).next_multiple_of(4)..).unwrap_or_default();
        match kind {
            _ if number != sequence => {}
            ERROR => match u32_at(message, 0).ok_or(Errno::IO)? as i32 {
                0 => return Ok(true),
                error => return Err(Errno::from_raw_os_error(-error)),
            },
            DONE => return Ok(true),
            kind => {
                answers.push((kind, message.to_vec()));
                // Neither a list nor an acknowledgement follows.
                if flags & (DUMP | ACK) == 0 {
                    return Ok(true);
                }
            }
        }
    }
    Ok(false)
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = 4 + value.len();
    let mut bytes = (length as u16).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(length.next_multiple_of(4), 0);
    bytes
}

fn attributes(mut bytes: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let mut list = Vec::new();
    while let (Some(length), Some(kind)) = (u16_at(bytes, 0), u16_at(bytes, 2)) {
        let Some(value) = bytes.get(4..usize::from(length)) else { break };
        list.push((kind, value.to_vec()));
        bytes = bytes.get(usize::from(length).next_multiple_of(4)..).unwrap_or_default();
    }
    list
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_filled_up_and_found_again() {
        let bytes = [attribute(3, b"eth0\0"), attribute(1, &[10, 0, 0, 1])].concat();
        assert_eq!(bytes.len(), 12 + 8);
        assert_eq!(attributes(&bytes), [(3, b"eth0\0".to_vec()), (1, vec![10, 0, 0, 1])]);
        assert!(attributes(&[200, 0, 1, 0, 5]).is_empty(), "a length beyond the end");
    }

    #[test]
    fn the_kernel_knows_loopback() {
        let mut socket = Socket::new().unwrap();
        assert_eq!(socket.link("lo").unwrap().0, 1);
        assert!(!socket.has("no-such-device").unwrap());
        socket.addresses(1).unwrap();
    }
}
