//! The OCI runtime.
#![cfg_attr(not(test), no_main)]

#[cfg(not(test))]
carboy_sys::entry!(carboy_runtime::main);
