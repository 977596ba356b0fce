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
    /// Of the operating system; empty: any. Only Windows is particular about it.
    os_version: String,
    /// What the operating system has: an image may need some of it.
    os_features: Vec<String>,
}

/// Why a string is not a platform.
#[derive(Debug, thiserror::Error)]
#[error(
    "invalid platform {0:?}: expected os/architecture or os/architecture/variant, such as linux/arm64 or windows(10.0.20348)/amd64"
)]
pub struct ParsePlatformError(String);

impl Wanted {
    /// The platform of this program.
    pub fn host() -> Self {
        let (architecture, variant) = match std::env::consts::ARCH {
            "powerpc64" if cfg!(target_endian = "little") => ("ppc64le", ""),
            other => normalize(other, ""),
        };
        Wanted::of("linux", architecture, variant)
    }

    fn of(os: &str, architecture: &str, variant: &str) -> Self {
        let [os, architecture, variant] = [os, architecture, variant].map(str::to_owned);
        Wanted { os, architecture, variant, os_version: String::new(), os_features: Vec::new() }
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

    /// Whether the operating system is of a version and with the features that an image asks for.
    fn has_what_it_needs(&self, platform: &Platform) -> bool {
        let has_version = self.os != "windows"
            || match (windows_version(&self.os_version), windows_version(platform.os_version.as_deref().unwrap_or("")))
            {
                (Some(own), Some(its)) => runs_windows(own, its),
                _ => true,
            };
        has_version && platform.os_features.iter().all(|feature| self.os_features.contains(feature))
    }

    /// The best entry of an index. Entries without a platform are taken if nothing else fits, as containerd does.
    pub fn best<'m>(&self, manifests: &'m [Descriptor]) -> Option<&'m Descriptor> {
        let rank = |platform: &Platform| {
            let rank = self.rank(&platform.os, &platform.architecture, platform.variant.as_deref())?;
            let version = windows_version(platform.os_version.as_deref().unwrap_or(""));
            // Of several Windows that run there, the newest.
            self.has_what_it_needs(platform).then_some((rank, std::cmp::Reverse(version)))
        };
        let fitting = manifests.iter().filter_map(|entry| Some((rank(entry.platform.as_ref()?)?, entry)));
        let best = fitting.min_by_key(|(rank, _)| *rank).map(|(_, entry)| entry);
        best.or_else(|| manifests.iter().find(|entry| entry.platform.is_none()))
    }
}

impl FromStr for Wanted {
    type Err = ParsePlatformError;

    /// `os[(version[+feature…])]/architecture[/variant]`, or the architecture alone, meaning Linux.
    fn from_str(text: &str) -> Result<Self, ParsePlatformError> {
        let bad = || ParsePlatformError(text.to_owned());
        if let Some((os, rest)) = text.split_once('(') {
            let (inner, rest) = rest.split_once(')').ok_or_else(bad)?;
            let mut words = inner.split('+').map(str::to_owned);
            let is_sound =
                |word: &String| word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
            if !words.clone().all(|word| is_sound(&word)) {
                return Err(bad());
            }
            let plain: Wanted = format!("{os}{rest}").parse().map_err(|_| bad())?;
            let os_version = words.next().unwrap_or_default();
            return Ok(Wanted { os_version, os_features: words.filter(|word| !word.is_empty()).collect(), ..plain });
        }
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
        Ok(Wanted::of(&os, architecture, variant))
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.os)?;
        if !self.os_version.is_empty() || !self.os_features.is_empty() {
            write!(f, "({}", self.os_version)?;
            self.os_features.iter().try_for_each(|feature| write!(f, "+{feature}"))?;
            f.write_str(")")?;
        }
        write!(f, "/{}", self.architecture)?;
        if self.variant.is_empty() { Ok(()) } else { write!(f, "/{}", self.variant) }
    }
}

/// Major, minor and build of `10.0.20348.169`.
fn windows_version(text: &str) -> Option<[u32; 3]> {
    let mut parts = text.split('.').map(|part| part.parse().ok());
    Some([parts.next()??, parts.next()??, parts.next()??])
}

/// Whether a host of this version runs containers of that one. Before Server 2022 (build 20348) only those of the same build; since then those
/// down to the last long-term release.
fn runs_windows(host: [u32; 3], image: [u32; 3]) -> bool {
    const LONG_TERM: [u32; 2] = [26100, 20348];
    let ([own @ .., build], [its @ .., wanted]) = (host, image);
    let oldest = LONG_TERM.into_iter().find(|release| *release <= build).unwrap_or(build);
    own == its && (oldest..=build).contains(&wanted)
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
            // `os(version+feature)/architecture`
            let (os, inner) =
                platform.split_once('(').map_or((platform, ""), |(os, rest)| (os, rest.split(')').next().unwrap()));
            let rest = platform.rsplit(')').next().unwrap();
            let parts: Vec<&str> =
                if inner.is_empty() { platform.split('/').collect() } else { rest.split('/').collect() };
            let parts: Vec<&str> = if inner.is_empty() { parts } else { [&[os], &parts[1..]].concat() };
            let mut variant = parts.get(2).map_or(String::new(), |v| format!(r#","variant":"{v}""#));
            if let Some((version, feature)) = inner.split_once('+') {
                variant += &format!(r#","os.version":"{version}","os.features":["{feature}"]"#);
            } else if !inner.is_empty() {
                variant += &format!(r#","os.version":"{inner}""#);
            }
            json += &format!(r#","platform":{{"os":"{}","architecture":"{}"{variant}}}"#, parts[0], parts[1]);
        }
        serde_json::from_str(&(json + "}")).unwrap()
    }

    #[test]
    fn the_best_entry_of_an_index() {
        let arms = ["linux/amd64", "linux/arm/v5", "linux/arm/v7", "linux/arm/v6", "linux/arm64/v8", "unknown/unknown"];
        let windows = ["windows(10.0.17763.2)/amd64", "windows(10.0.20348.169)/amd64", "windows(10.0.26100.1)/amd64"];
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
            // Versions of Windows, as containerd compares them; Linux has none.
            ("windows(10.0.17763.1)/amd64", &windows, Some(0)),
            ("windows(10.0.20348)/amd64", &windows, Some(1)),
            ("windows(10.0.25398.5)/amd64", &windows, Some(1)),
            ("windows(10.0.26100.1)/amd64", &windows, Some(2)),
            ("windows(10.0.14393)/amd64", &windows, None),
            ("windows/amd64", &windows, Some(2)),
            ("linux/amd64", &["linux(5.10)/amd64"], Some(0)),
            // What an image needs must be there.
            ("linux/amd64", &["linux(+gpu)/amd64"], None),
            ("linux/amd64", &["linux(+gpu)/amd64", "linux/amd64"], Some(1)),
            ("linux(+net+gpu)/amd64", &["linux(+gpu)/amd64", "linux/amd64"], Some(0)),
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
            ("windows(10.0.20348+win32k)/x86_64", "windows(10.0.20348+win32k)/amd64"),
            ("linux(+a+b)/arm64", "linux(+a+b)/arm64"),
            ("windows(10/amd64", ""),
            ("windows(;)/amd64", ""),
        ] {
            let parsed = text.parse::<Wanted>().map(|wanted| wanted.to_string());
            assert_eq!(parsed.unwrap_or_default(), shown, "{text}");
        }
        assert!(Wanted::host().accepts("linux", Wanted::host().architecture.as_str(), None));
    }
}
