//! Options of docker, podman and skopeo that are not there on purpose, and what to do instead.

const COMPRESS: &str = "layers are copied as they are, so that their digests stay: push --compression-format compresses them, and so does skopeo copy --dest-compress-format";
const CRYPT: &str = "layers are neither encrypted nor decrypted here: skopeo copy does that";
const DAEMON: &str = "docker's own store is reached by docker save and docker load: docker-archive:FILE";
const PLATFORM: &str = "use --platform OS/ARCH[/VARIANT] after the command";
const POLICY: &str = "no policy of signatures is looked at: leave it out";
const SHARED: &str = "a layout has its blobs within it: leave it out";
const SIGN: &str = "nothing is signed here: sign what is at the registry, with cosign";
const TOKEN: &str = "tokens are asked for with a login: use --creds, --authfile or carboy login";

/// What to do instead of an option that no command knows, as it was typed.
pub(crate) fn instead_of(option: &str) -> Option<&'static str> {
    let name = option.split('=').next().unwrap_or(option);
    // skopeo's options for the two sides.
    let name = name.strip_prefix("--src-").or_else(|| name.strip_prefix("--dest-")).unwrap_or(name);
    Some(match name.trim_start_matches('-') {
        "compress" | "compress-format" | "compress-level" | "decompress" => COMPRESS,
        "compression-format" => COMPRESS,
        "compression-level" => "the compressor's usual level is taken: leave it out",
        "force-compression" => "push --compression-format always compresses what is not yet: leave it out",
        "encryption-key" | "decryption-key" | "encrypt-layer" => CRYPT,
        "daemon-host" => DAEMON,
        "override-os" | "override-arch" | "override-variant" => PLATFORM,
        "insecure-policy" | "signature-policy" | "registries.d" => POLICY,
        "shared-blob-dir" => SHARED,
        "sign-by" | "sign-by-sigstore" | "sign-by-sigstore-private-key" | "sign-identity" | "sign-passphrase-file" => {
            SIGN
        }
        "registry-token" => TOKEN,
        "precompute-digests" => "digests are known before anything is sent: leave it out",
        "oci-accept-uncompressed-layers" => "layers are copied as they are: leave it out",
        "platform" => "an image in the store is of one platform, chosen when it is pulled: leave it out",
        "compatible" => "the columns are docker's in any case: leave it out",
        "history" => "the names that an image once had are not kept: leave it out",
        "features" => "use --os-features or --annotation",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_others() {
        for (option, words) in [
            ("--dest-compress-format=zstd", "skopeo copy"),
            ("--sign-by", "cosign"),
            ("--src-registry-token", "--creds"),
            ("--override-arch", "--platform"),
            ("--history", "leave it out"),
        ] {
            assert!(instead_of(option).is_some_and(|text| text.contains(words)), "{option}");
        }
        assert_eq!(instead_of("--no-such-thing"), None);
    }
}
