//! The lines of a transfer on a terminal: a pure function of state, size and time.

use std::time::{Duration, Instant};

/// How far back a rate looks.
const WINDOW: Duration = Duration::from_secs(2);

/// Where a layer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Phase {
    Waiting,
    Active,
    /// Nothing had to be sent: how that is said.
    Spared(String),
    Done,
}

/// What phases are called.
#[derive(Debug)]
pub(super) struct Words {
    pub(super) active: &'static str,
    pub(super) done: &'static str,
}

pub(super) const PULL: Words = Words { active: "Downloading", done: "Pull complete" };
pub(super) const COPY: Words = Words { active: "Copying", done: "Copied" };
pub(super) const LOAD: Words = Words { active: "Loading layer", done: "Loaded" };
pub(super) const PUSH: Words = Words { active: "Pushing", done: "Pushed" };

/// All layers of a transfer.
#[derive(Debug)]
pub(super) struct State {
    pub(super) layers: Vec<Layer>,
    pub(super) words: &'static Words,
}

/// One layer.
#[derive(Debug)]
pub(super) struct Layer {
    /// Twelve digits of its digest.
    pub(super) id: String,
    /// Bytes of its blob.
    pub(super) size: u64,
    /// Bytes received.
    pub(super) received: u64,
    phase: Phase,
    begun: Option<Instant>,
    /// Time the layer took, once it is done.
    took: Option<Duration>,
    /// What was received when, oldest first.
    samples: Vec<(Instant, u64)>,
}

impl Layer {
    pub(super) fn new(id: &str, size: u64) -> Self {
        let (phase, samples) = (Phase::Waiting, Vec::new());
        Layer { id: id.to_owned(), size, received: 0, phase, begun: None, took: None, samples }
    }

    pub(super) fn enter(&mut self, phase: Phase, now: Instant) {
        match phase {
            Phase::Active => {
                self.begun = Some(now);
                self.samples = vec![(now, 0)];
            }
            Phase::Done => {
                self.received = self.size;
                self.took = self.begun.map(|begun| now.duration_since(begun));
            }
            Phase::Spared(_) | Phase::Waiting => {}
        }
        self.phase = phase;
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.phase == Phase::Waiting
    }

    fn is_active(&self) -> bool {
        self.phase == Phase::Active
    }

    /// Bytes a second over the last two seconds; over its whole time once it is done.
    fn rate(&mut self, now: Instant) -> Option<f64> {
        let (bytes, time) = match self.took {
            Some(took) => (self.size, took),
            None => {
                self.samples.push((now, self.received));
                let old = self.samples.iter().filter(|(at, _)| now.duration_since(*at) > WINDOW).count();
                self.samples.drain(..old.saturating_sub(1));
                let (at, bytes) = *self.samples.first()?;
                (self.received.saturating_sub(bytes), now.duration_since(at))
            }
        };
        (time >= Duration::from_millis(10)).then(|| bytes as f64 / time.as_secs_f64())
    }
}

/// What puts the cursor where the last drawing began, and clears below.
pub(super) fn erase(lines: usize) -> String {
    if lines == 0 { String::new() } else { format!("\x1b[{lines}A\r\x1b[J") }
}

/// One line a layer, none wider than `columns` - 1. If there are more layers than fit, those in progress are shown, and a line counts
/// the others.
pub(super) fn render(state: &mut State, columns: usize, rows: usize, now: Instant) -> Vec<String> {
    let room = rows.saturating_sub(2).max(1);
    let width = columns.saturating_sub(1);
    let fits = state.layers.len() <= room;
    let mut lines = Vec::new();
    for layer in &mut state.layers {
        if fits || (layer.is_active() && lines.len() + 1 < room) {
            lines.push(cut(line(layer, state.words, width, now), width));
        }
    }
    if !fits {
        lines.push(cut(summary(&state.layers), width));
    }
    lines
}

fn summary(layers: &[Layer]) -> String {
    let is_spared = |layer: &&Layer| matches!(layer.phase, Phase::Spared(_));
    let done = layers.iter().filter(|layer| layer.phase == Phase::Done).count();
    let here = layers.iter().filter(is_spared).count();
    let received: u64 = layers.iter().map(|layer| layer.received).sum();
    let total: u64 = layers.iter().filter(|layer| !is_spared(layer)).map(|layer| layer.size).sum();
    let bytes = format!("{} of {}", human(received as f64), human(total as f64));
    format!("{} of {} layers complete, {here} of them existed; {bytes}", done + here, layers.len())
}

