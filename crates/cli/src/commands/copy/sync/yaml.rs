//! skopeo's YAML for `sync --src yaml`: registries with the images that are wanted of each (containers-sync's format, skopeo-sync(1)).

use super::node::{Node, document};
use super::semver::Range;
use std::collections::HashMap;
use std::path::PathBuf;

/// What is wanted of one registry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Registry {
    /// As references name it.
    pub(super) name: String,
    /// Repositories with tags and digests; none: all tags.
    pub(super) images: Vec<(String, Vec<String>)>,
    /// Repositories with an expression that tags must match.
    pub(super) by_expression: Vec<(String, String)>,
    /// Repositories with a range that tags must be versions of.
    pub(super) by_version: Vec<(String, Range)>,
    /// User name and password.
    pub(super) credentials: Option<(String, String)>,
    pub(super) tls_verify: Option<bool>,
    pub(super) cert_dir: Option<PathBuf>,
}

/// Reads a file's text.
pub(super) fn parse(text: &str) -> Result<Vec<Registry>, String> {
    let Node::Map(registries) = document(text)? else { return Err("a map of registries is wanted".to_owned()) };
    registries.into_iter().map(|(name, node)| registry(name, node)).collect()
}

/// For `fuzz/`.
#[cfg(feature = "fuzz")]
pub fn fuzz(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(registries) = parse(text) {
        let mut names: Vec<&str> = registries.iter().map(|registry| registry.name.as_str()).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "a registry is there twice");
    }
}

fn registry(name: String, node: Node) -> Result<Registry, String> {
    let mut found = Registry { name, ..Registry::default() };
    let name = found.name.clone();
    let wrong = |what: &str| format!("{name}: {what}");
    let Node::Map(fields) = node else { return Err(wrong("a map is wanted")) };
    for (key, node) in fields {
        match (key.as_str(), node) {
            (_, Node::Text(text)) if is_null(&text) => {}
            ("images", Node::Map(images)) => {
                for (image, tags) in images {
                    let tags =
                        texts(tags).ok_or_else(|| wrong(&format!("images: {image}: a list of tags is wanted")))?;
                    found.images.push((image, tags));
                }
            }
            ("images-by-tag-regex", Node::Map(images)) => {
                for (image, node) in images {
                    let Node::Text(text) = node else {
                        return Err(wrong(&format!("{key}: {image}: an expression is wanted")));
                    };
                    found.by_expression.push((image, text));
                }
            }
            ("images-by-semver", Node::Map(images)) => {
                for (image, node) in images {
                    let Node::Text(text) = node else {
                        return Err(wrong(&format!("{key}: {image}: a range of versions is wanted")));
                    };
                    let range = Range::parse(&text);
                    let range = range.ok_or_else(|| {
                        wrong(&format!("{key}: {image}: {text:?} is no range, such as \">=1.2, <3\""))
                    })?;
                    found.by_version.push((image, range));
                }
            }
            ("credentials", Node::Map(fields)) => {
                let mut fields: HashMap<String, Node> = fields.into_iter().collect();
                let mut take = |key: &str| match fields.remove(key) {
                    Some(Node::Text(text)) => Ok(text),
                    _ => Err(wrong(&format!("credentials: {key} is missing"))),
                };
                found.credentials = Some((take("username")?, take("password")?));
            }
            ("tls-verify", Node::Text(text)) => {
                found.tls_verify = Some(text.parse().map_err(|_| wrong("tls-verify: true or false is wanted"))?);
            }
            ("cert-dir", Node::Text(text)) => found.cert_dir = Some(text.into()),
            (key, _) => return Err(wrong(&format!("{key:?} is not known, or not of the expected form"))),
        }
    }
    Ok(found)
}

fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null")
}

