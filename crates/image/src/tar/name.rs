//! Names made harmless: components below the root, and the meaning of whiteouts.

/// Longest path, in bytes (PATH_MAX without its NUL).
const PATH_LIMIT: usize = 4095;
/// Longest component, in bytes (NAME_MAX).
const COMPONENT_LIMIT: usize = 255;

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
const META: &[u8] = b".wh..wh.";

/// What an entry's name speaks of. The components are relative to the root, none of them is `.`, `..` or empty, and none holds a `/`
/// or a NUL; no component means the root itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Name<'a> {
    /// An object.
    Object(Vec<&'a [u8]>),
    /// `.wh.x`: x of lower layers is gone. The components of x's directory, and x.
    Whiteout(Vec<&'a [u8]>, &'a [u8]),
    /// `.wh..wh..opq`: nothing of lower layers is seen in this directory.
    Opaque(Vec<&'a [u8]>),
    /// Metadata of aufs, which nobody wants.
    Ignored,
}

impl<'a> Name<'a> {
    /// Interprets a name.
    ///
    /// # Errors
    /// Why the name cannot be allowed.
    pub(crate) fn of(path: &'a [u8]) -> Result<Self, &'static str> {
        let mut components = components(path)?;
        if components.iter().rev().skip(1).any(|component| component.starts_with(WHITEOUT)) {
            return Err("a whiteout is used as a directory");
        }
        let Some(&last) = components.last() else { return Ok(Name::Object(components)) };
        let Some(hidden) = last.strip_prefix(WHITEOUT) else { return Ok(Name::Object(components)) };
        if last == OPAQUE {
            components.pop();
            return Ok(Name::Opaque(components));
        }
        if last.starts_with(META) {
            return Ok(Name::Ignored);
        }
        if matches!(hidden, b"" | b"." | b"..") {
            return Err("a whiteout of nothing, or of a parent directory");
        }
        components.pop();
        Ok(Name::Whiteout(components, hidden))
    }
}

/// Splits a path into components below the root. A leading `/` means the root, `..` goes up, but never above it.
///
/// # Errors
/// Why the path cannot be allowed.
pub(crate) fn components(path: &[u8]) -> Result<Vec<&[u8]>, &'static str> {
    if path.len() > PATH_LIMIT {
        return Err("the name is longer than 4095 bytes");
    }
    if path.contains(&0) {
        return Err("the name contains a NUL byte");
    }
    let mut components: Vec<&[u8]> = Vec::new();
    for component in path.split(|&byte| byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => {
                if components.pop().is_none() {
                    return Err("the name leads out of the root");
                }
            }
            _ if component.len() > COMPONENT_LIMIT => return Err("a part of the name is longer than 255 bytes"),
            _ => components.push(component),
        }
    }
    Ok(components)
}

/// Components as a path, for messages.
pub(crate) fn join(components: &[&[u8]]) -> String {
    String::from_utf8_lossy(&components.join(&b'/')).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(path: &str) -> Vec<&[u8]> {
        path.split('/').filter(|c| !c.is_empty()).map(str::as_bytes).collect()
    }

    #[test]
    fn names_stay_below_the_root() {
        for (path, expected) in [
            ("a/b", "a/b"),
            ("./a//b/", "a/b"),
            ("/etc/passwd", "etc/passwd"),
            ("a/../b", "b"),
            ("./", ""),
            ("", ""),
            ("a/..", ""),
        ] {
            assert_eq!(Name::of(path.as_bytes()), Ok(Name::Object(parts(expected))), "{path:?}");
        }
        let long = format!("a/{}", "x".repeat(256));
        for bad in ["..", "../x", "a/../../x", "/../x", "a\0b", &long, &"a/".repeat(3000)] {
            assert!(Name::of(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn whiteouts_have_their_meaning() {
        assert_eq!(Name::of(b"a/.wh.b"), Ok(Name::Whiteout(parts("a"), b"b")));
        assert_eq!(Name::of(b"a/.wh..wh..opq"), Ok(Name::Opaque(parts("a"))));
        assert_eq!(Name::of(b".wh..wh..opq"), Ok(Name::Opaque(vec![])));
        assert_eq!(Name::of(b".wh..wh.plnk/"), Ok(Name::Ignored));
        for bad in ["a/.wh.", "a/.wh..", "a/.wh...", "a/.wh.b/c"] {
            assert!(Name::of(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }
}
