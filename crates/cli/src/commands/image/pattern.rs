//! Go's `path.Match`, by which Docker filters names: `*` and `?` stop at slashes, `[a-z]` is a class, `\` quotes.

/// Whether the whole of `text` matches; `None` for a malformed pattern.
pub(super) fn matches(pattern: &str, text: &str) -> Option<bool> {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    check(&pattern)?;
    Some(run(&pattern, &text))
}

/// Where a class ends, and whether it holds the character.
fn class(pattern: &[char], found: char) -> Option<(usize, bool)> {
    let negated = pattern.first() == Some(&'^');
    let mut at = usize::from(negated);
    let mut holds = false;
    let begin = at;
    loop {
        if *pattern.get(at)? == ']' && at > begin {
            return Some((at + 1, holds != negated));
        }
        let low = one(pattern, &mut at)?;
        let mut high = low;
        if pattern.get(at) == Some(&'-') {
            at += 1;
            high = one(pattern, &mut at)?;
        }
        holds |= (low..=high).contains(&found);
    }
}

fn one(pattern: &[char], at: &mut usize) -> Option<char> {
    let mut next = *pattern.get(*at)?;
    if next == '-' || next == ']' {
        return None;
    }
    if next == '\\' {
        *at += 1;
        next = *pattern.get(*at)?;
    }
    *at += 1;
    Some(next)
}

fn check(mut pattern: &[char]) -> Option<()> {
    while let Some((first, rest)) = pattern.split_first() {
        let used = match first {
            '\\' => rest.first().map(|_| 1)?,
            '[' => class(rest, ' ')?.0,
            _ => 0,
        };
        pattern = &rest[used..];
    }
    Some(())
}

/// Tries one star at a time: the last star that was met takes one character more after each failure.
fn run(pattern: &[char], text: &[char]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        let step = match (pattern.get(p), text.get(t)) {
            (None, None) => return true,
            (Some('*'), _) => {
                star = Some((p + 1, t));
                Some((1, 0))
            }
            (Some('?'), Some(c)) if *c != '/' => Some((1, 1)),
            (Some('['), Some(c)) => {
                class(&pattern[p + 1..], *c).filter(|(_, holds)| *holds).map(|(used, _)| (used + 1, 1))
            }
            (Some('\\'), Some(c)) if pattern.get(p + 1) == Some(c) => Some((2, 1)),
            (Some(wanted), Some(c)) if wanted == c && !matches!(wanted, '?' | '[' | '\\') => Some((1, 1)),
            _ => None,
        };
        match (step, star) {
            (Some((pattern_step, text_step)), _) => (p, t) = (p + pattern_step, t + text_step),
            (None, Some((after, taken))) if text.get(taken).is_some_and(|c| *c != '/') => {
                star = Some((after, taken + 1));
                (p, t) = (after, taken + 1);
            }
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn as_go_matches() {
        for (pattern, text, want) in [
            ("abc", "abc", Some(true)),
            ("*", "abc", Some(true)),
            ("*c", "abc", Some(true)),
            ("a*", "a/b", Some(false)),
            ("a*/b", "a/c/b", Some(false)),
            ("a*b*c*d*e*/f", "axbxcxdxe/f", Some(true)),
            ("a*b?c*x", "abxbbxdbxebxczzx", Some(true)),
            ("ab[c]", "abc", Some(true)),
            ("ab[e-g]", "abc", Some(false)),
            ("ab[^c]", "abc", Some(false)),
            ("a\\*b", "a*b", Some(true)),
            ("a?b", "a/b", Some(false)),
            ("[]a]", "]", None),
            ("[a-", "a", None),
            ("a[", "ab", None),
            ("a\\", "a", None),
            ("*x", "xxx", Some(true)),
            ("x:*", "x:1.2", Some(true)),
            ("", "", Some(true)),
            ("", "a", Some(false)),
        ] {
            assert_eq!(matches(pattern, text), want, "{pattern} {text}");
        }
    }
}
