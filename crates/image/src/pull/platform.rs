//! Which platform of an image is wanted, and which of those on offer is the best. The rules are containerd's (`platforms.Only`).

use carboy_oci::image::{Descriptor, Platform};
use std::fmt;
use std::str::FromStr;

/// A wanted platform, normalized.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    os: String,
    architecture: String,
    /// Empty: the architecture's baseline.
    variant: String,
}

/// Why a string is not a platform.
#[derive(Debug, thiserror::Error)]
#[error("invalid platform {0:?}: expected os/architecture or os/architecture/variant, such as linux/arm64")]
pub struct ParsePlatformError(String);

impl Wanted {
    /// The platform of this program.
    pub fn host() -> Self {
        let (architecture, variant) = match std::env::consts::ARCH {
            "powerpc64" if cfg!(target_endian = "little") => ("ppc64le", ""),
            other => normalize(other, ""),
        };
        Wanted { os: "linux".to_owned(), architecture: architecture.to_owned(), variant: variant.to_owned() }
    }

    /// Whether something for this operating system, architecture and variant runs there.
    pub fn accepts(&self, os: &str, architecture: &str, variant: Option<&str>) -> bool {
        self.rank(os, architecture, variant).is_some()
    }

    /// Whether this is the very architecture, by whatever name, and not just one that runs there too.
    pub(crate) fn is_architecture(&self, architecture: &str) -> bool {
        normalize(architecture, "").0 == self.architecture
    }

    /// How well something fits: 0 is best.
    fn rank(&self, os: &str, architecture: &str, variant: Option<&str>) -> Option<usize> {
        let (architecture, variant) = normalize(architecture, variant.unwrap_or(""));
        let candidates = self.candidates();
        candidates.iter().position(|(a, v)| *a == architecture && *v == variant).filter(|_| self.os == os)
    }

    /// Architectures with variants that run here, the best first.
    fn candidates(&self) -> Vec<(&str, String)> {
        let architecture = self.architecture.as_str();
        let mut list = vec![(architecture, self.variant.clone())];
        let number = |variant: &str| variant.trim_start_matches('v').parse::<u32>().ok();
        match architecture {
            "amd64" => {
                let below = number(&self.variant).map_or(0..0, |own| 2..own);
                list.extend(below.rev().map(|v| (architecture, format!("v{v}"))));
                list.push((architecture, String::new()));
                list.push(("386", String::new()));
            }
            "arm" => {
                let below = number(&self.variant).map_or(0..0, |own| 5..own);
                list.extend(below.rev().map(|v| (architecture, variant_of_arm(v))));
            }
            "arm64" => {
                list.push((architecture, String::new()));
                list.extend([8, 7, 6, 5].map(|v| ("arm", variant_of_arm(v))));
            }
            _ => {}
        }
        list
    }

    /// The best entry of an index. Entries without a platform are taken if nothing else fits, as containerd does.
    pub fn best<'m>(&self, manifests: &'m [Descriptor]) -> Option<&'m Descriptor> {
        let rank = |platform: &Platform| self.rank(&platform.os, &platform.architecture, platform.variant.as_deref());
        let fitting = manifests.iter().filter_map(|entry| Some((rank(entry.platform.as_ref()?)?, entry)));
        let best = fitting.min_by_key(|(rank, _)| *rank).map(|(_, entry)| entry);
        best.or_else(|| manifests.iter().find(|entry| entry.platform.is_none()))
    }
}

impl FromStr for Wanted {
    type Err = ParsePlatformError;

    /// `os/architecture[/variant]`, or the architecture alone, meaning Linux.
    fn from_str(text: &str) -> Result<Self, ParsePlatformError> {
        let bad = || ParsePlatformError(text.to_owned());
        let parts: Vec<&str> = text.split('/').collect();
        let is_word =
            |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
        if !parts.iter().all(is_word) {
            return Err(bad());
        }
        let (os, architecture, variant) = match parts.as_slice() {
            ["linux"] => return Ok(Wanted::host()),
            [architecture] => ("linux", *architecture, ""),
            [os, architecture] => (*os, *architecture, ""),
            [os, architecture, variant] => (*os, *architecture, *variant),
            _ => return Err(bad()),
        };
        let (os, lower) = (os.to_ascii_lowercase(), architecture.to_ascii_lowercase());
        let (architecture, variant) = normalize(&lower, variant);
        Ok(Wanted { os, architecture: architecture.to_owned(), variant: variant.to_owned() })
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if self.variant.is_empty() { Ok(()) } else { write!(f, "/{}", self.variant) }
    }
}

