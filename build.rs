//! Where the functions of the runtime lie in its file.

fn main() {
    let layout = "src/bin/carboy-runtime.ld";
    println!("cargo::rerun-if-changed={layout}");
    let top = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    // What every container's start executes is put side by side (dev/hot-functions): some thirty page faults and 0.6 MB less.
    println!("cargo::rustc-link-arg-bin=carboy-runtime=-Wl,-T,{top}/{layout}");
}
