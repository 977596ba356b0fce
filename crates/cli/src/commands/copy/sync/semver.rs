//! Ranges of versions for `images-by-semver`, with the meaning that skopeo's library (Masterminds/semver) gives them: what no operator
//! stands before is exact, `1.2`, `1.2.x` and `~1.2` are all of that minor version, `^1.2` all that should be compatible, `1.2 - 1.4` both
//! ends and what is between; spaces and commas mean and, `||` means or. A prerelease is only found by a range that names one.

use std::cmp::Ordering;

/// A version, or a tag that reads as one: `v1`, `1.2` and `1.2.3-rc.1` do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Version {
    numbers: [u64; 3],
    prerelease: String,
}

/// Alternatives, of which one must hold whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Range(Vec<Vec<Bound>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Is,
    IsNot,
    Above,
    Below,
    AtLeast,
    AtMost,
    Tilde,
    Caret,
}

/// How much of a bound's version was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Given {
    Nothing,
    Major,
    Minor,
    All,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Bound {
    operator: Operator,
    version: Version,
    given: Given,
}

impl Version {
    /// Reads a tag; `None` if it is no version.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (numbers, prerelease) = parts(text)?;
        let numbers: Option<Vec<u64>> = numbers.into_iter().collect();
        let mut all = [0; 3];
        all.iter_mut().zip(numbers?).for_each(|(to, from)| *to = from);
        Some(Version { numbers: all, prerelease })
    }

    /// Precedence as semver.org has it.
    fn compare(&self, other: &Self) -> Ordering {
        let prereleases = || match (self.prerelease.as_str(), other.prerelease.as_str()) {
            ("", "") => Ordering::Equal,
            ("", _) => Ordering::Greater,
            (_, "") => Ordering::Less,
            (own, other) => own.split('.').map(Identifier::of).cmp(other.split('.').map(Identifier::of)),
        };
        self.numbers.cmp(&other.numbers).then_with(prereleases)
    }
}

/// A part of a prerelease: numbers go before words.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Identifier<'t> {
    Number(u64),
    Word(&'t str),
}

impl<'t> Identifier<'t> {
    fn of(text: &'t str) -> Self {
        text.parse().map_or(Identifier::Word(text), Identifier::Number)
    }
}

impl Range {
    /// Reads a range; `None` if it is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        text.split("||").map(bounds).collect::<Option<Vec<_>>>().map(Range)
    }

    /// Whether a version is in it.
    pub(super) fn holds(&self, version: &Version) -> bool {
        self.0.iter().any(|bounds| bounds.iter().all(|bound| bound.holds(version)))
    }
}

impl Bound {
    fn holds(&self, version: &Version) -> bool {
        let is_exact = self.given == Given::All;
        // Of `!=` only with a wildcard.
        let wants_release = self.version.prerelease.is_empty() && !(self.operator == Operator::IsNot && is_exact);
        if wants_release && !version.prerelease.is_empty() {
            return false;
        }
        let order = version.compare(&self.version);
        match self.operator {
            Operator::Is if is_exact => order.is_eq(),
            Operator::Is | Operator::Tilde => order.is_ge() && self.is_near(version),
            Operator::IsNot => self.differs(version),
            Operator::Above => self.is_below(version, order),
            Operator::Below => order.is_lt(),
            Operator::AtLeast => order.is_ge(),
            Operator::AtMost => self.reaches(version, order),
            Operator::Caret => order.is_ge() && self.is_compatible(version),
        }
    }

    fn is_near(&self, version: &Version) -> bool {
        let ([major, minor, _], [own_major, own_minor, _]) = (version.numbers, self.version.numbers);
        // Nothing is said, or nothing but zeros.
        if self.version.numbers == [0; 3] && matches!(self.given, Given::Nothing | Given::All) {
            return true;
        }
        major == own_major && (self.given == Given::Major || minor == own_minor)
    }

    fn differs(&self, version: &Version) -> bool {
        let ([major, minor, _], [own_major, own_minor, _]) = (version.numbers, self.version.numbers);
        match self.given {
            Given::Major => major != own_major,
            Given::Minor => (major, minor) != (own_major, own_minor) || version.prerelease != self.version.prerelease,
            Given::Nothing | Given::All => version.compare(&self.version).is_ne(),
        }
    }

    fn is_below(&self, version: &Version, order: Ordering) -> bool {
        let ([major, minor, _], [own_major, own_minor, _]) = (version.numbers, self.version.numbers);
        match self.given {
            Given::Major => major > own_major,
            Given::Minor => (major, minor) > (own_major, own_minor),
            Given::Nothing | Given::All => order.is_gt(),
        }
    }

    fn reaches(&self, version: &Version, order: Ordering) -> bool {
        let ([major, minor, _], [own_major, own_minor, _]) = (version.numbers, self.version.numbers);
        match self.given {
            Given::Major => major <= own_major,
            Given::Nothing | Given::Minor => (major, minor) <= (own_major, own_minor),
            Given::All => order.is_le(),
        }
    }

