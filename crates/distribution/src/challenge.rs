//! `WWW-Authenticate` (RFC 9110, 11.6.1): one header may carry several challenges, and commas separate both challenges and parameters.

/// One challenge: its scheme in lower case, and its parameters with lower-case names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Challenge {
    pub(crate) scheme: String,
    params: Vec<(String, String)>,
}

impl Challenge {
    /// The first parameter of this name.
    pub(crate) fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Parses one header value. What is not understood is skipped: a challenge that cannot be read is one that cannot be met.
pub(crate) fn parse(header: &str) -> Vec<Challenge> {
    let mut challenges: Vec<Challenge> = Vec::new();
    let mut rest = header;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let (word, after) = token(rest);
        if word.is_empty() {
            return challenges;
        }
        let value = after.trim_start_matches([' ', '\t']).strip_prefix('=').map(|v| v.trim_start_matches([' ', '\t']));
        match (value, challenges.last_mut()) {
            (Some(value), Some(challenge)) => {
                let (text, after) = quoted_or_token(value);
                challenge.params.push((word.to_ascii_lowercase(), text));
                rest = after;
            }
            (Some(_), None) => return challenges,
            (None, _) => {
                challenges.push(Challenge { scheme: word.to_ascii_lowercase(), params: Vec::new() });
                rest = after;
            }
        }
    }
}

/// A token68 (RFC 9110) has more characters than a token; accepting them for both is harmless here.
fn token(text: &str) -> (&str, &str) {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~/:".contains(c);
    text.split_at(text.find(|c| !is_token(c)).unwrap_or(text.len()))
}

fn quoted_or_token(text: &str) -> (String, &str) {
    let Some(inner) = text.strip_prefix('"') else {
        let (word, rest) = token(text);
        return (word.to_owned(), rest);
    };
    let mut value = String::new();
    let mut chars = inner.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &inner[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            _ => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_of_real_registries() {
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#;
        let parsed = parse(hub);
        assert_eq!(parsed.len(), 1);
        assert_eq!(parsed[0].scheme, "bearer");
        assert_eq!(parsed[0].param("realm"), Some("https://auth.docker.io/token"));
        assert_eq!(parsed[0].param("scope"), Some("repository:a/b:pull,push"));

        let two = parse(r#"Basic realm="say \"hi\", you", Bearer realm=https://x/t , error="invalid_token""#);
        assert_eq!(two.iter().map(|c| c.scheme.as_str()).collect::<Vec<_>>(), ["basic", "bearer"]);
        assert_eq!(two[0].param("realm"), Some(r#"say "hi", you"#));
        assert_eq!((two[1].param("realm"), two[1].param("error")), (Some("https://x/t"), Some("invalid_token")));
        assert_eq!(parse("Basic")[0].scheme, "basic");
    }

    #[test]
    fn nonsense_ends_and_yields_nothing() {
        for text in ["", ",,,", "=", "realm=\"x\"", "\"", "\u{e9}"] {
            assert!(parse(text).is_empty(), "{text:?}");
        }
        assert_eq!(parse("Bearer realm=\"unterminated").len(), 1);
        assert_eq!(parse("Bearer realm=\"x\\").len(), 1);
    }
}
