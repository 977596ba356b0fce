//! What a pull or a push looks like: on a terminal one line a layer, redrawn in place; elsewhere Docker's plain lines.
//!
//! Owns drawing only. The drawing is a pure function of the state, the size of the terminal and the time ([`render`]). The cursor
//! is neither hidden nor moved anywhere but up over our own lines, so that nothing needs to be restored after a signal.

#[path = "progress_copy.rs"]
mod copy;
#[path = "progress_render.rs"]
mod render;

use carboy_image::{pull, push};
use carboy_oci::Digest;
use carboy_oci::image::Descriptor;
use render::{LOAD, Layer, PULL, PUSH, Phase, State, Words};
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Time between two drawings.
const TICK: Duration = Duration::from_millis(100);

/// How a transfer is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Nothing.
    Quiet,
    /// A line for each event, as Docker prints them where there is no terminal.
    Plain,
    /// Lines that are redrawn.
    Terminal,
}

/// Shows one transfer at a time on a stream.
pub(crate) struct Display {
    shared: Arc<Shared>,
    ticker: Option<JoinHandle<()>>,
}

struct Shared {
    style: Style,
    out: OwnedFd,
    state: Mutex<Board>,
    wake: Condvar,
}

struct Board {
    state: State,
    /// Lines on the screen that the next drawing replaces.
    drawn: usize,
    ended: bool,
}

impl Board {
    fn new(words: &'static Words) -> Self {
        Board { state: State { layers: Vec::new(), words }, drawn: 0, ended: false }
    }
}

impl Display {
    /// Shows on `out`: redrawn if that is a terminal with a known size, else plain, or not at all if `quiet`.
    pub(crate) fn new(out: impl AsFd, quiet: bool) -> std::io::Result<Self> {
        let out = out.as_fd().try_clone_to_owned()?;
        let style = match () {
            () if quiet => Style::Quiet,
            () if rustix::termios::isatty(&out) => Style::Terminal,
            () => Style::Plain,
        };
        let shared = Arc::new(Shared { style, out, state: Mutex::new(Board::new(&PULL)), wake: Condvar::new() });
        let ticker = match style {
            Style::Terminal => {
                let shared = shared.clone();
                Some(std::thread::Builder::new().name("progress".to_owned()).spawn(move || shared.tick())?)
            }
            _ => None,
        };
        Ok(Display { shared, ticker })
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

impl Drop for Display {
    fn drop(&mut self) {
        self.stop();
    }
}

impl pull::Progress for Display {
    fn event(&self, event: pull::Event<'_>) {
        match event {
            pull::Event::Started(reference) => {
                let target = match reference.digest() {
                    Some(digest) => format!("{}@{digest}", reference.repository()),
                    None => reference.tag().unwrap_or("latest").to_owned(),
                };
                self.begin(&PULL, &format!("{target}: Pulling from {}", reference.path()));
            }
            pull::Event::Warning(text) => self.shared.line(&mut self.shared.lock(), &format!("WARNING: {text}")),
            pull::Event::Layers(blobs) => self.layers(blobs),
            pull::Event::Phase(number, phase) => match phase {
                pull::LayerPhase::Exists => self.phase(number, Phase::Spared("Already exists".to_owned()), None),
                pull::LayerPhase::Waiting => self.phase(number, Phase::Waiting, Some("Pulling fs layer")),
                pull::LayerPhase::Downloading => self.phase(number, Phase::Active, Some("Downloading")),
                pull::LayerPhase::Done => self.phase(number, Phase::Done, Some("Pull complete")),
            },
            pull::Event::Received(number, bytes) => self.moved(number, bytes),
            _ => {}
        }
    }
}

impl push::Progress for Display {
    fn event(&self, event: push::Event<'_>) {
        match event {
            push::Event::Started(reference) => {
                self.begin(&PUSH, &format!("The push refers to repository [{}]", reference.repository()));
            }
            push::Event::Repacked(before, after) => {
                let text = format!("Layers are compressed anew: manifest {before} is {after} now");
                self.shared.line(&mut self.shared.lock(), &text);
            }
            push::Event::Layers(blobs) => self.layers(blobs),
            push::Event::Phase(number, phase) => match phase {
                push::LayerPhase::Waiting => self.phase(number, Phase::Waiting, Some("Preparing")),
                push::LayerPhase::Pushing => self.phase(number, Phase::Active, None),
                push::LayerPhase::Exists => self.phase(number, Phase::Spared("Layer already exists".to_owned()), None),
                push::LayerPhase::Mounted(from) => {
                    self.phase(number, Phase::Spared(format!("Mounted from {from}")), None);
                }
                push::LayerPhase::Done => self.phase(number, Phase::Done, Some("Pushed")),
            },
            push::Event::Sent(number, bytes) => self.moved(number, bytes),
            _ => {}
        }
    }
}

impl Display {
    /// A layer of an archive that is being loaded: so much of it is done. Said on a terminal only, as Docker does.
    pub(crate) fn loading(&self, digest: &Digest, done: u64, size: u64) {
        let mut board = self.shared.lock();
        board.state.words = &LOAD;
        let layers = &mut board.state.layers;
        let number = layers.iter().position(|layer| layer.id == digest.short()).unwrap_or_else(|| {
            layers.push(Layer::new(digest.short(), size));
            layers.len() - 1
        });
        let Some(layer) = layers.get_mut(number) else { return };
        if layer.is_waiting() {
            layer.enter(Phase::Active, Instant::now());
        }
        layer.received = done;
        if done >= size {
            layer.enter(Phase::Done, Instant::now());
        }
    }

    fn style(&self) -> Style {
        self.shared.style
    }

    fn say(&self, line: &str) {
        self.shared.line(&mut self.shared.lock(), line);
    }

    fn words(&self, words: &'static Words) {
        self.shared.lock().state.words = words;
    }

    fn begin(&self, words: &'static Words, line: &str) {
        let mut board = self.shared.lock();
        *board = Board::new(words);
        self.shared.line(&mut board, line);
    }

    fn layers(&self, blobs: &[Descriptor]) {
        let layers = blobs.iter().map(|blob| Layer::new(blob.digest.short(), blob.size)).collect();
        self.shared.lock().state.layers = layers;
    }

    /// `plain`: what is said where there is no terminal; nothing for a phase that nobody asks for there.
    fn phase(&self, number: usize, phase: Phase, plain: Option<&str>) {
        let mut board = self.shared.lock();
        let Some(layer) = board.state.layers.get_mut(number) else { return };
        let words = match (&phase, plain) {
            (Phase::Spared(how), _) => Some(how.as_str()),
            (_, plain) => plain,
        };
        if let (Style::Plain, Some(words)) = (self.shared.style, words) {
            self.shared.write(&format!("{}: {words}\n", layer.id));
        }
        layer.enter(phase, Instant::now());
    }

    fn moved(&self, number: usize, bytes: u64) {
        if let Some(layer) = self.shared.lock().state.layers.get_mut(number) {
            layer.received = bytes;
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

/// The last line of a pull, in Docker's words.
pub(crate) fn status_line(familiar: &str, is_new: bool) -> String {
    let status = if is_new { "Downloaded newer image for" } else { "Image is up to date for" };
    format!("Status: {status} {familiar}")
}
