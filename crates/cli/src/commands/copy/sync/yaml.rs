//! skopeo's YAML for `sync --src yaml`: registries with the images that are wanted of each (containers-sync's format, skopeo-sync(1)).

use saphyr_parser::{Event, Parser};
use std::collections::HashMap;
use std::path::PathBuf;

/// Nested deeper than any such file.
const DEPTH_LIMIT: usize = 16;

/// What is wanted of one registry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Registry {
    /// As references name it.
    pub(super) name: String,
    /// Repositories with tags and digests; none: all tags.
    pub(super) images: Vec<(String, Vec<String>)>,
    /// Repositories with an expression that tags must match.
    pub(super) by_expression: Vec<(String, String)>,
    /// User name and password.
    pub(super) credentials: Option<(String, String)>,
    pub(super) tls_verify: Option<bool>,
    pub(super) cert_dir: Option<PathBuf>,
}

/// A document as far as it is of use here: scalars are text, so that the tag `1.10` stays what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

/// Reads a file's text.
pub(super) fn parse(text: &str) -> Result<Vec<Registry>, String> {
    let Node::Map(registries) = document(text)? else { return Err("a map of registries is wanted".to_owned()) };
    registries.into_iter().map(|(name, node)| registry(name, node)).collect()
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
            ("images-by-semver", _) => {
                return Err(wrong("images-by-semver is not supported: use images-by-tag-regex"));
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

fn document(text: &str) -> Result<Node, String> {
    let mut parser = Parser::new_from_str(text);
    loop {
        match next(&mut parser)? {
            Event::StreamStart | Event::DocumentStart(..) | Event::Nothing => {}
            Event::StreamEnd | Event::DocumentEnd => return Err("it is empty".to_owned()),
            event => return node(&mut parser, event, 0),
        }
    }
}

type Events<'t> = Parser<'t, saphyr_parser::StrInput<'t>>;

fn next<'t>(parser: &mut Events<'t>) -> Result<Event<'t>, String> {
    match parser.next_event() {
        Some(Ok((event, _))) => Ok(event),
        Some(Err(error)) => Err(error.to_string()),
        None => Err("it ends too early".to_owned()),
    }
}

fn node<'t>(parser: &mut Events<'t>, event: Event<'t>, depth: usize) -> Result<Node, String> {
    if depth > DEPTH_LIMIT {
        return Err(format!("it is nested more than {DEPTH_LIMIT} deep"));
    }
    match event {
        Event::Scalar(text, ..) => Ok(Node::Text(text.into_owned())),
        Event::SequenceStart(..) => {
            let mut list = Vec::new();
            loop {
                match next(parser)? {
                    Event::SequenceEnd => return Ok(Node::List(list)),
                    event => list.push(node(parser, event, depth + 1)?),
                }
            }
        }
        Event::MappingStart(..) => {
            let mut map: Vec<(String, Node)> = Vec::new();
            loop {
                let key = match next(parser)? {
                    Event::MappingEnd => return Ok(Node::Map(map)),
                    Event::Scalar(text, ..) => text.into_owned(),
                    _ => return Err("a key that is no text".to_owned()),
                };
                if map.iter().any(|(known, _)| *known == key) {
                    return Err(format!("{key:?} is there twice"));
                }
                let event = next(parser)?;
                map.push((key, node(parser, event, depth + 1)?));
            }
        }
        Event::Alias(_) => Err("aliases (*name) are not supported".to_owned()),
        other => Err(format!("unexpected {other:?}")),
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
        assert_eq!(first.credentials, Some(("john".to_owned(), "this is a secret".to_owned())));
        assert_eq!((first.tls_verify, second.tls_verify), (Some(true), Some(false)));
        assert_eq!(first.cert_dir, Some("/home/john/certs".into()));
        assert_eq!((second.name.as_str(), &second.images[0].0[..]), ("quay.io", "coreos/etcd"));
    }

    #[test]
    fn what_is_none() {
        for (text, words) in [
            ("", "empty"),
            ("- a", "a map of registries"),
            ("a: b", "a map is wanted"),
            ("a:\n  images: [x]", "\"images\" is not known"),
            ("a:\n  images:\n    x: {}", "list of tags"),
            ("a:\n  what: 1", "\"what\" is not known"),
            ("a:\n  tls-verify: maybe", "true or false"),
            ("a:\n  credentials: {username: x}", "password is missing"),
            ("a:\n  images-by-semver:\n    x: '>=1'", "use images-by-tag-regex"),
            ("a: &x {}\nb: *x", "aliases"),
            ("a: {}\na: {}", "twice"),
            ("a: [", ""),
            (&"[".repeat(100_000), ""),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(words), "{}: {error}", &text[..text.len().min(40)]);
        }
    }
}
