//! `--log`: what shims read after a failure; logrus's two formats, as runc writes them.

use crate::container::now;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

/// Format of the log file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// `time="…" level=error msg="…"`.
    #[default]
    Text,
    /// `{"level":"error","msg":"…","time":"…"}`.
    Json,
}

/// Where messages go.
#[derive(Debug, Clone, Default)]
pub struct Log {
    /// The file; standard error if absent.
    pub path: Option<PathBuf>,
    /// Its format.
    pub format: Format,
    /// Whether debug messages are written.
    pub debug: bool,
}

impl Log {
    /// One line.
    pub fn write(&self, level: &str, message: &str) {
        if level == "debug" && !self.debug {
            return;
        }
        let Some(path) = &self.path else {
            let _ = writeln!(std::io::stderr(), "carboy-runtime: {level}: {message}");
            return;
        };
        let line = format_line(self.format, level, message, &now());
        let file = OpenOptions::new().create(true).append(true).open(path);
        if let Err(e) = file.and_then(|mut file| file.write_all(line.as_bytes())) {
            let _ = writeln!(std::io::stderr(), "carboy-runtime: write {}: {e}", path.display());
        }
    }

    /// What is about to be done, if that is of interest.
    pub fn steps(&self, steps: &[crate::step::Step]) {
        if self.debug {
            let lines = steps.iter().map(|step| format!("plan: {:?}: {}", step.actor, step.name()));
            lines.for_each(|line| self.write("debug", &line));
        }
    }

    /// An error: to the log, and always to standard error.
    pub fn error(&self, message: &str) {
        let message = &crate::error::in_callers_words(message);
        if self.path.is_some() {
            self.write("error", message);
        }
        let _ = writeln!(std::io::stderr(), "carboy-runtime: {message}");
    }
}

fn format_line(format: Format, level: &str, message: &str, time: &str) -> String {
    match format {
        Format::Text => format!("time=\"{time}\" level={level} msg={message:?}\n"),
        Format::Json => {
            let text = |text: &str| serde_json::Value::from(text).to_string();
            format!("{{\"level\":{},\"msg\":{},\"time\":{}}}\n", text(level), text(message), text(time))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_logrus_s() {
        let json = format_line(Format::Json, "error", "a \"b\"\nc", "T");
        assert_eq!(json, "{\"level\":\"error\",\"msg\":\"a \\\"b\\\"\\nc\",\"time\":\"T\"}\n");
        assert_eq!(format_line(Format::Text, "warning", "x", "T"), "time=\"T\" level=warning msg=\"x\"\n");
    }
}
