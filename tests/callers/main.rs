//! Unmodified programs that call an OCI runtime, with ours in runc's place: podman, dockerd, containerd, buildah, each as Debian ships it,
//! through a container's whole life.
//!
//! `CARBOY_CALLERS_RUNTIME=/usr/sbin/runc` runs the same tests with another runtime: what fails there too is the machine's or the caller's.
//! Each test has a [`place::Place`] of its own: stores, sockets and states in a temporary folder, cgroups below one of its own, its own
//! daemon where the caller has one. The machine's own daemons are neither used nor started.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "tests, and their harness")]

#[path = "../e2e/common/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the end-to-end tests' harness, of which a part is used here")]
mod common;
mod place;

mod brief;
mod buildah;
mod containerd;
mod dockerd;
mod podman;
