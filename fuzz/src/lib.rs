//! Every parser of hostile input behind a function of bytes: whatever they are, it returns, in bounded time and memory.
//!
//! `fn(&[u8])` is what any fuzzer calls; [`drive`] is one of our own, which needs nothing but a stable compiler. Seeds are in `corpus/`, a
//! folder for each target; what a run finds becomes a file there, and so a regression test of `tests/smoke.rs`.

mod drive;
mod mutate;

pub use drive::{Budget, Outcome, drive};

/// A target.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, and that of its folder of seeds.
    pub name: &'static str,
    /// What is tried. It panics if what must hold of the parser's answer does not.
    pub run: fn(&[u8]),
    /// Words of the format, put in now and then.
    pub words: &'static [&'static [u8]],
    /// Longest input, in bytes.
    pub longest: usize,
}

const JSON: &[&[u8]] = &[
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"\"",
    b":",
    b",",
    b"null",
    b"-1",
    b"1e999",
    b"18446744073709551615",
    b"4294967295",
    b"true",
    b"\"\\u0000\"",
    b"\"..\"",
    b"\"/\"",
    b"\"sha256:\"",
    b"\"mediaType\"",
    b"\"digest\"",
    b"\"size\"",
    b"\"manifests\"",
    b"\"layers\"",
    b"\"config\"",
];

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "tar", run: carboy_image::fuzz::tar, words: TAR, longest: 32 << 10 },
    Target { name: "layer", run: carboy_image::fuzz::layer, words: TAR, longest: 16 << 10 },
    Target { name: "archive", run: carboy_image::fuzz::archive, words: JSON, longest: 32 << 10 },
    Target { name: "documents", run: carboy_image::fuzz::documents, words: JSON, longest: 8 << 10 },
    Target { name: "config", run: carboy_runtime::fuzz_config, words: CONFIG, longest: 8 << 10 },
    Target { name: "reference", run: reference, words: REFERENCE, longest: 1024 },
    Target { name: "auth", run: carboy_distribution::fuzz::auth, words: AUTH, longest: 4096 },
    Target { name: "registries", run: carboy_distribution::fuzz::registries, words: REGISTRIES, longest: 4096 },
    Target { name: "hosts", run: carboy_distribution::fuzz::hosts, words: HOSTS, longest: 4096 },
    Target { name: "daemon", run: carboy_distribution::fuzz::daemon, words: DAEMON, longest: 4096 },
    Target { name: "sync", run: carboy_cli::fuzz_sync_yaml, words: SYNC, longest: 4096 },
    Target { name: "challenge", run: carboy_distribution::fuzz::challenge, words: CHALLENGE, longest: 2048 },
];

const TAR: &[&[u8]] = &[
    b"ustar\x0000",
    b"ustar  \0",
    b"././@LongLink",
    b".wh.",
    b".wh..wh..opq",
    b"../",
    b"/",
    b"11 path=a/b\n",
    b"SCHILY.xattr.",
    b"trusted.overlay.opaque",
    b"GNU.sparse.major=1\n",
    b"GNU.sparse.map=",
    b"\x80\0\0\0\0\0\0\0\0\0\0\x01",
    b"\xff\xff\xff\xff\xff\xff\xff\xff",
    b"00000000000\0",
    b"77777777777\0",
    b"\x1f\x8b\x08\0",
    b"\x28\xb5\x2f\xfd",
];
const CONFIG: &[&[u8]] = &[
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"\"",
    b":",
    b",",
    b"null",
    b"-1",
    b"18446744073709551615",
    b"4294967295",
    b"9223372036854775807",
    b"\"type\"",
    b"\"path\"",
    b"\"mounts\"",
    b"\"destination\"",
    b"\"options\"",
    b"\"rbind\"",
    b"\"idmap\"",
    b"\"linux\"",
    b"\"namespaces\"",
    b"\"user\"",
    b"\"uidMappings\"",
    b"\"seccomp\"",
    b"\"syscalls\"",
    b"\"SCMP_ACT_ERRNO\"",
    b"\"SCMP_CMP_MASKED_EQ\"",
    b"\"resources\"",
    b"\"memory\"",
    b"\"limit\"",
    b"\"devices\"",
    b"\"../..\"",
    b"\"/proc/self/fd/3\"",
    b"\"hooks\"",
    b"\"timeOffsets\"",
    b"\"rlimits\"",
    b"\"sysctl\"",
    b"\"memoryPolicy\"",
    b"\"0-1023\"",
];
const REFERENCE: &[&[u8]] = &[
    b":",
    b"/",
    b"@",
    b"sha256:",
    b"localhost",
    b"[::1]",
    b"..",
    b"__",
    b"--",
    b".",
    b":5000",
    b"docker.io/",
    b"library/",
    b"index.docker.io",
    b"\xc3\xbc",
];
const AUTH: &[&[u8]] = &[
    b"\"auths\"",
    b"\"auth\"",
    b"\"identitytoken\"",
    b"\"username\"",
    b"\"password\"",
    b"{",
    b"}",
    b":",
    b"\"\"",
    b"Og==",
    b"null",
    b"https://",
    b"/v1/",
];
const CHALLENGE: &[&[u8]] =
    &[b"Bearer ", b"Basic ", b"realm=", b"\"", b"\\\"", b",", b"=", b"scope=", b"service=", b" ", b"\t", b"\xc3\xa9"];

