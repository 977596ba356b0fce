//! A few threads that take things from a list; the first error ends all.

use std::io;
use std::sync::{Mutex, PoisonError};

/// What is to be done, and what went wrong.
pub(crate) struct Workers<'w, T, E> {
    /// Taken from the end.
    todo: Mutex<Vec<T>>,
    failed: Mutex<Option<E>>,
    /// Ends what the others are at.
    cancel: &'w (dyn Fn() + Sync),
}

impl<'w, T: Send, E: Send> Workers<'w, T, E> {
    pub(crate) fn new(todo: Vec<T>, cancel: &'w (dyn Fn() + Sync)) -> Self {
        Workers { todo: Mutex::new(todo), failed: Mutex::new(None), cancel }
    }

    /// Keeps the first error and ends the others' work; the errors that follow from that are not told.
    pub(crate) fn fail(&self, error: E) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.is_none() {
            *failed = Some(error);
            (self.cancel)();
        }
    }

    /// Does everything on `threads` threads, one of which is the caller's. `thread`: the error if one cannot be made.
    ///
    /// # Errors
    /// The first of them.
    pub(crate) fn run(
        &self,
        (name, threads): (&str, usize),
        thread: impl Fn(io::Error) -> E,
        work: impl Fn(T) -> Result<(), E> + Sync,
    ) -> Result<(), E> {
        let rounds = || {
            loop {
                let next = self.todo.lock().unwrap_or_else(PoisonError::into_inner).pop();
                let Some(next) = next.filter(|_| self.failed.lock().unwrap_or_else(PoisonError::into_inner).is_none())
                else {
                    return;
                };
                if let Err(error) = work(next) {
                    self.fail(error);
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..threads {
                if let Err(error) = std::thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, rounds) {
                    self.fail(thread(error));
                    break;
                }
            }
            rounds();
        });
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
    }
}
