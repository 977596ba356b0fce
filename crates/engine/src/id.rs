//! Container IDs and names.

use crate::error::{Error, Result};
use std::io::Read;
use std::path::Path;

/// 64 random hexadecimal digits.
///
/// # Errors
/// If the kernel's random numbers cannot be read.
pub(crate) fn new_id() -> Result<String> {
    use std::fmt::Write;
    let mut text = String::with_capacity(64);
    for byte in random::<32>()? {
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

/// A made-up name such as `brisk_magnum`: an adjective and a kind of bottle.
///
/// # Errors
/// As [`new_id`].
pub(crate) fn new_name() -> Result<String> {
    let bytes = random::<4>()?;
    let pick =
        |list: &[&'static str], high: u8, low: u8| list[(usize::from(high) << 8 | usize::from(low)) % list.len()];
    Ok(format!("{}_{}", pick(&ADJECTIVES, bytes[0], bytes[1]), pick(&VESSELS, bytes[2], bytes[3])))
}

/// Whether a name fits `[a-zA-Z0-9][a-zA-Z0-9_.-]*`, Podman's grammar (Docker's wants two characters at least); such a name is safe as a path component.
pub(crate) fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphanumeric())
        && name.len() <= 255
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

/// Refuses a name outside the grammar, with Docker's wording.
///
/// # Errors
/// [`Error::Invalid`].
pub(crate) fn check_name(name: &str) -> Result<&str> {
    let bare = name.strip_prefix('/').unwrap_or(name);
    if is_name(bare) {
        return Ok(bare);
    }
    Err(Error::Invalid(format!("Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")))
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let path = Path::new("/dev/urandom");
    let mut bytes = [0; N];
    std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut bytes)).map_err(Error::at("read", path))?;
    Ok(bytes)
}

const ADJECTIVES: [&str; 64] = [
    "agile", "amber", "ample", "apt", "bold", "brave", "breezy", "bright", "brisk", "calm", "candid", "clear",
    "clever", "cool", "cosy", "crisp", "curious", "dapper", "deft", "eager", "early", "fair", "famous", "fleet",
    "fond", "frank", "fresh", "gentle", "glad", "golden", "grand", "happy", "hardy", "honest", "jolly", "keen", "kind",
    "light", "lively", "lucid", "lucky", "mellow", "merry", "mild", "modest", "neat", "nimble", "noble", "open",
    "patient", "plain", "proud", "quick", "quiet", "rapid", "ready", "sage", "sharp", "steady", "sturdy", "sunny",
    "swift", "tidy", "warm",
];

const VESSELS: [&str; 48] = [
    "alembic",
    "ampoule",
    "amphora",
    "aryballos",
    "barrel",
    "basin",
    "beaker",
    "bottle",
    "bowl",
    "bucket",
    "cask",
    "carafe",
    "chalice",
    "cruet",
    "crucible",
    "cup",
    "decanter",
    "demijohn",
    "ewer",
    "firkin",
    "flagon",
    "flask",
    "flute",
    "goblet",
    "gourd",
    "growler",
    "hogshead",
    "jar",
    "jeroboam",
    "jug",
    "keg",
    "kettle",
    "krater",
    "lekythos",
    "magnum",
    "mug",
    "phial",
    "pitcher",
    "puncheon",
    "retort",
    "samovar",
    "snifter",
    "stein",
    "tankard",
    "tumbler",
    "urn",
    "vase",
    "vial",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_names_and_ids_are_valid() {
        let id = new_id().unwrap();
        assert!(id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit()));
        assert_ne!(id, new_id().unwrap());
        check_name(&new_name().unwrap()).unwrap();
    }

    #[test]
    fn names_that_could_be_paths_are_refused() {
        assert_eq!(check_name("/web").unwrap(), "web");
        for bad in ["", "..", "a/b", "-x", ".x", "a b", "ä1"] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
    }
}
