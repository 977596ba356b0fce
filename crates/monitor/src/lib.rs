//! To be written.
#![forbid(unsafe_code)]

/// Entry point.
pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::FAILURE
}
