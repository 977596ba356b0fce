//! The OCI runtime.
#![no_main]

carboy_sys::entry!(carboy_runtime::main);