    /// Up to the leftmost number that is not zero.
    fn is_compatible(&self, version: &Version) -> bool {
        let ([major, minor, patch], [own_major, own_minor, own_patch]) = (version.numbers, self.version.numbers);
        if own_major > 0 || self.given == Given::Major {
            return major == own_major;
        }
        if own_minor > 0 || self.given == Given::Minor {
            return (major, minor) == (0, own_minor);
        }
        (major, minor, patch) == (0, 0, own_patch)
    }
}

/// Bounds that must all hold.
fn bounds(text: &str) -> Option<Vec<Bound>> {
    let mut bounds = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (operator, after) = operator(rest)?;
        let (version, after) = word(after.trim_start());
        rest = after;
        let to = rest.trim_start().strip_prefix("- ").filter(|_| operator.is_none() && rest.starts_with(' '));
        match to {
            Some(to) => {
                let (end, after) = word(to.trim_start());
                bounds.extend([bound(Operator::AtLeast, version)?, bound(Operator::AtMost, end)?]);
                rest = after;
            }
            None => bounds.push(bound(operator.unwrap_or(Operator::Is), version)?),
        }
        rest = rest.trim_start();
        // One comma stands between two.
        if let Some(after) = rest.strip_prefix(',') {
            rest = after.trim_start();
            if rest.is_empty() {
                return None;
            }
        }
    }
    (!bounds.is_empty()).then_some(bounds)
}

fn operator(text: &str) -> Option<(Option<Operator>, &str)> {
    let end = text.find(|c| !"=!<>~^".contains(c)).unwrap_or(text.len());
    let (operator, rest) = text.split_at(end);
    let operator = match operator {
        "" => None,
        "=" => Some(Operator::Is),
        "!=" => Some(Operator::IsNot),
        ">" => Some(Operator::Above),
        "<" => Some(Operator::Below),
        ">=" | "=>" => Some(Operator::AtLeast),
        "<=" | "=<" => Some(Operator::AtMost),
        "~" | "~>" => Some(Operator::Tilde),
        "^" => Some(Operator::Caret),
        _ => return None,
    };
    Some((operator, rest))
}

fn word(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| c.is_whitespace() || c == ',').unwrap_or(text.len()))
}

fn bound(operator: Operator, text: &str) -> Option<Bound> {
    let (numbers, prerelease) = parts(text)?;
    let known: Vec<u64> = numbers.into_iter().map_while(|number| number).collect();
    let given = match known.len() {
        0 => Given::Nothing,
        1 => Given::Major,
        2 => Given::Minor,
        _ => Given::All,
    };
    let mut numbers = [0; 3];
    numbers.iter_mut().zip(known).for_each(|(to, from)| *to = from);
    Some(Bound { operator, version: Version { numbers, prerelease }, given })
}

/// Up to three numbers, of which some may be wildcards, and the prerelease.
fn parts(text: &str) -> Option<(Vec<Option<u64>>, String)> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let (text, build) = text.split_once('+').map_or((text, None), |(text, build)| (text, Some(build)));
    let (core, prerelease) = text.split_once('-').map_or((text, None), |(core, pre)| (core, Some(pre)));
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-');
    let is_number = |word: &str| word.bytes().all(|c| c.is_ascii_digit());
    let are_sound = |words: Option<&str>| words.is_none_or(|words| words.split('.').all(is_word));
    let has_leading_zero = |word: &str| word.len() > 1 && word.starts_with('0') && is_number(word);
    if !are_sound(build) || !are_sound(prerelease) || prerelease.is_some_and(|p| p.split('.').any(has_leading_zero)) {
        return None;
    }
    let number = |word: &str| match word {
        "x" | "X" | "*" => Some(None),
        _ if !word.is_empty() && is_number(word) => word.parse().ok().map(Some),
        _ => None,
    };
    let numbers: Vec<Option<u64>> = core.split('.').map(number).collect::<Option<_>>()?;
    (numbers.len() <= 3).then(|| (numbers, prerelease.unwrap_or_default().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Masterminds/semver 3.2.0 says: the tags, then for each range those of them that are in it, or `error`.
    const CASES: &str = include_str!("semver_cases.txt");

    #[test]
    fn as_skopeos_library_has_it() {
        let mut lines = CASES.lines();
        let tags: Vec<&str> = lines.next().unwrap().split(' ').collect();
        for line in lines {
            let (text, want) = line.split_once('\t').unwrap();
            let got = match Range::parse(text) {
                None => "error".to_owned(),
                Some(range) => {
                    let is_in = |tag: &&&str| Version::parse(tag).is_some_and(|version| range.holds(&version));
                    tags.iter().filter(is_in).copied().collect::<Vec<_>>().join(" ")
                }
            };
            assert_eq!(got, want, "{text:?}");
        }
    }

    #[test]
    fn hostile_ranges() {
        for text in ["", " ", ",", "||", "99999999999999999999", "> > 1", "1..2", "1.2.3.4", "-", "- 1", "1 -", "é"] {
            assert_eq!(Range::parse(text), None, "{text:?}");
        }
        assert!(Range::parse(&"1 ".repeat(100_000)).is_some());
    }
}
