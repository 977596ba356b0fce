//! One container's monitor.
fn main() -> std::process::ExitCode {
    carboy_monitor::main()
}
