//! A list of names in one piece of memory.

use serde::de::{DeserializeSeed, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// What follows each name.
const END: char = '\0';

/// Names of system calls. A profile has some hundreds, and is read at each start of a container: they lie side by side, without a
/// piece of memory for each.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Names(String);

impl Names {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        // By bytes: a search for one character in pieces of ten is slower than the loop.
        let mut rest = self.0.as_str();
        std::iter::from_fn(move || {
            let end = rest.bytes().position(|byte| byte == END as u8)?;
            let (name, after) = rest.split_at(end);
            rest = &after[1..];
            Some(name)
        })
    }

    fn push(&mut self, name: &str) {
        self.0.push_str(name);
        self.0.push(END);
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<T: AsRef<str>> FromIterator<T> for Names {
    /// What follows a NUL in a name is not of it, as for the C library.
    fn from_iter<I: IntoIterator<Item = T>>(names: I) -> Self {
        let mut list = Names::default();
        for name in names {
            list.push(name.as_ref().split(END).next().unwrap_or_default());
        }
        list
    }
}

impl<const N: usize> From<[&str; N]> for Names {
    fn from(names: [&str; N]) -> Self {
        names.into_iter().collect()
    }
}

impl Serialize for Names {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Names {
    /// # Errors
    /// A name with a NUL.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(List)
    }
}

struct List;

impl<'de> Visitor<'de> for List {
    type Value = Names;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sequence")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Names, A::Error> {
        let mut names = Names::default();
        while sequence.next_element_seed(Next(&mut names))?.is_some() {}
        Ok(names)
    }
}

/// Takes one name without making a string of its own of it.
struct Next<'a>(&'a mut Names);

impl<'de> DeserializeSeed<'de> for Next<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Next<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<(), E> {
        if name.contains(END) {
            return Err(E::custom("a name with a NUL"));
        }
        self.0.push(name);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_a_list_of_strings() {
        let text = r#"["read","","caf\u00e9","read"]"#;
        let names: Names = serde_json::from_str(text).unwrap();
        assert_eq!(names.iter().collect::<Vec<_>>(), ["read", "", "café", "read"]);
        assert_eq!(serde_json::to_string(&names).unwrap(), r#"["read","","café","read"]"#);
        assert_eq!(names, ["read", "", "café", "read"].into());
        assert_eq!(format!("{names:?}"), r#"["read", "", "café", "read"]"#);
        assert!(!names.is_empty() && Names::default().is_empty());
        assert!(Names::default().iter().next().is_none());
    }

    #[test]
    fn other_things_are_refused() {
        let refused = |text| serde_json::from_str::<Names>(text).unwrap_err().to_string();
        assert!(refused("[1]").starts_with("invalid type: integer `1`, expected a string"));
        assert!(refused(r#"["a", null]"#).starts_with("invalid type: null, expected a string"));
        assert!(refused("\"read\"").starts_with("invalid type: string \"read\", expected a sequence"));
        assert!(refused(r#"["a\u0000b"]"#).starts_with("a name with a NUL"));
    }
}