/// A list of texts; nothing is an empty one.
fn texts(node: Node) -> Option<Vec<String>> {
    match node {
        Node::Text(text) if is_null(&text) => Some(Vec::new()),
        Node::List(list) => {
            list.into_iter().map(|node| if let Node::Text(text) = node { Some(text) } else { None }).collect()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skopeos_own_example() {
        let text = r#"
registry.example.com:
    images:
        busybox: []
        redis:
            - "1.0"
            - 2.10
            - "sha256:0000000000000000000000000000000011111111111111111111111111111111"
        all:
    images-by-tag-regex:
        nginx: ^1\.13\.[12]-alpine-perl$
    images-by-semver:
        alpine: ">= 3.12.0"
    credentials:
        username: john
        password: this is a secret
    tls-verify: true
    cert-dir: /home/john/certs
quay.io:
    tls-verify: false
    images: { coreos/etcd: [latest] }
"#;
        let found = parse(text).unwrap();
        assert_eq!(found.len(), 2);
        let [first, second] = [&found[0], &found[1]];
        assert_eq!(first.images[0], ("busybox".to_owned(), vec![]));
        assert_eq!(first.images[1].1[..2], ["1.0", "2.10"], "tags are no numbers");
        assert_eq!(first.images[2], ("all".to_owned(), vec![]));
        assert_eq!(first.by_expression[0].1, r"^1\.13\.[12]-alpine-perl$");
        assert_eq!(first.by_version, [("alpine".to_owned(), Range::parse(">= 3.12.0").unwrap())]);
        assert_eq!(first.credentials, Some(("john".to_owned(), "this is a secret".to_owned())));
        assert_eq!((first.tls_verify, second.tls_verify), (Some(true), Some(false)));
        assert_eq!(first.cert_dir, Some("/home/john/certs".into()));
        assert_eq!((second.name.as_str(), &second.images[0].0[..]), ("quay.io", "coreos/etcd"));
    }

    #[test]
    fn what_is_said_once() {
        let text = r#"
a:
    <<: &common { tls-verify: false, cert-dir: /certs }
    images: &images { box: &tags ["1", "2"] }
b:
    <<: [{ cert-dir: /others }, *common]
    tls-verify: true
    images: { one: *tags, two: [] }
c: { images: *images }
"#;
        let found = parse(text).unwrap();
        assert_eq!((found[0].tls_verify, found[0].cert_dir.clone()), (Some(false), Some("/certs".into())));
        assert_eq!((found[1].tls_verify, found[1].cert_dir.clone()), (Some(true), Some("/others".into())));
        let tags = vec!["1".to_owned(), "2".to_owned()];
        assert_eq!(found[1].images, [("one".to_owned(), tags.clone()), ("two".to_owned(), vec![])]);
        assert_eq!(found[2].images, [("box".to_owned(), tags)]);
    }

    #[test]
    fn what_is_none() {
        // Each line ten times the one before.
        let ten = |name: char| vec![format!("*{name}"); 10].join(", ");
        let lines: Vec<String> =
            ('b'..='j').zip('a'..='i').map(|(name, of)| format!("{name}: &{name} [{}]", ten(of))).collect();
        let laughs = format!("a: &a x\n{}", lines.join("\n"));
        for (text, words) in [
            ("", "empty"),
            ("- a", "a map of registries"),
            ("a: b", "a map is wanted"),
            ("a:\n  images: [x]", "\"images\" is not known"),
            ("a:\n  images:\n    x: {}", "list of tags"),
            ("a:\n  what: 1", "\"what\" is not known"),
            ("a:\n  tls-verify: maybe", "true or false"),
            ("a:\n  credentials: {username: x}", "password is missing"),
            ("a:\n  images-by-semver:\n    x: '>=one'", "images-by-semver: x: \">=one\" is no range"),
            ("a:\n  images-by-semver:\n    x: ['1']", "a range of versions is wanted"),
            ("a: &x {images: {y: *x}}", "within what it stands for"),
            ("a: *x", "unknown anchor"),
            ("a:\n  <<: b", "maps only"),
            (&laughs, "more than 100000 parts"),
            ("a: {}\na: {}", "twice"),
            ("a: [", ""),
            (&"[".repeat(100_000), ""),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(words), "{}: {error}", &text[..text.len().min(40)]);
        }
    }
}
