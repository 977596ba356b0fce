//! The OCI runtime.
#![cfg_attr(not(test), no_main)]

#[cfg(not(test))]
carboy_sys::entry!(carboy_runtime::main);

/// Enough for a container's start; `run` in the foreground, `events` and the like, which stay, go on with the system's allocator.
#[global_allocator]
static MEMORY: carboy_sys::arena::Arena<{ 256 << 10 }> = carboy_sys::arena::Arena::new();
