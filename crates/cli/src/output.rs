//! Standard output and standard error: a reader that goes away is no panic, and one error is one line.

use std::io::{self, Write};

/// Writes text to standard output.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Writes a line to standard output.
pub(crate) fn line(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.write_all(b"\n")?;
    out.flush()
}

/// Writes `WARNING: …` to standard error.
pub(crate) fn warning(message: &str) {
    let _ = writeln!(io::stderr(), "WARNING: {message}");
}

/// Writes `Error: …` to standard error, on one line whatever the message holds.
pub(crate) fn error_line(message: &str) {
    let flat: Vec<&str> = message.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let _ = writeln!(io::stderr(), "Error: {}", flat.join(": "));
}
