//! POSIX extended regular expressions over container IDs, for crun's `kill --regex` and `delete --regex`.
//!
//! A match is looked for by sets of positions, one pass for each part of the expression, so that no expression takes exponential time.
//! Back-references and collating elements, which IDs need not, are refused.
//!
//! Not regex-lite, which the engine's command line has: in this one's place it makes the program 43 KB larger (measured with the release's
//! profile), which is paid for per container and is to stay below 2.5 MB.

/// An expression.
#[derive(Debug)]
pub struct Pattern(Node);

#[derive(Debug)]
enum Node {
    /// A byte of these ranges, or of none of them.
    Byte { ranges: Vec<(u8, u8)>, negated: bool },
    /// The beginning of the text.
    Begin,
    /// Its end.
    End,
    /// One after the other.
    Sequence(Vec<Node>),
    /// Any of them.
    Either(Vec<Node>),
    /// At least so often, at most so often.
    Repeat(Box<Node>, u32, Option<u32>),
}

/// `RE_DUP_MAX` of POSIX.
const MOST_REPEATS: u32 = 255;

impl Pattern {
    /// Reads an expression; the error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Pattern, &'static str> {
        let mut reader = Reader { rest: text.as_bytes(), depth: 0 };
        let node = reader.alternatives()?;
        if reader.rest.is_empty() { Ok(Pattern(node)) } else { Err("a parenthesis is closed that was not opened") }
    }

    /// Whether it matches anywhere in the text.
    pub fn is_match(&self, text: &str) -> bool {
        self.0.ends(text.as_bytes(), &vec![true; text.len() + 1]).contains(&true)
    }
}

impl Node {
    /// Where a match can end that begins at any of `starts`: one flag for each position in the text, its end included.
    fn ends(&self, text: &[u8], starts: &[bool]) -> Vec<bool> {
        let mut ends = vec![false; starts.len()];
        match self {
            Node::Byte { ranges, negated } => {
                for (at, byte) in text.iter().enumerate() {
                    let inside = ranges.iter().any(|(first, last)| (first..=last).contains(&byte));
                    ends[at + 1] = starts[at] && inside != *negated;
                }
            }
            Node::Begin => ends[0] = starts[0],
            Node::End => ends[text.len()] = starts[text.len()],
            Node::Sequence(parts) => {
                return parts.iter().fold(starts.to_vec(), |starts, part| part.ends(text, &starts));
            }
            Node::Either(parts) => parts.iter().for_each(|part| {
                unite(&mut ends, &part.ends(text, starts));
            }),
            Node::Repeat(part, least, most) => {
                let mut now = (0..*least).fold(starts.to_vec(), |now, _| part.ends(text, &now));
                ends.clone_from(&now);
                // More rounds than there are positions reach nothing new.
                let rounds = most.map_or(text.len() as u32 + 1, |most| most - least);
                for _ in 0..rounds {
                    now = part.ends(text, &now);
                    if !unite(&mut ends, &now) {
                        break;
                    }
                }
            }
        }
        ends
    }
}

/// Adds positions; says whether any was new.
fn unite(all: &mut [bool], more: &[bool]) -> bool {
    let mut new = false;
    for (all, more) in all.iter_mut().zip(more) {
        new |= *more && !*all;
        *all |= more;
    }
    new
}

struct Reader<'a> {
    rest: &'a [u8],
    depth: u32,
}

