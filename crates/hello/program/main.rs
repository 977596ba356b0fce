//! `/hello`: looks around in a container and says what isolates it. Only the standard library, static; compiled by the
//! library's build script.
//!
//! Says what it sees and no more: a file that is missing (no /sys, no cgroup mount, an old kernel) leaves out a line or a word. What
//! cannot be known inside comes from the variable CARBOY_HELLO, whose format is drawn in the library beside this file.
#![forbid(unsafe_code)]

mod json;
mod look;
mod text;

use std::io::Write;
use std::time::SystemTime;

const USAGE: &str = "usage: hello [--json]\nReports from the inside what isolates a container.\n";

fn main() {
    // First of all: what follows is not part of the start.
    let now = SystemTime::now();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (text, code) = match words[..] {
        [] => (Report::look(now).text(), 0),
        ["--json"] => (Report::look(now).json(), 0),
        ["--help" | "-h"] => (USAGE.to_owned(), 0),
        _ => {
            eprint!("hello: unknown argument {:?}\n{USAGE}", words.join(" "));
            ("".to_owned(), 2)
        }
    };
    // Nobody reads any more: not an error worth a message.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    std::process::exit(code);
}

/// What is known.
struct Report {
    told: Told,
    /// From the command to the first instruction here, in nanoseconds.
    start_ns: Option<u64>,
    pid: u32,
    first: String,
    processes: usize,
    host_name: String,
    kernel: String,
    user: User,
    namespaces: Vec<Namespace>,
    status: Status,
    root: Option<Mount>,
    mounts: Vec<Mount>,
    cgroup: Cgroup,
    interfaces: Vec<Interface>,
}

/// The words of CARBOY_HELLO.
struct Told(Vec<(String, String)>);

struct User {
    uid: u32,
    gid: u32,
    name: String,
    /// Lines of /proc/self/uid_map: first ID here, first ID outside, how many.
    uid_map: Vec<[u32; 3]>,
    gid_map: Vec<[u32; 3]>,
}

struct Namespace {
    kind: &'static str,
    here: u64,
    host: Option<u64>,
}

/// From /proc/self/status.
struct Status {
    capabilities: u64,
    bounding: u64,
    no_new_privileges: bool,
    /// 0 off, 1 strict, 2 filter.
    seccomp: Option<u32>,
    filters: Option<u32>,
}

struct Mount {
    point: String,
    kind: String,
    source: String,
    read_only: bool,
    /// Directory of the source that is mounted.
    from: String,
    options: String,
}

#[derive(Default)]
struct Cgroup {
    version: &'static str,
    path: String,
    hierarchies: usize,
    memory: Option<Limit>,
    tasks: Option<Limit>,
    /// Processors' worth of time, in thousandths.
    cpu: Option<Limit>,
    memory_used: Option<u64>,
}

enum Limit {
    None,
    At(u64),
}

struct Interface {
    name: String,
    up: bool,
}
