//! The engine's command line.
fn main() -> std::process::ExitCode {
    carboy_cli::main()
}
