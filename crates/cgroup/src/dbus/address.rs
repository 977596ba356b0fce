//! Where buses are, and the way in (D-Bus specification, "Server Addresses" and "Authentication Protocol").

use super::DbusError;
use std::fmt;
use std::io::{Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::time::Duration;

/// Which service manager is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bus {
    /// The machine's.
    System,
    /// The calling user's.
    User,
}

impl Bus {
    /// As it is called in messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Bus::System => "systemd",
            Bus::User => "the user's systemd",
        }
    }
}

/// A socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    path: String,
    is_abstract: bool,
    /// Whether systemd itself listens there, without a bus daemon.
    pub(super) is_direct: bool,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.is_abstract { "@" } else { "" }, self.path)
    }
}

/// Where to try, in this order: what the environment names; systemd's own socket, as systemctl does; the bus at its usual place.
pub(crate) fn addresses(bus: Bus) -> Vec<Address> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    match bus {
        Bus::System => of_system(variable("DBUS_SYSTEM_BUS_ADDRESS")),
        Bus::User => {
            let own = || format!("/run/user/{}", rustix::process::geteuid().as_raw());
            of_user(variable("DBUS_SESSION_BUS_ADDRESS"), &variable("XDG_RUNTIME_DIR").unwrap_or_else(own))
        }
    }
}

fn of_system(named: Option<String>) -> Vec<Address> {
    let mut list = named.map(|text| parse(&text)).unwrap_or_default();
    list.push(Address { path: "/run/systemd/private".into(), is_abstract: false, is_direct: true });
    list.push(Address { path: "/run/dbus/system_bus_socket".into(), is_abstract: false, is_direct: false });
    list
}

fn of_user(named: Option<String>, runtime: &str) -> Vec<Address> {
    let mut list = named.map(|text| parse(&text)).unwrap_or_default();
    list.push(Address { path: format!("{runtime}/systemd/private"), is_abstract: false, is_direct: true });
    list.push(Address { path: format!("{runtime}/bus"), is_abstract: false, is_direct: false });
    list
}

/// `unix:path=/run/bus,guid=…;unix:abstract=…`. Other transports are passed over.
fn parse(text: &str) -> Vec<Address> {
    let address = |one: &str| {
        let keys = one.strip_prefix("unix:")?;
        keys.split(',').find_map(|pair| match pair.split_once('=')? {
            ("path", value) => Some(Address { path: unescape(value), is_abstract: false, is_direct: false }),
            ("abstract", value) => Some(Address { path: unescape(value), is_abstract: true, is_direct: false }),
            _ => None,
        })
    };
    text.split(';').filter_map(address).collect()
}

/// `%2F` and the like.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let coded = after.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match coded.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Address {
    /// Connects and authenticates.
    pub(super) fn connect(&self, patience: Duration) -> Result<UnixStream, DbusError> {
        let socket = if self.is_abstract {
            SocketAddr::from_abstract_name(self.path.as_bytes())
        } else {
            SocketAddr::from_pathname(&self.path)
        };
        let stream = socket.and_then(|address| UnixStream::connect_addr(&address));
        let mut stream = stream.map_err(|e| DbusError::io("connect", e))?;
        let prepared = stream.set_read_timeout(Some(patience)).and_then(|()| stream.set_write_timeout(Some(patience)));
        prepared.map_err(|e| DbusError::io("set a time limit", e))?;
        authenticate(&mut stream)?;
        Ok(stream)
    }
}

/// EXTERNAL without a name: the other side takes who we are from the kernel. A name would be wrong in a user namespace, where one's own
/// number is not the one that the other side sees.
///
/// All lines go at once, and nothing after them before the answer, as systemd's own library does it: a message that systemd reads together
/// with `BEGIN` stays where it is until more comes (seen with 252).
fn authenticate(stream: &mut UnixStream) -> Result<(), DbusError> {
    let lines = b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n";
    stream.write_all(lines).map_err(|e| DbusError::io("authenticate", e))?;
    let mut line = read_line(stream)?;
    if line == "DATA" || line.starts_with("DATA ") {
        line = read_line(stream)?;
    }
    if !line.starts_with("OK ") {
        return Err(DbusError::Protocol(format!("authentication was answered with {line:?}")));
    }
    Ok(())
}

/// Byte by byte: what follows the last line is no text.
fn read_line(stream: &mut UnixStream) -> Result<String, DbusError> {
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\r\n") {
        stream.read_exact(&mut byte).map_err(|e| DbusError::io("authenticate", e))?;
        line.push(byte[0]);
        if line.len() > 4096 {
            return Err(DbusError::Protocol("a line of authentication without an end".into()));
        }
    }
    Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
}

#[cfg(test)]
pub(super) fn parse_one(text: &str) -> Address {
    parse(text).remove(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_in_order() {
        let shown = |list: Vec<Address>| list.iter().map(Address::to_string).collect::<Vec<_>>();
        assert_eq!(
            shown(of_user(Some("unix:path=/a%2cb,guid=1;tcp:host=x;unix:abstract=c".into()), "/run/user/7")),
            ["/a,b", "@c", "/run/user/7/systemd/private", "/run/user/7/bus"]
        );
        assert_eq!(shown(of_system(None)), ["/run/systemd/private", "/run/dbus/system_bus_socket"]);
        assert!(of_system(None)[0].is_direct && !of_system(None)[1].is_direct);
        assert_eq!(unescape("100%"), "100%");
    }
}