fn line(layer: &mut Layer, words: &Words, width: usize, now: Instant) -> String {
    let rate = layer.rate(now);
    let rate = rate.map_or(String::new(), |rate| format!("{}/s", human(rate)));
    let size = human(layer.size as f64);
    match &layer.phase {
        Phase::Spared(how) => format!("{}: {how}", layer.id),
        Phase::Waiting => format!("{}: Waiting        {size:>9}", layer.id),
        Phase::Done => format!("{}: {:<13}  {size:>9} {rate:>11}", layer.id, words.done),
        Phase::Active => {
            // All of it went through, but the other end is not done with it.
            let word = if layer.received >= layer.size { "Finishing" } else { words.active };
            let tail = format!("{:>9}/{size} {rate:>11}", human(layer.received as f64));
            let head = format!("{}: {word:<12}", layer.id);
            let bar = width.saturating_sub(head.len() + tail.len() + 4).min(50);
            format!("{head} {} {tail}", bar_of(layer.received, layer.size, bar))
        }
    }
}

fn bar_of(received: u64, size: u64, width: usize) -> String {
    if width < 5 {
        return String::new();
    }
    let part = if size == 0 { 1.0 } else { received as f64 / size as f64 };
    let full = ((width as f64 * part) as usize).min(width);
    let head = if full < width { ">" } else { "" };
    format!("[{}{head}{}]", "=".repeat(full), " ".repeat(width - full - head.len()))
}

/// Bytes as Docker shows them: decimal units, four significant digits at most.
fn human(bytes: f64) -> String {
    let mut value = bytes;
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 999.5 {
            return match (unit, value) {
                ("B", _) => format!("{value:.0}B"),
                (_, value) if value < 9.995 => format!("{value:.2}{unit}"),
                (_, value) if value < 99.95 => format!("{value:.1}{unit}"),
                _ => format!("{value:.0}{unit}"),
            };
        }
        value /= 1000.0;
    }
    format!("{value:.2}TB")
}

/// All characters are one column wide.
fn cut(line: String, width: usize) -> String {
    line.chars().take(width).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(now: Instant) -> State {
        let mut layers = vec![Layer::new("a1b2c3d4e5f6", 40_000_000), Layer::new("b1b2c3d4e5f6", 999)];
        layers.push(Layer::new("c1b2c3d4e5f6", 0));
        layers[0].enter(Phase::Active, now);
        layers[0].received = 10_000_000;
        layers[1].enter(Phase::Spared("Already exists".to_owned()), now);
        State { layers, words: &PULL }
    }

    #[test]
    fn lines_fit_the_terminal() {
        let now = Instant::now();
        for columns in [0, 1, 12, 40, 60, 80, 200] {
            for line in render(&mut state(now), columns, 24, now + Duration::from_secs(1)) {
                assert!(line.len() < columns.max(1), "{columns}: {line:?}");
            }
        }
        let lines = render(&mut state(now), 80, 24, now + Duration::from_secs(1));
        assert_eq!(lines[0].len(), 79);
        assert!(lines[0].starts_with("a1b2c3d4e5f6: Downloading  [====") && lines[0].contains("=>    "), "{lines:?}");
        assert!(lines[0].ends_with("]    10.0MB/40.0MB    10.0MB/s"), "{lines:?}");
        assert_eq!(lines[1], "b1b2c3d4e5f6: Already exists");
    }

    #[test]
    fn more_layers_than_rows_are_counted() {
        let now = Instant::now();
        let lines = render(&mut state(now), 80, 4, now + Duration::from_secs(1));
        assert_eq!(lines.len(), 2);
        assert!(lines[0].starts_with("a1b2c3d4e5f6: Downloading"), "{lines:?}");
        assert!(lines[1].starts_with("1 of 3 layers complete"), "{lines:?}");
        assert_eq!(render(&mut state(now), 80, 1, now).len(), 1);
    }

    #[test]
    fn a_rate_is_of_the_last_seconds() {
        let begun = Instant::now();
        let mut layer = Layer::new("x", 1_000_000);
        layer.enter(Phase::Active, begun);
        for second in 1..=10_u64 {
            layer.received = second * 1000;
            layer.rate(begun + Duration::from_secs(second));
        }
        let rate = layer.rate(begun + Duration::from_secs(10)).unwrap();
        assert!((900.0..1100.0).contains(&rate), "{rate}");
        let stalled = layer.rate(begun + Duration::from_secs(60)).unwrap();
        assert!(stalled < 100.0, "{stalled}");
        layer.enter(Phase::Done, begun + Duration::from_secs(100));
        assert_eq!(layer.rate(begun + Duration::from_secs(500)), Some(10_000.0));
    }

    #[test]
    fn bytes_are_short() {
        for (bytes, text) in
            [(0.0, "0B"), (999.0, "999B"), (1000.0, "1.00kB"), (12_345.0, "12.3kB"), (999_499.0, "999kB")]
        {
            assert_eq!(human(bytes), text);
        }
        assert_eq!((human(999_600.0), human(1.5e9), human(2e12)), ("1.00MB".into(), "1.50GB".into(), "2.00TB".into()));
    }
}