const REGISTRIES: &[&[u8]] = &[
    b"[[registry]]\n",
    b"prefix = \"\"\n",
    b"location = \"\"\n",
    b"[[registry.mirror]]\n",
    b"*.",
    b"blocked = true\n",
    b"insecure = true\n",
    b"[aliases]\n",
    b"unqualified-search-registries = []\n",
    b"short-name-mode = \"\"\n",
    b"\"",
    b"=",
    b"[",
    b"]",
    b"/",
];

const HOSTS: &[&[u8]] = &[
    b"server = \"https://\"\n",
    b"[host.\"https://\"]\n",
    b"[host.\"\"]\n",
    b"capabilities = [\"pull\", \"resolve\", \"push\"]\n",
    b"ca = [\"\"]\n",
    b"client = [[\"\", \"\"]]\n",
    b"skip_verify = true\n",
    b"override_path = true\n",
    b"dial_timeout = \"1m30s\"\n",
    b"[host.\"x\".header]\n",
    b"http://",
    b"/v2",
    b"[::1]:5000",
    b"user@",
    b"1e999s",
    b"\"",
    b"=",
    b"[",
    b"]",
];
const DAEMON: &[&[u8]] = &[
    b"\"registry-mirrors\"",
    b"\"insecure-registries\"",
    b"\"https://\"",
    b"\"http://a/b/\"",
    b"\"127.0.0.0/8\"",
    b"\"::/0\"",
    b"/129",
    b"/-1",
    b"[::1]:5000",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b"null",
];
const SYNC: &[&[u8]] = &[
    b"images:\n",
    b"images-by-tag-regex:\n",
    b"images-by-semver:\n",
    b"credentials: {username: a, password: b}\n",
    b"tls-verify: true\n",
    b"cert-dir: /x\n",
    b"    ",
    b"- ",
    b"? ",
    b": ",
    b"&a ",
    b"*a",
    b"<<: ",
    b"!!map ",
    b"|\n",
    b">-\n",
    b"---\n",
    b"...\n",
    b"%YAML 1.2\n",
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b"'",
    b"#",
    b"\t",
    b"\xef\xbb\xbf",
    b"\r\n",
    b"\\x",
];

/// A reference that was understood is written as one that means the same.
fn reference(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(reference) = carboy_oci::Reference::parse(text) else { return };
    for written in [reference.to_string(), reference.familiar()] {
        let again = carboy_oci::Reference::parse(&written);
        assert_eq!(again.as_ref().ok(), Some(&reference), "{text:?} became {written:?}");
    }
    // Both become parts of addresses and of file names.
    let harmless = |part: &str| {
        !part.contains("..") && !part.starts_with('/') && !part.contains(['\0', ' ', '?', '#', '%', '\\', '\n'])
    };
    assert!(harmless(reference.path()) && harmless(reference.domain()), "{text:?}");
}
