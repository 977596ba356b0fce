//! Many containers: one after the other, eight at a time, and with many that stay. What is printed are milliseconds; nothing is asserted of
//! them, as the machine may be busy. `CARBOY_SCALE=100` makes so many at each turn, `CARBOY_SCALE_ALIVE=500` keeps so many, instead of fewer.
#![allow(clippy::print_stdout, reason = "figures, for whoever asks for them with --no-capture")]

use crate::common::{Bundle, Said, binary, cgroups_of, wait_until};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Bundles around one root file system.
struct Fleet {
    first: Bundle,
}

impl Fleet {
    fn new() -> Fleet {
        let mut first = Bundle::new();
        first.config["process"]["args"] = json!(["sleep", "1000"]);
        first.config["root"] = json!({ "path": first.rootfs(), "readonly": true });
        Fleet { first }
    }

    fn id(&self, number: usize) -> String {
        format!("{}-{number}", self.first.name)
    }

    fn bundle(&self, number: usize) -> PathBuf {
        let folder = self.first.path().join(format!("bundle-{number}"));
        let mut config = self.first.config.clone();
        config["linux"]["cgroupsPath"] = json!(format!("/{}", self.id(number)));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
        folder
    }

    fn call(&self, args: &[&str]) -> Said {
        let mut command = Command::new(binary());
        let command = command.arg("--root").arg(self.first.state_root()).args(args).stdin(Stdio::null());
        // A file, as whoever holds a pipe would wait for the container.
        let said = tempfile::tempfile_in(self.first.path()).unwrap();
        let mut out = tempfile::tempfile_in(self.first.path()).unwrap();
        let status = command.stdout(out.try_clone().unwrap()).stderr(said.try_clone().unwrap()).status().unwrap();
        let read = |file: &mut std::fs::File| {
            use std::io::{Read, Seek};
            let mut text = String::new();
            file.rewind().unwrap();
            file.read_to_string(&mut text).unwrap();
            text
        };
        let mut said = said;
        Said { code: status.code().unwrap_or(-1), out: read(&mut out), err: read(&mut said) }
    }

    fn up(&self, number: usize) {
        let (id, bundle) = (self.id(number), self.bundle(number));
        self.call(&["create", "-b", bundle.to_str().unwrap(), &id]).good();
        self.call(&["start", &id]).good();
    }

    fn down(&self, number: usize) {
        self.call(&["delete", "--force", &self.id(number)]).good();
    }

    /// What a container took is given back: record, cgroups.
    fn assert_gone(&self, numbers: usize) {
        let left: Vec<_> = std::fs::read_dir(self.first.state_root()).unwrap().flatten().map(|e| e.path()).collect();
        assert!(left.is_empty(), "{left:?}");
        for number in 0..numbers {
            assert_eq!(cgroups_of(&self.id(number)), Vec::<PathBuf>::new());
        }
        assert_eq!(mounts_below(self.first.path()), 0);
    }
}

fn chosen(variable: &str, otherwise: usize) -> usize {
    std::env::var(variable).map_or(otherwise, |number| number.parse().unwrap())
}

fn mounts_below(folder: &Path) -> usize {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    table.lines().filter(|line| line.contains(folder.to_str().unwrap())).count()
}

/// Does `work` for each number, so many at a time; how long each took.
fn each(numbers: usize, at_a_time: usize, work: impl Fn(usize) + Sync) -> Vec<Duration> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut times = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= numbers {
                return times;
            }
            let begun = Instant::now();
            work(number);
            times.push((number, begun.elapsed()));
        }
    };
    let mut times: Vec<(usize, Duration)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..at_a_time).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    times.sort_unstable();
    times.into_iter().map(|(_, time)| time).collect()
}

fn report(what: &str, times: &[Duration]) {
    let median = |part: &[Duration]| {
        let mut part = part.to_vec();
        part.sort_unstable();
        part[part.len() / 2].as_secs_f64() * 1e3
    };
    let tenth = (times.len() / 10).max(1);
    let (first, last) = (median(&times[..tenth]), median(&times[times.len() - tenth..]));
    println!("{what}: median {:.1} ms, of the first tenth {first:.1}, of the last {last:.1}", median(times));
}

#[test]
#[ignore = "needs root: makes containers"]
fn twice_in_sequence_and_eight_at_a_time() {
    let all = chosen("CARBOY_SCALE", 40);
    let fleet = Fleet::new();
    for at_a_time in [1, 8] {
        for round in 1..=2 {
            let times = each(all, at_a_time, |number| {
                fleet.up(number);
                fleet.down(number);
            });
            report(&format!("create, start, delete, {at_a_time} at a time, round {round}"), &times);
            fleet.assert_gone(all);
        }
    }
}

#[test]
#[ignore = "needs root: makes containers"]
fn many_that_stay() {
    let alive = chosen("CARBOY_SCALE_ALIVE", 50);
    let fleet = Fleet::new();
    let before = mounts_below(Path::new("/"));
    report("create, start, and stay", &each(alive, 8, |number| fleet.up(number)));
    let begun = Instant::now();
    let list = fleet.call(&["list", "--quiet"]).good();
    println!("list of {alive}: {:.1} ms", begun.elapsed().as_secs_f64() * 1e3);
    assert_eq!(list.lines().count(), alive);
    // The host's mount table does not grow with the number of containers, but for those of other tests.
    assert!(mounts_below(Path::new("/")) < before + alive, "the host's mount table grows");
    report("exec beside them", &each(20, 1, |number| drop(fleet.call(&["exec", &fleet.id(number), "true"]).good())));
    let more = each(20, 1, |number| {
        fleet.up(alive + number);
        fleet.down(alive + number);
    });
    report("create, start, delete beside them", &more);
    report("delete", &each(alive, 8, |number| fleet.down(number)));
    wait_until("the end of all", || mounts_below(fleet.first.path()) == 0);
    fleet.assert_gone(alive + 20);
}