impl Reader<'_> {
    fn take(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn takes(&mut self, wanted: u8) -> bool {
        let found = self.rest.first() == Some(&wanted);
        if found {
            self.take();
        }
        found
    }

    fn alternatives(&mut self) -> Result<Node, &'static str> {
        let mut parts = vec![self.sequence()?];
        while self.takes(b'|') {
            parts.push(self.sequence()?);
        }
        Ok(Node::Either(parts))
    }

    fn sequence(&mut self) -> Result<Node, &'static str> {
        let mut parts = Vec::new();
        while let Some(next) = self.rest.first()
            && !matches!(next, b'|' | b')')
        {
            let mut node = self.atom()?;
            while let Some((least, most)) = self.repetition()? {
                node = Node::Repeat(Box::new(node), least, most);
            }
            parts.push(node);
        }
        Ok(Node::Sequence(parts))
    }

    fn atom(&mut self) -> Result<Node, &'static str> {
        let only = |byte| Node::Byte { ranges: vec![(byte, byte)], negated: false };
        Ok(match self.take().unwrap_or_default() {
            b'.' => Node::Byte { ranges: Vec::new(), negated: true },
            b'^' => Node::Begin,
            b'$' => Node::End,
            b'[' => self.bracket()?,
            b'(' => {
                self.depth += 1;
                if self.depth > 100 {
                    return Err("parentheses are nested too deeply");
                }
                let inner = self.alternatives()?;
                self.depth -= 1;
                if !self.takes(b')') {
                    return Err("a parenthesis is not closed");
                }
                inner
            }
            b'*' | b'+' | b'?' | b'{' => return Err("there is nothing to repeat"),
            b'\\' => match self.take() {
                Some(byte) if !byte.is_ascii_alphanumeric() => only(byte),
                Some(_) => return Err("a letter or digit follows a backslash"),
                None => return Err("it ends in a backslash"),
            },
            byte => only(byte),
        })
    }

    fn repetition(&mut self) -> Result<Option<(u32, Option<u32>)>, &'static str> {
        let bounds = match self.rest.first() {
            Some(b'*') => (0, None),
            Some(b'+') => (1, None),
            Some(b'?') => (0, Some(1)),
            Some(b'{') => {
                self.take();
                return self.interval().map(Some).ok_or("an interval in braces is wrong");
            }
            _ => return Ok(None),
        };
        self.take();
        Ok(Some(bounds))
    }

    fn interval(&mut self) -> Option<(u32, Option<u32>)> {
        let end = self.rest.iter().position(|byte| *byte == b'}')?;
        let text = std::str::from_utf8(&self.rest[..end]).ok()?;
        self.rest = &self.rest[end + 1..];
        let number = |text: &str| text.parse().ok().filter(|number| *number <= MOST_REPEATS);
        match text.split_once(',') {
            None => number(text).map(|both| (both, Some(both))),
            Some((least, "")) => number(least).map(|least| (least, None)),
            Some((least, most)) => {
                let (least, most) = (number(least).or(Some(0).filter(|_| least.is_empty()))?, number(most)?);
                (least <= most).then_some((least, Some(most)))
            }
        }
    }

    fn bracket(&mut self) -> Result<Node, &'static str> {
        const OPEN: &str = "a bracket is not closed";
        let negated = self.takes(b'^');
        let mut ranges = Vec::new();
        loop {
            let first = self.take().ok_or(OPEN)?;
            match (first, self.rest) {
                // The first of the list may be one itself.
                (b']', _) if !ranges.is_empty() => return Ok(Node::Byte { ranges, negated }),
                (b'[', [b':', ..]) => {
                    let end = self.rest.windows(2).position(|pair| pair == b":]").ok_or(OPEN)?;
                    ranges.extend(class(&self.rest[1..end]).ok_or("a class of characters is unknown")?);
                    self.rest = &self.rest[end + 2..];
                }
                (b'[', [b'.' | b'=', ..]) => return Err("collating elements are not supported"),
                (first, [b'-', last, ..]) if *last != b']' => {
                    if first > *last {
                        return Err("a range ends before it begins");
                    }
                    ranges.push((first, *last));
                    self.rest = &self.rest[2..];
                }
                (first, _) => ranges.push((first, first)),
            }
        }
    }
}

fn class(name: &[u8]) -> Option<&'static [(u8, u8)]> {
    Some(match name {
        b"alpha" => &[(b'a', b'z'), (b'A', b'Z')],
        b"digit" => &[(b'0', b'9')],
        b"alnum" => &[(b'a', b'z'), (b'A', b'Z'), (b'0', b'9')],
        b"lower" => &[(b'a', b'z')],
        b"upper" => &[(b'A', b'Z')],
        b"xdigit" => &[(b'0', b'9'), (b'a', b'f'), (b'A', b'F')],
        b"punct" => &[(b'!', b'/'), (b':', b'@'), (b'[', b'`'), (b'{', b'~')],
        b"space" => &[(b' ', b' '), (b'\t', b'\r')],
        b"blank" => &[(b' ', b' '), (b'\t', b'\t')],
        b"cntrl" => &[(0, 31), (127, 127)],
        b"graph" => &[(b'!', b'~')],
        b"print" => &[(b' ', b'~')],
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::{Command, Stdio};

    const IDS: [&str; 14] =
        ["a", "b", "ab", "abc", "web-1", "web-12", "web.1", "WEB_1", "aaa", "aaaaaa", "x-y-z", "0", "a]b", "test+1"];

    /// What grep -E says of the same.
    fn grep(pattern: &str) -> Vec<String> {
        let mut child = Command::new("grep")
            .args(["-E", "--", pattern])
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all((IDS.join("\n") + "\n").as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.code() != Some(2), "grep refuses {pattern}");
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn patterns_match_what_grep_finds() {
        for pattern in [
            "",
            "a",
            "^a",
            "a$",
            "^a$",
            "^web-[0-9]+$",
            "web.1",
            "web\\.1",
            "[[:upper:]_]+",
            "^[^a-z]",
            "a{3}",
            "^a{2,4}$",
            "^a{3,}$",
            "^a{,3}$",
            "(a|b)c",
            "^(a|ab)(c|bc)$",
            "^(x-?)+",
            "x|0",
            "a|",
            "(ab)*c",
            "^(a*)*$",
            "((a+)+)+$",
            "[]x]",
            "[^]a]",
            "[a-]",
            "^.{2}$",
            "\\+",
            "()",
            "^(web|test)[-+][[:digit:]]{1,2}$",
            "b*$",
            "a?b?c",
            "^a|b$",
            "[.]",
            "(^a)",
        ] {
            let parsed = Pattern::parse(pattern).unwrap();
            let own: Vec<_> = IDS.iter().filter(|id| parsed.is_match(id)).collect();
            assert_eq!(own, grep(pattern).iter().collect::<Vec<_>>(), "{pattern:?}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        let deep = "(".repeat(1000);
        for bad in [
            "(",
            ")",
            "a)",
            "[",
            "[a",
            "[[:foo:]]",
            "*",
            "+a",
            "a{2,1}",
            "a{x}",
            "a{999}",
            "a{",
            "\\",
            "\\1",
            "[b-a]",
            &deep,
        ] {
            assert!(Pattern::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn no_pattern_takes_for_ever() {
        let text = "a".repeat(1000) + "!";
        assert!(!Pattern::parse("^(((a*)*)*)*$").unwrap().is_match(&text));
        assert!(!Pattern::parse("^(a|a|aa)+$").unwrap().is_match(&text));
    }
}
