//! To be written.
#![forbid(unsafe_code)]

#[allow(dead_code, reason = "the pull command uses it")]
mod progress;

/// Entry point.
pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::FAILURE
}
