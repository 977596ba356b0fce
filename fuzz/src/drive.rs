//! Runs a target on mutated seeds. Told by their outcome alone, inputs that take a new way through the parser cannot be seen; a seed for each
//! way, in `corpus/`, makes up for much of that.

use crate::Target;
use crate::mutate::{Random, fix_checksums, mutate};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// When to stop.
#[derive(Debug, Clone, Copy)]
pub enum Budget {
    /// After so many inputs.
    Inputs(u64),
    /// After this time.
    Time(Duration),
}

/// What a run came to.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    /// Inputs tried.
    pub inputs: u64,
    /// The slowest of them.
    pub slowest: Duration,
}

/// No input may take longer; on a busy machine a thousandth of it is usual.
const HANG: Duration = Duration::from_secs(30);

/// The seeds of a target.
///
/// # Panics
/// If there are none.
#[allow(clippy::expect_used, reason = "a driver of tests")]
fn seeds(target: &Target) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name);
    let entries = std::fs::read_dir(&folder).expect("a folder of seeds");
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let read = |path: PathBuf| std::fs::read(&path).ok().map(|bytes| (path, bytes));
    let seeds: Vec<_> = paths.into_iter().filter_map(read).collect();
    assert!(!seeds.is_empty(), "no seeds in {}", folder.display());
    seeds
}

/// Tries every seed, then mutated ones until the budget is used up. The same seed number gives the same inputs.
///
/// # Panics
/// With the input's file name below the temporary folder, if the target panics, or takes too long.
pub fn drive(target: &Target, budget: Budget, seed: u64) -> Outcome {
    let seeds = seeds(target);
    let watch = Watch::default();
    let begun = Instant::now();
    let mut outcome = Outcome { inputs: 0, slowest: Duration::ZERO };
    std::thread::scope(|scope| {
        scope.spawn(|| watch.look(target.name));
        let _done = Done(&watch.done);
        seeds.iter().for_each(|(_, bytes)| watch.run(target, bytes, &mut outcome));
        let mut random = Random::new(seed);
        loop {
            match budget {
                Budget::Inputs(most) if outcome.inputs >= most => break,
                Budget::Time(time) if begun.elapsed() >= time => break,
                _ => {}
            }
            let mut input = seeds[random.below(seeds.len())].1.clone();
            let other = &seeds[random.below(seeds.len())].1;
            mutate(&mut input, other, target.words, target.longest, &mut random);
            if random.below(8) != 0 {
                fix_checksums(&mut input);
            }
            watch.run(target, &input, &mut outcome);
        }
    });
    outcome
}

/// What is running now, for the thread that waits for it to hang.
#[derive(Default)]
struct Watch {
    input: Mutex<Vec<u8>>,
    serial: AtomicU64,
    done: AtomicBool,
}

struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Watch {
    fn run(&self, target: &Target, input: &[u8], outcome: &mut Outcome) {
        self.with_input(|kept| {
            kept.clear();
            kept.extend_from_slice(input);
        });
        self.serial.fetch_add(1, Ordering::Release);
        let begun = Instant::now();
        let result = std::panic::catch_unwind(|| (target.run)(input));
        outcome.slowest = outcome.slowest.max(begun.elapsed());
        outcome.inputs += 1;
        if let Err(panic) = result {
            let path = self.save(target.name);
            assert!(path.is_none(), "{}: it panics on {path:?}", target.name);
            std::panic::resume_unwind(panic);
        }
    }

    fn with_input(&self, change: impl FnOnce(&mut Vec<u8>)) {
        change(&mut self.input.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    }

    fn save(&self, name: &str) -> Option<PathBuf> {
        let path = std::env::temp_dir().join(format!("carboy-fuzz-{name}-{}", std::process::id()));
        let mut written = false;
        self.with_input(|input| written = std::fs::write(&path, input).is_ok());
        written.then_some(path)
    }

    #[allow(clippy::print_stderr, reason = "the process is about to be aborted")]
    fn look(&self, name: &str) {
        let (mut last, mut since) = (0, Instant::now());
        while !self.done.load(Ordering::Acquire) {
            std::thread::sleep(Duration::from_millis(20));
            let now = self.serial.load(Ordering::Acquire);
            if now != last {
                (last, since) = (now, Instant::now());
            } else if since.elapsed() > HANG {
                eprintln!("{name}: it hangs on {:?}", self.save(name));
                std::process::abort();
            }
        }
    }
}
