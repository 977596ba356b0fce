//! What a pull looks like: on a terminal one line a layer, redrawn in place; elsewhere Docker's plain lines.
//!
//! Owns drawing only. The drawing is a pure function of the state, the size of the terminal and the time ([`render`]). The cursor
//! is neither hidden nor moved anywhere but up over our own lines, so that nothing needs to be restored after a signal.

#[path = "progress_render.rs"]
mod render;

use carboy_image::pull::{Event, LayerPhase, Progress};
use carboy_oci::Digest;
use render::{Layer, State};
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Time between two drawings.
const TICK: Duration = Duration::from_millis(100);

/// How a pull is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Nothing.
    Quiet,
    /// A line for each event, as Docker prints them where there is no terminal.
    Plain,
    /// Lines that are redrawn.
    Terminal,
}

/// Shows one pull at a time on a stream.
pub(crate) struct PullDisplay {
    shared: Arc<Shared>,
    ticker: Option<JoinHandle<()>>,
}

struct Shared {
    style: Style,
    out: OwnedFd,
    state: Mutex<Board>,
    wake: Condvar,
}

#[derive(Default)]
struct Board {
    state: State,
    /// Lines on the screen that the next drawing replaces.
    drawn: usize,
    ended: bool,
}

impl PullDisplay {
    /// Shows on `out`: redrawn if that is a terminal with a known size, else plain, or not at all if `quiet`.
    pub(crate) fn new(out: impl AsFd, quiet: bool) -> std::io::Result<Self> {
        let out = out.as_fd().try_clone_to_owned()?;
        let style = match () {
            () if quiet => Style::Quiet,
            () if rustix::termios::isatty(&out) => Style::Terminal,
            () => Style::Plain,
        };
        let shared = Arc::new(Shared { style, out, state: Mutex::new(Board::default()), wake: Condvar::new() });
        let ticker = match style {
            Style::Terminal => {
                let shared = shared.clone();
                Some(std::thread::Builder::new().name("progress".to_owned()).spawn(move || shared.tick())?)
            }
            _ => None,
        };
        Ok(PullDisplay { shared, ticker })
    }

    /// Draws for the last time and leaves the cursor below. To be called before anything else is printed, errors included.
    pub(crate) fn finish(mut self) {
        self.stop();
    }

    fn stop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.wake.notify_all();
        if let Some(ticker) = self.ticker.take() {
            let _ = ticker.join();
        }
    }
}

impl Drop for PullDisplay {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Progress for PullDisplay {
    fn event(&self, event: Event<'_>) {
        let mut board = self.shared.lock();
        let now = Instant::now();
        match event {
            Event::Started(reference) => {
                *board = Board::default();
                let target = match (reference.tag(), reference.digest()) {
                    (_, Some(digest)) => digest.to_string(),
                    (tag, None) => tag.unwrap_or("latest").to_owned(),
                };
                self.shared.line(&mut board, &format!("{target}: Pulling from {}", reference.familiar_repository()));
            }
            Event::Warning(text) => self.shared.line(&mut board, &format!("WARNING: {text}")),
            Event::Layers(blobs) => {
                board.state.layers = blobs.iter().map(|blob| Layer::new(blob.digest.short(), blob.size)).collect();
            }
            Event::Phase(number, phase) => {
                if let Some(layer) = board.state.layers.get_mut(number) {
                    layer.enter(phase, now);
                    if self.shared.style == Style::Plain {
                        let line = format!("{}: {}", layer.id, plain_words(phase));
                        self.shared.write(&format!("{line}\n"));
                    }
                }
            }
            Event::Received(number, bytes) => {
                if let Some(layer) = board.state.layers.get_mut(number) {
                    layer.received = bytes;
                }
            }
            _ => {}
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Board> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A line that stays: above the redrawn ones.
    fn line(&self, board: &mut Board, text: &str) {
        let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        match self.style {
            Style::Quiet => {}
            Style::Plain => self.write(&format!("{text}\n")),
            Style::Terminal => {
                self.write(&format!("{}{text}\n", render::erase(board.drawn)));
                board.drawn = 0;
            }
        }
    }

    fn tick(&self) {
        let mut board = self.lock();
        loop {
            self.draw(&mut board);
            if board.ended {
                return;
            }
            board = self.wake.wait_timeout(board, TICK).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn draw(&self, board: &mut Board) {
        let (columns, rows) = match rustix::termios::tcgetwinsize(&self.out) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (usize::from(size.ws_col), usize::from(size.ws_row)),
            _ => (80, 24),
        };
        let lines = render::render(&mut board.state, columns, rows, Instant::now());
        let mut text = render::erase(board.drawn);
        for line in &lines {
            text.push_str(line);
            text.push('\n');
        }
        if !text.is_empty() {
            self.write(&text);
        }
        board.drawn = lines.len();
    }

    /// A progress display that cannot be written is no reason to stop the pull.
    fn write(&self, text: &str) {
        if self.style != Style::Quiet
            && let Ok(fd) = self.out.try_clone()
        {
            let _ = std::fs::File::from(fd).write_all(text.as_bytes());
        }
    }
}

fn plain_words(phase: LayerPhase) -> &'static str {
    match phase {
        LayerPhase::Exists => "Already exists",
        LayerPhase::Waiting => "Pulling fs layer",
        LayerPhase::Downloading => "Downloading",
        LayerPhase::Done => "Pull complete",
    }
}

/// The two lines at the end of a pull, in Docker's words.
pub(crate) fn closing_lines(digest: &Digest, familiar: &str, is_new: bool) -> [String; 2] {
    let status = if is_new { "Downloaded newer image for" } else { "Image is up to date for" };
    [format!("Digest: {digest}"), format!("Status: {status} {familiar}")]
}
