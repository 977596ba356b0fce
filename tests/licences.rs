//! Every crate that is linked has a licence that `deny.toml` allows and comes from crates.io: the part of cargo-deny that needs neither
//! cargo-deny nor the internet. Advisories need its database: `cargo deny check advisories`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use serde_json::Value;
use std::process::Command;

#[test]
fn every_dependency_has_an_allowed_licence() {
    let allowed = allowed();
    assert!(allowed.iter().any(|id| id == "Apache-2.0"), "deny.toml's list was not understood: {allowed:?}");
    let mut refused = Vec::new();
    for package in packages() {
        let name = format!("{} {}", package["name"].as_str().unwrap(), package["version"].as_str().unwrap());
        match package["license"].as_str() {
            Some(licence) if permits(licence, &allowed) => {}
            other => refused.push(format!("{name}: licence {other:?}")),
        }
        match package["source"].as_str() {
            None | Some("registry+https://github.com/rust-lang/crates.io-index") => {}
            Some(other) => refused.push(format!("{name}: source {other}")),
        }
    }
    assert!(refused.is_empty(), "not allowed by deny.toml:\n{}", refused.join("\n"));
}

#[test]
fn no_tls_but_rustls() {
    let names: Vec<String> = packages().iter().map(|p| p["name"].as_str().unwrap().to_owned()).collect();
    assert!(names.iter().any(|name| name == "rustls"), "{names:?}");
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/deny.toml")).unwrap();
    let banned =
        text.split("\ndeny = [").nth(1).and_then(|rest| rest.split(']').next()).expect("deny.toml bans nothing");
    let banned: Vec<&str> = banned.split(',').map(|name| name.trim().trim_matches('"')).collect();
    assert!(banned.contains(&"openssl-sys"), "{banned:?}");
    let found: Vec<&String> = names.iter().filter(|name| banned.contains(&name.as_str())).collect();
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn licence_expressions_are_understood() {
    let allowed = ["MIT".to_owned(), "Apache-2.0".to_owned(), "Apache-2.0 WITH LLVM-exception".to_owned()];
    for (expression, expected) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("GPL-3.0 OR MIT", true),
        ("GPL-3.0/MIT", true),
        ("GPL-3.0 AND MIT", false),
        ("(GPL-3.0 OR MIT) AND Apache-2.0", true),
        ("(GPL-3.0 OR MIT) AND (GPL-2.0 OR BSD-3-Clause)", false),
        ("Apache-2.0 WITH LLVM-exception", true),
        ("Apache-2.0 WITH Classpath-exception-2.0", false),
        ("GPL-3.0 OR MIT AND GPL-2.0", false),
    ] {
        assert_eq!(permits(expression, &allowed), expected, "{expression}");
    }
}

/// The `[licenses] allow` list of deny.toml.
fn allowed() -> Vec<String> {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/deny.toml")).unwrap();
    let list =
        text.split("allow = [").nth(1).and_then(|rest| rest.split(']').next()).expect("deny.toml has no allow list");
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// All packages of the dependency graph for this machine's target.
fn packages() -> Vec<Value> {
    let target =
        format!("{}-unknown-linux-{}", std::env::consts::ARCH, if cfg!(target_env = "musl") { "musl" } else { "gnu" });
    let out = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--format-version=1", "--locked", "--filter-platform", &target])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(out.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&out.stderr));
    let metadata: Value = serde_json::from_slice(&out.stdout).unwrap();
    let used: Vec<&str> =
        metadata["resolve"]["nodes"].as_array().unwrap().iter().map(|node| node["id"].as_str().unwrap()).collect();
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages.filter(|package| used.contains(&package["id"].as_str().unwrap())).cloned().collect()
}

/// Whether an SPDX expression can be met with the allowed licences. `OR` binds weaker than `AND`, as SPDX says; `/` is the old `OR`.
fn permits(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    let permitted = any(&mut rest, allowed);
    assert!(rest.is_empty(), "cannot read the licence {expression:?}");
    permitted
}

fn any(words: &mut &[&str], allowed: &[String]) -> bool {
    let mut permitted = all(words, allowed);
    while let Some((&"OR", rest)) = words.split_first() {
        *words = rest;
        permitted |= all(words, allowed);
    }
    permitted
}

fn all(words: &mut &[&str], allowed: &[String]) -> bool {
    let mut permitted = one(words, allowed);
    while let Some((&"AND", rest)) = words.split_first() {
        *words = rest;
        permitted &= one(words, allowed);
    }
    permitted
}

fn one(words: &mut &[&str], allowed: &[String]) -> bool {
    let Some((&first, rest)) = words.split_first() else { return false };
    *words = rest;
    if first == "(" {
        let permitted = any(words, allowed);
        *words = words.get(1..).unwrap_or_default();
        return permitted;
    }
    let mut id = first.to_owned();
    if let [with @ "WITH", exception, rest @ ..] = *words {
        id = format!("{id} {with} {exception}");
        *words = rest;
    }
    allowed.contains(&id)
}
