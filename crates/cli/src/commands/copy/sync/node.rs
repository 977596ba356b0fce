//! YAML as far as lists of images need it: texts, lists and maps, with anchors, aliases and `<<`.

use saphyr_parser::{Event, Parser};
use std::collections::HashMap;

/// Nested deeper than any such file.
const DEPTH_LIMIT: usize = 16;
/// More parts than any such file has, even where aliases repeat some: a few lines of them could stand for billions.
const NODE_LIMIT: usize = 100_000;

/// A document as far as it is of use here: scalars are text, so that the tag `1.10` stays what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Node {
    fn parts(&self) -> Box<dyn Iterator<Item = &Node> + '_> {
        match self {
            Node::Text(_) => Box::new(std::iter::empty()),
            Node::List(list) => Box::new(list.iter()),
            Node::Map(map) => Box::new(map.iter().map(|(_, node)| node)),
        }
    }

    /// Parts, a long text as several.
    fn size(&self) -> usize {
        let text = if let Node::Text(text) = self { text.len() / 64 } else { 0 };
        1 + text + self.parts().map(Node::size).sum::<usize>()
    }

    fn depth(&self) -> usize {
        self.parts().map(|node| node.depth() + 1).max().unwrap_or(0)
    }
}

/// Reads the first document of a text.
pub(super) fn document(text: &str) -> Result<Node, String> {
    let mut reader = Reader { parser: Parser::new_from_str(text), anchors: HashMap::new(), nodes: 0 };
    loop {
        match reader.next()? {
            Event::StreamStart | Event::DocumentStart(..) | Event::Nothing => {}
            Event::StreamEnd | Event::DocumentEnd => return Err("it is empty".to_owned()),
            event => return reader.node(event, 0),
        }
    }
}

struct Reader<'t> {
    parser: Parser<'t, saphyr_parser::StrInput<'t>>,
    /// What `&name` stands before, by the parser's number for it.
    anchors: HashMap<usize, Node>,
    /// Nodes so far, those that aliases repeat among them.
    nodes: usize,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<Event<'t>, String> {
        match self.parser.next_event() {
            Some(Ok((event, _))) => Ok(event),
            Some(Err(error)) => Err(error.to_string()),
            None => Err("it ends too early".to_owned()),
        }
    }

    fn count(&mut self, nodes: usize) -> Result<(), String> {
        self.nodes += nodes;
        if self.nodes > NODE_LIMIT {
            return Err(format!("it has more than {NODE_LIMIT} parts"));
        }
        Ok(())
    }

    fn node(&mut self, event: Event<'t>, depth: usize) -> Result<Node, String> {
        if depth > DEPTH_LIMIT {
            return Err(format!("it is nested more than {DEPTH_LIMIT} deep"));
        }
        self.count(1)?;
        let (node, anchor) = match event {
            Event::Scalar(text, _, anchor, _) => (Node::Text(text.into_owned()), anchor),
            Event::SequenceStart(anchor, _) => (self.list(depth)?, anchor),
            Event::MappingStart(anchor, _) => (self.map(depth)?, anchor),
            Event::Alias(anchor) => {
                // The parser knows the name; what it stands for may not have ended yet.
                let missing = "an alias (*name) within what it stands for";
                let node = self.anchors.get(&anchor).ok_or(missing)?;
                let (size, below) = (node.size(), node.depth());
                self.count(size)?;
                if depth + below > DEPTH_LIMIT {
                    return Err(format!("it is nested more than {DEPTH_LIMIT} deep"));
                }
                return self.anchors.get(&anchor).cloned().ok_or_else(|| missing.to_owned());
            }
            other => return Err(format!("unexpected {other:?}")),
        };
        if anchor != 0 {
            self.count(node.size())?;
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn list(&mut self, depth: usize) -> Result<Node, String> {
        let mut list = Vec::new();
        loop {
            match self.next()? {
                Event::SequenceEnd => return Ok(Node::List(list)),
                event => list.push(self.node(event, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Node, String> {
        let mut map: Vec<(String, Node)> = Vec::new();
        let mut merged = Vec::new();
        loop {
            let key = match self.next()? {
                Event::MappingEnd => break,
                Event::Scalar(text, ..) => text.into_owned(),
                _ => return Err("a key that is no text".to_owned()),
            };
            let event = self.next()?;
            let node = self.node(event, depth + 1)?;
            if key == "<<" {
                merged.extend(maps(node)?);
            } else if map.iter().any(|(known, _)| *known == key) {
                return Err(format!("{key:?} is there twice"));
            } else {
                map.push((key, node));
            }
        }
        // What a map says itself goes before what it takes over.
        for (key, node) in merged {
            if !map.iter().any(|(known, _)| *known == key) {
                map.push((key, node));
            }
        }
        Ok(Node::Map(map))
    }
}

/// What `<<` takes over: a map, or maps of which the earlier go before the later.
fn maps(node: Node) -> Result<Vec<(String, Node)>, String> {
    match node {
        Node::Map(map) => Ok(map),
        Node::List(list) if list.iter().all(|node| matches!(node, Node::Map(_))) => {
            list.into_iter().map(maps).collect::<Result<Vec<_>, _>>().map(|maps| maps.concat())
        }
        _ => Err("<< takes over maps only".to_owned()),
    }
}
