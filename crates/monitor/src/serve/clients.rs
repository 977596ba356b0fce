//! The clients: those that come, what they send, and how they are parted from.

use super::{Serve, Source, ready};
use crate::client::Client;
use crate::error::Error;
use carboy_wire::attach;
use rustix::event::PollFlags;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

impl Serve {
    /// Takes in the clients that are connecting.
    pub(crate) fn accept(&mut self) {
        while let Some(listener) = &self.listener {
            match listener.accept() {
                Ok((stream, _)) => self.clients.push(Client::new(stream.into(), false)),
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
    }

    pub(super) fn is_paused(&self, client: &Client) -> bool {
        self.input.is_full() && matches!(client.decoder.peek_kind(), Ok(Some(attach::STDIN)))
    }

    pub(super) fn serve_client(&mut self, index: usize) {
        let paused = self.is_paused(&self.clients[index]);
        let client = &mut self.clients[index];
        client.flush();
        if !paused {
            client.receive();
        }
        self.take_frames(index);
    }

    /// Deals with the whole frames of a client, up to input for which there is no room.
    pub(super) fn take_frames(&mut self, index: usize) {
        let client = &mut self.clients[index];
        loop {
            match client.decoder.peek_kind() {
                Ok(Some(attach::STDIN)) if self.input.is_full() => return,
                Ok(Some(_)) => {}
                Ok(None) => return,
                Err(_) => return client.give_up(),
            }
            let Ok(Some(frame)) = client.decoder.next_frame() else { return };
            match frame.kind {
                attach::STDIN => {
                    client.sent_input = true;
                    self.input.push(frame.payload);
                }
                attach::CLOSE_STDIN => self.input.close(),
                attach::RESIZE => {
                    if let Some((rows, columns)) = attach::decode_size(frame.payload) {
                        self.input.resize(rows, columns);
                    }
                }
                _ => {}
            }
        }
    }

    pub(super) fn drop_clients(&mut self) {
        let now = Instant::now();
        let mut input_ended = false;
        let stdin_once = self.stdin_once;
        self.clients.retain(|client| {
            let stays = !client.is_gone() && !client.is_stuck(now);
            input_ended |= !stays && stdin_once && (client.primary || client.sent_input);
            stays
        });
        if input_ended {
            self.input.close();
        }
    }

    /// Sends a last frame to everybody.
    pub(crate) fn broadcast(&mut self, kind: u8, payload: &[u8]) {
        self.clients.iter_mut().for_each(|client| client.send(kind, payload));
        self.clients.retain(|client| !client.is_gone());
    }

    /// Waits until the clients have taken what waits for them, those other than the first only while they make progress. A signal
    /// ends the wait.
    pub(crate) fn linger(&mut self) -> Result<(), Error> {
        loop {
            let now = Instant::now();
            self.clients.iter_mut().for_each(Client::discard_input);
            self.clients.retain(|client| client.is_behind() && !client.is_gone() && !client.is_idle(now));
            if self.clients.is_empty() {
                return Ok(());
            }
            let mut sources = vec![(Source::Signals, self.signals.as_fd(), PollFlags::IN)];
            let clients = self.clients.iter().enumerate();
            sources.extend(clients.map(|(index, client)| (Source::Client(index), client.as_fd(), PollFlags::OUT)));
            let others = self.clients.iter().any(|client| !client.primary);
            for source in ready(&sources, others.then_some(Duration::from_millis(100)), false)? {
                match source {
                    Source::Client(index) => self.clients[index].flush(),
                    _ if self.was_told_to_end()? => return Ok(()),
                    _ => {}
                }
            }
        }
    }
}
