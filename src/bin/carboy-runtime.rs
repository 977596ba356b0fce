//! The OCI runtime.
fn main() -> std::process::ExitCode {
    carboy_runtime::main()
}