/// A platform as Docker writes it.
pub(crate) fn display(os: &str, architecture: &str, variant: Option<&str>) -> String {
    match variant.filter(|variant| !variant.is_empty()) {
        Some(variant) => format!("{os}/{architecture}/{variant}"),
        None => format!("{os}/{architecture}"),
    }
}

fn variant_of_arm(version: u32) -> String {
    normalize("arm", &format!("v{version}")).1.to_owned()
}

/// One name for each architecture and variant (containerd's `normalizeArch`): baselines have no variant.
fn normalize<'t>(architecture: &'t str, variant: &'t str) -> (&'t str, &'t str) {
    match (architecture, variant) {
        ("x86_64" | "x86-64" | "amd64", "" | "v1") => ("amd64", ""),
        ("x86_64" | "x86-64", variant) => ("amd64", variant),
        ("i386" | "i686" | "x86" | "386", _) => ("386", ""),
        ("aarch64" | "arm64", "" | "8" | "v8" | "v8.0") => ("arm64", ""),
        ("aarch64", variant) => ("arm64", variant),
        ("armhf", _) => ("arm", "v7"),
        ("armel", _) => ("arm", "v6"),
        ("arm", "" | "7") => ("arm", "v7"),
        ("arm", "5") => ("arm", "v5"),
        ("arm", "6") => ("arm", "v6"),
        ("arm", "8") => ("arm", "v8"),
        ("powerpc64le", variant) => ("ppc64le", variant),
        ("loongarch64", variant) => ("loong64", variant),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(platform: &str) -> Descriptor {
        let mut json = format!(r#"{{"digest":"sha256:{}","size":1"#, "00".repeat(32));
        if !platform.is_empty() {
            let parts: Vec<&str> = platform.split('/').collect();
            let variant = parts.get(2).map_or(String::new(), |v| format!(r#","variant":"{v}""#));
            json += &format!(r#","platform":{{"os":"{}","architecture":"{}"{variant}}}"#, parts[0], parts[1]);
        }
        serde_json::from_str(&(json + "}")).unwrap()
    }

    #[test]
    fn the_best_entry_of_an_index() {
        let arms = ["linux/amd64", "linux/arm/v5", "linux/arm/v7", "linux/arm/v6", "linux/arm64/v8", "unknown/unknown"];
        for (wanted, offered, best) in [
            ("linux/amd64", &arms[..], Some(0)),
            ("linux/arm64", &arms, Some(4)),
            ("linux/arm", &arms, Some(2)),
            ("linux/arm/v6", &arms, Some(3)),
            ("linux/arm/v8", &arms, Some(2)),
            ("aarch64", &["linux/arm/v7"], Some(0)),
            ("amd64", &["linux/386", "windows/amd64", "linux/amd64/v1"], Some(2)),
            ("amd64", &["linux/amd64/v3", "linux/amd64/v2", "linux/386"], Some(2)),
            ("linux/amd64/v3", &["linux/amd64", "linux/amd64/v2"], Some(1)),
            ("linux/amd64/v2", &["linux/amd64/v3", "linux/amd64"], Some(1)),
            ("linux/s390x", &arms, None),
            ("linux/s390x", &["linux/amd64", ""], Some(1)),
            ("windows/amd64", &["linux/amd64"], None),
        ] {
            let wanted: Wanted = wanted.parse().unwrap();
            let entries: Vec<Descriptor> = offered.iter().map(|text| entry(text)).collect();
            let found = wanted.best(&entries).and_then(|found| entries.iter().position(|e| std::ptr::eq(e, found)));
            assert_eq!(found, best, "{wanted} of {offered:?}");
        }
    }

    #[test]
    fn platforms_are_written_in_many_ways() {
        for (text, shown) in [
            ("linux/x86_64", "linux/amd64"),
            ("Linux/AMD64/v1", "linux/amd64"),
            ("arm64/v8/x/y", ""),
            ("linux/arm64/v8", "linux/arm64"),
            ("armhf", "linux/arm/v7"),
            ("linux//v8", ""),
            ("", ""),
            ("linux/amd64;rm", ""),
        ] {
            let parsed = text.parse::<Wanted>().map(|wanted| wanted.to_string());
            assert_eq!(parsed.unwrap_or_default(), shown, "{text}");
        }
        assert!(Wanted::host().accepts("linux", Wanted::host().architecture.as_str(), None));
    }
}
