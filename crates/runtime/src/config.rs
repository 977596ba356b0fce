//! config.json, or a part of it, from text. Properties that nobody knows are ignored, as the runtime-spec asks ("Extensibility"), and told of.

use crate::error::{Error, Result};
use carboy_oci::runtime::Spec;
use serde::de::DeserializeOwned;
use std::path::Path;

/// Parts of the specification that are for other systems, or carry nothing that is to be done: no warning is due.
const ELSEWHERE: &[&str] = &["freebsd", "solaris", "vm", "windows", "zos", "process.commandLine"];

/// A configuration and the names of what was ignored in it. `path` is for messages.
pub fn parse(text: &[u8], path: &Path) -> Result<(Spec, Vec<String>)> {
    parse_part(text, path)
}

/// Likewise for a part of a configuration, such as the process of `exec`.
pub fn parse_part<T: DeserializeOwned>(text: &[u8], path: &Path) -> Result<(T, Vec<String>)> {
    let mut ignored = Vec::new();
    let mut json = serde_json::Deserializer::from_slice(text);
    // One type of deserializer for all parts: what reads a process or limits is then there once, not twice (0.1 MB).
    let note: &mut dyn FnMut(serde_ignored::Path<'_>) = &mut |name| {
        let name = dotted(&name);
        if !ELSEWHERE.contains(&name.as_str()) {
            ignored.push(name);
        }
    };
    let spec = serde_ignored::deserialize(&mut json, note);
    let spec = spec.and_then(|spec| json.end().map(|()| spec));
    let spec = spec.map_err(|e| Error::Other(format!("parse {}: {e}", path.display())))?;
    Ok((spec, ignored))
}

/// What is said of ignored properties.
pub fn warning(name: &str) -> String {
    format!("ignoring unknown property {name}")
}

/// As errors name fields: `mounts[2].options`.
fn dotted(path: &serde_ignored::Path<'_>) -> String {
    use serde_ignored::Path;
    match path {
        Path::Root => String::new(),
        Path::Seq { parent, index } => format!("{}[{index}]", dotted(parent)),
        Path::Map { parent, key } => match dotted(parent) {
            parent if parent.is_empty() => key.clone(),
            parent => format!("{parent}.{key}"),
        },
        Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => dotted(parent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_properties_are_named() {
        let text = br#"{ "ociVersion": "1.3.0", "future": 1, "windows": {}, "annotations": { "any.thing": "x" },
            "process": { "args": ["sh"], "colour": "red" }, "mounts": [{ "destination": "/a", "speed": {} }] }"#;
        let (spec, ignored) = parse(text, Path::new("x")).unwrap();
        assert_eq!(spec.mounts.len(), 1);
        assert_eq!(ignored, ["future", "process.colour", "mounts[0].speed"]);
        assert!(parse(b"{}x", Path::new("x")).is_err());
        assert!(parse(b"{\"mounts\":1}", Path::new("x")).unwrap_err().to_string().starts_with("parse x: "));
    }
}
