//! A small blocking D-Bus client: enough to call methods of systemd and to wait for its signals.
//!
//! The D-Bus specification, 0.41. Unix sockets, authentication by the kernel's credentials, messages without descriptors. Knows
//! nothing of systemd; no threads, no object server, no caches.

mod address;
mod message;
mod value;

pub(crate) use address::{Bus, addresses};
pub(crate) use message::Message;
pub(crate) use value::Value;

use message::Kind;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// How long an answer may take. What systemd has to do for a container takes milliseconds; runc waits as long.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum DbusError {
    /// No bus answers at any address.
    #[error("{0}")]
    Unreachable(String),
    /// The connection broke, or nothing was said for too long.
    #[error("{operation}")]
    Io {
        /// What was tried.
        operation: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// What came is not D-Bus, or not what the interface promises.
    #[error("unexpected answer: {0}")]
    Protocol(String),
    /// The other side refused.
    #[error("{name}: {text}")]
    Refused {
        /// The error's name, such as `org.freedesktop.systemd1.NoSuchUnit`.
        name: String,
        /// In words.
        text: String,
    },
}

impl DbusError {
    /// The name of the error that the other side answered with.
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            DbusError::Refused { name, .. } => Some(name),
            _ => None,
        }
    }

    fn io(operation: impl Into<String>, source: std::io::Error) -> DbusError {
        DbusError::Io { operation: operation.into(), source }
    }
}

/// A method to call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Method<'a> {
    pub(crate) destination: &'a str,
    pub(crate) path: &'a str,
    pub(crate) interface: &'a str,
    pub(crate) member: &'a str,
}

const DAEMON: &str = "org.freedesktop.DBus";

/// An authenticated connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: UnixStream,
    serial: u32,
    /// Whether a bus daemon lies between; otherwise it is the peer itself, which sends all its signals unasked.
    daemon: bool,
    /// Signals that came while an answer was awaited.
    signals: Vec<Message>,
}

impl Connection {
    /// Connects to the first address that answers.
    pub(crate) fn open(bus: Bus) -> Result<Connection, DbusError> {
        let mut tried = Vec::new();
        for address in addresses(bus) {
            match address.connect(PATIENCE) {
                Ok(stream) => {
                    let mut connection =
                        Connection { stream, serial: 0, daemon: !address.is_direct, signals: Vec::new() };
                    if connection.daemon {
                        connection.call_daemon("Hello", &[])?;
                    }
                    return Ok(connection);
                }
                Err(e) => tried.push(format!("{}: {}", address, with_source(&e))),
            }
        }
        Err(DbusError::Unreachable(format!("{} does not answer ({})", bus.name(), tried.join("; "))))
    }

    /// Has signals sent that match a rule.
    pub(crate) fn add_match(&mut self, rule: &str) -> Result<(), DbusError> {
        if self.daemon {
            self.call_daemon("AddMatch", &[Value::Str(rule.to_owned())])?;
        }
        Ok(())
    }

    fn call_daemon(&mut self, member: &str, arguments: &[Value]) -> Result<Vec<Value>, DbusError> {
        let path = "/org/freedesktop/DBus";
        self.call(Method { destination: DAEMON, path, interface: DAEMON, member }, arguments)
    }

    /// Calls a method and waits for its answer.
    pub(crate) fn call(&mut self, method: Method<'_>, arguments: &[Value]) -> Result<Vec<Value>, DbusError> {
        self.serial += 1;
        let bytes = Message::call(self.serial, method, arguments).encode();
        let operation = || format!("call {}", method.member);
        self.stream.write_all(&bytes).map_err(|e| DbusError::io(operation(), e))?;
        loop {
            let message = self.receive().map_err(|e| match e {
                DbusError::Io { source, .. } => DbusError::io(operation(), source),
                other => other,
            })?;
            match message.kind {
                Kind::Return if message.reply_to == self.serial => return Ok(message.body),
                Kind::Error if message.reply_to == self.serial => {
                    let text = message.body.into_iter().find_map(Value::into_string).unwrap_or_default();
                    return Err(DbusError::Refused { name: message.error, text });
                }
                Kind::Signal => self.signals.push(message),
                _ => {}
            }
        }
    }

    /// Waits for a signal that is accepted, also among those that have come already.
    pub(crate) fn wait<T>(&mut self, mut accept: impl FnMut(&Message) -> Option<T>) -> Result<T, DbusError> {
        loop {
            for message in std::mem::take(&mut self.signals) {
                if let Some(found) = accept(&message) {
                    return Ok(found);
                }
            }
            let message = self.receive()?;
            if message.kind == Kind::Signal {
                self.signals.push(message);
            }
        }
    }

    fn receive(&mut self) -> Result<Message, DbusError> {
        let mut head = vec![0u8; message::FIXED];
        self.stream.read_exact(&mut head).map_err(|e| DbusError::io("read from the bus", e))?;
        let rest = message::rest_length(&head)?;
        head.resize(message::FIXED + rest, 0);
        self.stream.read_exact(&mut head[message::FIXED..]).map_err(|e| DbusError::io("read from the bus", e))?;
        Message::decode(&head)
    }
}

fn with_source(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

#[cfg(test)]
mod tests;
