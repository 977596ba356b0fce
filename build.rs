//! How the small programs, which are paid for per container, lie in their files.

fn main() {
    let top = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    let script = |binary: &str, name: &str| {
        println!("cargo::rerun-if-changed=src/bin/{name}");
        println!("cargo::rustc-link-arg-bin={binary}=-Wl,-T,{top}/src/bin/{name}");
    };
    // What every container's start executes is put side by side (dev/hot-functions): some thirty page faults and 0.6 MB less.
    script("carboy-runtime", "carboy-runtime.ld");
    // Other profiles unwind.
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        script("carboy-runtime", "no-unwinding.ld");
        script("carboy-monitor", "no-unwinding.ld");
    }
}
