//! A short run of each target, always the same inputs; all seeds, and so all that longer runs have found, among them.

use carboy_fuzz::{Budget, TARGETS, drive};

fn smoke(name: &str, inputs: u64) {
    let target = TARGETS.iter().find(|target| target.name == name);
    let outcome = target.map(|target| drive(target, Budget::Inputs(inputs), 7));
    assert!(outcome.is_some_and(|outcome| outcome.inputs >= inputs));
}

#[test]
fn tar() {
    smoke("tar", 4000);
}

#[test]
fn layer() {
    smoke("layer", 3000);
}

#[test]
fn archive() {
    smoke("archive", 200);
}

#[test]
fn documents() {
    smoke("documents", 5000);
}

#[test]
fn config() {
    smoke("config", 3000);
}

#[test]
fn reference() {
    smoke("reference", 20_000);
}

#[test]
fn auth() {
    smoke("auth", 3000);
}

#[test]
fn registries() {
    smoke("registries", 3000);
}

#[test]
fn hosts() {
    smoke("hosts", 3000);
}

#[test]
fn daemon() {
    smoke("daemon", 5000);
}

#[test]
fn sync() {
    smoke("sync", 5000);
}

#[test]
fn challenge() {
    smoke("challenge", 20_000);
}
