//! Words of the command line, read as the libraries of runc and of crun read them.
//!
//! Go's `flag` takes a long option with one dash as well (`-bundle DIR`), getopt takes short switches together (`-dt`). Both are put
//! into the usual form here, one word at a time, so that what belongs to a program that is to be run is never looked at.

use lexopt::Arg;
use std::ffi::{OsStr, OsString};

/// Long options of all commands. A word with one dash that is none of them is a short option.
const LONG: &[&str] = &[
    "additional-gids",
    "all",
    "apparmor",
    "auto-dedup",
    "blkio-weight",
    "bundle",
    "cap",
    "cgroup",
    "cgroup-manager",
    "config",
    "console-socket",
    "cpu-burst",
    "cpu-idle",
    "cpu-period",
    "cpu-quota",
    "cpu-rt-period",
    "cpu-rt-runtime",
    "cpu-share",
    "cpuset-cpus",
    "cpuset-mems",
    "criu",
    "cwd",
    "debug",
    "detach",
    "empty-ns",
    "env",
    "ext-unix-sk",
    "file",
    "file-locks",
    "force",
    "format",
    "help",
    "ignore-paused",
    "image-path",
    "interval",
    "keep",
    "kernel-memory",
    "kernel-memory-tcp",
    "l3-cache-schema",
    "lazy-pages",
    "leave-running",
    "link-remap",
    "log",
    "log-format",
    "lsm-mount-context",
    "lsm-profile",
    "manage-cgroups-mode",
    "mem-bw-schema",
    "memory",
    "memory-reservation",
    "memory-swap",
    "no-new-keyring",
    "no-new-privs",
    "no-pivot",
    "no-subreaper",
    "page-server",
    "parent-path",
    "pid-file",
    "pidfd-socket",
    "pids-limit",
    "pre-dump",
    "preserve-fds",
    "process",
    "process-label",
    "quiet",
    "regex",
    "resources",
    "root",
    "rootless",
    "shell-job",
    "stats",
    "status-fd",
    "systemd-cgroup",
    "tcp-close",
    "tcp-established",
    "tcp-skip-in-flight",
    "trace",
    "tty",
    "usage",
    "user",
    "version",
    "work-path",
];

/// The command line.
pub struct Parser(lexopt::Parser, bool);

impl Parser {
    /// This process's own.
    pub fn from_env() -> Parser {
        Parser(lexopt::Parser::from_env(), false)
    }

    /// Of these words.
    #[cfg(test)]
    pub fn from_args<I: IntoIterator<Item: Into<OsString>>>(args: I) -> Parser {
        Parser(lexopt::Parser::from_args(args), false)
    }

    /// The next option or argument.
    #[allow(clippy::should_implement_trait, reason = "the item borrows from the parser")]
    pub fn next(&mut self) -> Result<Option<Arg<'_>>, lexopt::Error> {
        if !self.1 {
            self.rewrite();
        }
        self.0.next()
    }

    /// The value of the option just returned.
    pub fn value(&mut self) -> Result<OsString, lexopt::Error> {
        self.0.value()
    }

    /// The same, if it was written together with the option.
    pub fn optional_value(&mut self) -> Option<OsString> {
        self.0.optional_value()
    }

    /// All the rest, whatever it looks like.
    pub fn raw_args(&mut self) -> Result<lexopt::RawArgs<'_>, lexopt::Error> {
        self.0.raw_args()
    }

    /// Whether the next word is one of these.
    pub fn is_next(&mut self, wanted: &[&str]) -> bool {
        let words = self.0.try_raw_args();
        let word = words.as_ref().and_then(|words| words.peek()).and_then(OsStr::to_str);
        word.is_some_and(|word| wanted.contains(&word))
    }

    /// Puts the next word into the usual form.
    fn rewrite(&mut self) {
        let Some(mut words) = self.0.try_raw_args() else { return };
        let Some(word) = words.peek().and_then(OsStr::to_str) else { return };
        self.1 = word == "--";
        let usual = usual_form(word);
        if usual.is_empty() {
            return;
        }
        words.next();
        let words: Vec<OsString> = usual.into_iter().map(OsString::from).chain(words).collect();
        self.0 = lexopt::Parser::from_args(words);
    }
}

/// The words that a word stands for; none if it is in the usual form already.
fn usual_form(word: &str) -> Vec<String> {
    let Some(short) = word.strip_prefix('-').filter(|rest| rest.len() > 1 && !rest.starts_with('-')) else {
        return Vec::new();
    };
    let name = short.split('=').next().unwrap_or(short);
    if LONG.contains(&name) {
        return vec![format!("-{word}")];
    }
    // `exec -dt`: the only command with more than one switch of one letter.
    if short.chars().all(|c| matches!(c, 'd' | 't')) {
        return short.chars().map(|c| format!("-{c}")).collect();
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_dash_will_do_for_a_long_option() {
        let mut parser =
            Parser::from_args(["-bundle", "-x", "-pid-file=p", "-dt", "id", "-e", "-user", "--", "-bundle"]);
        let mut seen = Vec::new();
        while let Some(arg) = parser.next().unwrap() {
            let name = match arg {
                Arg::Long(name) => format!("--{name}"),
                Arg::Short(name) => format!("-{name}"),
                Arg::Value(value) => value.into_string().unwrap(),
            };
            let takes_value = matches!(name.as_str(), "--bundle" | "--pid-file" | "-e");
            let value = if takes_value { parser.value().unwrap().into_string().unwrap() } else { String::new() };
            seen.push(format!("{name} {value}").trim_end().to_owned());
        }
        assert_eq!(seen, ["--bundle -x", "--pid-file p", "-d", "-t", "id", "-e -user", "-bundle"]);
    }
}
