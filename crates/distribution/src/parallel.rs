//! One large blob over several connections: pieces of it are fetched ahead, side by side, and read in order. What is held in memory is
//! bounded by the number of connections, whatever the blob's size.

use crate::blob::BlobReader;
use crate::error::Error;
use crate::repository::Repository;
use carboy_oci::image::Descriptor;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Bytes fetched by one request.
const PIECE: u64 = 4 << 20;

impl Repository {
    /// Gives `take` a reader for the blob that uses up to so many connections. It reads like [`Repository::blob`]: in order, going on after
    /// cuts, hashing nothing. A registry that sends no parts is read over one connection. Whoever gives up early should
    /// [`Repository::cancel`], or the pieces on their way are waited for.
    pub fn with_blob<T>(
        &self,
        descriptor: &Descriptor,
        connections: usize,
        take: impl FnOnce(&mut dyn Read) -> T,
    ) -> T {
        if connections < 2 || descriptor.size < 2 * PIECE {
            return take(&mut self.blob(descriptor));
        }
        let pieces = Pieces::new(self, descriptor, connections);
        std::thread::scope(|scope| {
            let mut started = 0;
            for _ in 0..connections {
                let spawned = std::thread::Builder::new().name("blob-piece".to_owned());
                started += usize::from(spawned.spawn_scoped(scope, || pieces.fetch()).is_ok());
            }
            if started == 0 {
                return take(&mut self.blob(descriptor));
            }
            let mut reader = InOrder { pieces: &pieces, current: Vec::new(), at: 0, single: None, position: 0 };
            // The threads end even if `take` panics.
            let _end = End(&pieces);
            take(&mut reader)
        })
    }
}

/// What the threads share.
struct Pieces<'r> {
    repository: &'r Repository,
    descriptor: &'r Descriptor,
    /// Pieces that may be there beyond the one being read.
    ahead: u64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The next piece that nobody fetches.
    next: u64,
    /// The piece that is read next.
    wanted: u64,
    ready: BTreeMap<u64, Result<Vec<u8>, Error>>,
    /// Buffers to be used again.
    spare: Vec<Vec<u8>>,
    ended: bool,
}

impl<'r> Pieces<'r> {
    fn new(repository: &'r Repository, descriptor: &'r Descriptor, connections: usize) -> Self {
        let ahead = connections as u64;
        Pieces { repository, descriptor, ahead, state: Mutex::default(), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'s>(&self, state: MutexGuard<'s, State>) -> MutexGuard<'s, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// One thread: fetches pieces until there are none, or it is over.
    fn fetch(&self) {
        while let Some((number, mut buffer)) = self.claim() {
            let offset = number * PIECE;
            let length = PIECE.min(self.descriptor.size - offset);
            buffer.resize(length as usize, 0);
            let mut reader = self.repository.blob_part(self.descriptor, offset, length);
            let result = reader.read_exact(&mut buffer).and_then(|()| reader.read(&mut [0])).map(|_| buffer);
            let result = result.map_err(|error| self.repository.unwrap_io(error));
            let mut state = self.lock();
            state.ended |= result.is_err();
            state.ready.insert(number, result);
            self.changed.notify_all();
        }
    }

    fn claim(&self) -> Option<(u64, Vec<u8>)> {
        let mut state = self.lock();
        loop {
            if state.ended || state.next * PIECE >= self.descriptor.size {
                return None;
            }
            if state.next < state.wanted + self.ahead {
                state.next += 1;
                return Some((state.next - 1, state.spare.pop().unwrap_or_default()));
            }
            state = self.wait(state);
        }
    }

    /// The next piece in order; `None` at the end. An error further on ends the fetching, but what comes before it is still read.
    fn take(&self, used: Vec<u8>) -> Option<Result<Vec<u8>, Error>> {
        let mut state = self.lock();
        if used.capacity() > 0 {
            state.spare.push(used);
        }
        let number = state.wanted;
        if number * PIECE >= self.descriptor.size {
            return None;
        }
        loop {
            if let Some(result) = state.ready.remove(&number) {
                state.wanted += 1;
                self.changed.notify_all();
                return Some(result);
            }
            if state.ended && state.next <= number {
                // Never to be fetched: the first failure is what there is to tell.
                let failure = state.ready.values_mut().find(|result| result.is_err());
                let lost = failure.map(|failure| std::mem::replace(failure, Err(Error::Cancelled)));
                return Some(lost.unwrap_or(Err(Error::Cancelled)));
            }
            state = self.wait(state);
        }
    }
}

/// Ends the threads.
struct End<'p>(&'p Pieces<'p>);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.lock().ended = true;
        self.0.changed.notify_all();
    }
}

/// The pieces in order.
struct InOrder<'p> {
    pieces: &'p Pieces<'p>,
    current: Vec<u8>,
    at: usize,
    /// In the end one connection, if the registry sends no parts.
    single: Option<BlobReader<'p>>,
    position: u64,
}

impl Read for InOrder<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(single) = &mut self.single {
                return single.read(buffer);
            }
            let left = &self.current[self.at..];
            if !left.is_empty() || buffer.is_empty() {
                let count = left.len().min(buffer.len());
                buffer[..count].copy_from_slice(&left[..count]);
                self.at += count;
                self.position += count as u64;
                return Ok(count);
            }
            self.at = 0;
            match self.pieces.take(std::mem::take(&mut self.current)) {
                None => return Ok(0),
                Some(Ok(piece)) => self.current = piece,
                Some(Err(Error::NoParts(_))) => {
                    let Pieces { repository, descriptor, .. } = *self.pieces;
                    self.single = Some(repository.blob_from(descriptor, self.position));
                }
                Some(Err(error)) => return Err(io::Error::other(error)),
            }
        }
    }
}
