//! Big buffers that go round between the threads of a pipeline: filled once, read by several, then used again.

use std::io::{self, BufRead, Read};
use std::ops::Deref;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes in a buffer.
pub(crate) const SIZE: usize = 256 << 10;
/// Buffers that may wait in one channel: what bounds a pipeline's memory.
const DEPTH: usize = 6;

/// Fewer zeros than this are written like anything else.
const HOLE: usize = 32 << 10;

/// Whether bytes are so many zeros that a file rather has a hole there.
pub(crate) fn is_hole(bytes: &[u8]) -> bool {
    // Each byte like the one before: memcmp ends with the first that is not.
    bytes.len() >= HOLE && bytes[0] == 0 && bytes[1..] == bytes[..bytes.len() - 1]
}

type Free = Arc<Mutex<Vec<Vec<u8>>>>;

/// Buffers to be used again, so that their pages are faulted in once.
#[derive(Clone, Default)]
pub(crate) struct Pool(Free);

impl Pool {
    /// Fills a buffer by `read` until it is full or `read` answers 0; `None` if there was nothing.
    pub(crate) fn fill(&self, mut read: impl FnMut(&mut [u8]) -> io::Result<usize>) -> io::Result<Option<Arc<Buffer>>> {
        let free = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut buffer = Buffer { bytes: free.unwrap_or_else(|| vec![0; SIZE]), filled: 0, home: self.0.clone() };
        while buffer.filled < SIZE {
            match read(&mut buffer.bytes[buffer.filled..]) {
                Ok(0) => break,
                Ok(count) => buffer.filled += count,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok((buffer.filled > 0).then(|| Arc::new(buffer)))
    }
}

/// A filled buffer; the last reader's drop gives it back.
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    filled: usize,
    home: Free,
}

impl Deref for Buffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.home.lock().unwrap_or_else(PoisonError::into_inner).push(std::mem::take(&mut self.bytes));
    }
}

/// A bounded channel of buffers.
pub(crate) fn channel() -> (SyncSender<Arc<Buffer>>, ChannelReader) {
    let (sender, receiver) = sync_channel(DEPTH);
    (sender, ChannelReader { receiver, current: None, position: 0 })
}

/// Reads what comes out of a channel. The end of the stream is the sender's end, for whatever reason: who reads must have another way
/// to know whether it was complete.
pub(crate) struct ChannelReader {
    receiver: Receiver<Arc<Buffer>>,
    current: Option<Arc<Buffer>>,
    position: usize,
}

impl ChannelReader {
    /// The next whole buffer.
    pub(crate) fn next_buffer(&mut self) -> Option<Arc<Buffer>> {
        self.receiver.recv().ok()
    }
}

impl BufRead for ChannelReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.current.as_ref().is_none_or(|buffer| self.position == buffer.len()) {
            self.current = self.receiver.recv().ok();
            self.position = 0;
        }
        Ok(self.current.as_ref().map_or(&[], |buffer| &buffer[self.position..]))
    }

    fn consume(&mut self, amount: usize) {
        self.position += amount;
    }
}

impl Read for ChannelReader {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(target.len());
        target[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}
