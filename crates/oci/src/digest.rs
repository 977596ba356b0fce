//! Content digests (image-spec, "Digests").

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A validated content digest such as `sha256:2cf2…`. Only the registered algorithms sha256 and sha512 are accepted, with
/// lower-case hexadecimal of the right length, so that a digest can always be used as a path component.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

/// Why a string is not a digest.
#[derive(Debug, thiserror::Error)]
#[error("invalid digest {0:?}: expected sha256:<64 hex digits> or sha512:<128 hex digits>")]
pub struct DigestError(String);

impl Digest {
    /// The sha256 digest with these bytes.
    pub fn sha256(hash: &[u8; 32]) -> Self {
        Self::of_bytes("sha256:", hash)
    }

    /// The sha512 digest with these bytes.
    pub fn sha512(hash: &[u8; 64]) -> Self {
        Self::of_bytes("sha512:", hash)
    }

    fn of_bytes(prefix: &str, hash: &[u8]) -> Self {
        use fmt::Write;
        let mut text = String::with_capacity(prefix.len() + 2 * hash.len());
        text.push_str(prefix);
        for byte in hash {
            let _ = write!(text, "{byte:02x}");
        }
        Digest(text)
    }

    /// The whole digest, `algorithm:hex`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `sha256` or `sha512`.
    pub fn algorithm(&self) -> &str {
        self.0.split_once(':').map_or("", |(algorithm, _)| algorithm)
    }

    /// The hexadecimal part.
    pub fn hex(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, hex)| hex)
    }

    /// The first twelve hexadecimal digits, as listings show IDs.
    pub fn short(&self) -> &str {
        &self.hex()[..12]
    }
}

impl FromStr for Digest {
    type Err = DigestError;
    fn from_str(text: &str) -> Result<Self, DigestError> {
        let length = match text.split_once(':') {
            Some(("sha256", _)) => 64,
            Some(("sha512", _)) => 128,
            _ => return Err(DigestError(text.to_owned())),
        };
        let hex = &text[7..];
        if hex.len() != length || !hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(DigestError(text.to_owned()));
        }
        Ok(Digest(text.to_owned()))
    }
}

impl TryFrom<String> for Digest {
    type Error = DigestError;
    fn try_from(text: String) -> Result<Self, DigestError> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_registered_lower_case_digests_parse() {
        let good = format!("sha256:{}", "0a".repeat(32));
        assert_eq!(good.parse::<Digest>().unwrap().short(), "0a0a0a0a0a0a");
        for bad in ["", "sha256:", "sha256:zz", "md5:00", &format!("sha256:{}", "0A".repeat(32)), "sha256:../../etc"] {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
    }
}
