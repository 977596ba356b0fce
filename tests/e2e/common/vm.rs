//! Where things are, here and in the virtual machine of the lane on pure cgroup v2.

use std::path::{Path, PathBuf};

/// The folder with the programs and images, below the folder that the guest is given, and copied to its own disk.
pub(crate) const GIVEN: &str = "given";

/// Whether this is the guest.
pub(crate) fn is_guest() -> bool {
    std::env::var_os("V2VM").is_some()
}

/// Where cargo put the programs.
pub(crate) fn built() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_carboy")).parent().unwrap().to_owned()
}

/// Where the programs under test are.
pub(crate) fn programs() -> PathBuf {
    if is_guest() { given() } else { built() }
}

/// What the guest was given, on its own disk.
pub(crate) fn given() -> PathBuf {
    Path::new("/scratch").join(GIVEN)
}

/// Where environments are made.
pub(crate) fn base() -> PathBuf {
    let chosen = std::env::var_os("CARBOY_TEST_DIR").map(PathBuf::from);
    if is_guest() { PathBuf::from("/scratch") } else { chosen.unwrap_or_else(|| PathBuf::from("/tmp")) }
}
