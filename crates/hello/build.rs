//! Compiles `program/` by itself, and assembles the image around it: a layer, a configuration, a manifest, and their digests.
//!
//! Everything is done here so that the engine carries finished bytes. The same compiler gives the same image: no path of the
//! building machine and no time of day gets in.

use sha2::{Digest, Sha256};
use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// 2026-11-21T00:00:00Z: some fixed moment, for the files and for `created`.
const MOMENT: (u64, &str) = (1_795_219_200, "2026-11-21T00:00:00Z");

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=program");
    println!("cargo::rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let program = compile(&out)?;
    let layer = layer(&program);
    let config = config(&layer)?;
    let manifest = manifest(&layer, &config);
    std::fs::write(out.join("layer.tar"), &layer)?;
    std::fs::write(out.join("config.json"), &config)?;
    std::fs::write(out.join("manifest.json"), &manifest)?;
    let constants = format!(
        "const LAYER_DIGEST: &str = {:?};\nconst CONFIG_DIGEST: &str = {:?};\nconst MANIFEST_DIGEST: &str = {:?};\n",
        digest(&layer),
        digest(config.as_bytes()),
        digest(manifest.as_bytes()),
    );
    std::fs::write(out.join("digests.rs"), constants)?;
    Ok(())
}

/// The program, static, as small as the standard library allows.
fn compile(out: &Path) -> Result<Vec<u8>, Box<dyn Error>> {
    let target = env::var("TARGET")?;
    let source = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("program/main.rs");
    let binary = out.join("hello");
    let mut command = Command::new(env::var("RUSTC")?);
    command.args(["--edition=2024", "--crate-name=hello", "--crate-type=bin", "--target", &target]);
    for option in [
        "opt-level=s",
        "panic=abort",
        "strip=symbols",
        "lto=fat",
        "codegen-units=1",
        "target-feature=+crt-static",
        "relocation-model=static",
    ] {
        command.args(["-C", option]);
    }
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        command.arg(format!("-Clinker={linker}"));
    }
    command.arg(format!("--remap-path-prefix={}=hello", env::var("CARGO_MANIFEST_DIR")?));
    let status = command.arg("-o").arg(&binary).arg(&source).status()?;
    if !status.success() {
        return Err(format!("{} failed to compile {}: {status}", env::var("RUSTC")?, source.display()).into());
    }
    Ok(std::fs::read(&binary)?)
}

/// A tar of the program, the directories that a container mounts over, and who root is.
fn layer(program: &[u8]) -> Vec<u8> {
    let mut tar = Vec::with_capacity(program.len() + 16 * 512);
    for (name, mode) in [("dev/", 0o755), ("etc/", 0o755), ("proc/", 0o555), ("sys/", 0o555), ("tmp/", 0o1777)] {
        entry(&mut tar, name, mode, None);
    }
    entry(&mut tar, "etc/passwd", 0o644, Some(b"root:x:0:0:root:/:/hello\nnobody:x:65534:65534:nobody:/:/hello\n"));
    entry(&mut tar, "etc/group", 0o644, Some(b"root:x:0:\nnogroup:x:65534:\n"));
    entry(&mut tar, "hello", 0o755, Some(program));
    tar.extend([0; 1024]);
    tar
}

/// One ustar entry (POSIX.1-1988): a header of 512 bytes, then the content padded to blocks.
fn entry(tar: &mut Vec<u8>, name: &str, mode: u32, content: Option<&[u8]>) {
    let mut header = [0u8; 512];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    let size = content.map_or(0, <[u8]>::len);
    put(0, name.as_bytes());
    put(100, format!("{mode:07o}\0").as_bytes());
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, format!("{:011o}\0", MOMENT.0).as_bytes());
    put(148, b"        ");
    put(156, if content.is_some() { b"0" } else { b"5" });
    put(257, b"ustar\x0000");
    put(265, b"root");
    put(297, b"root");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    tar.extend(header);
    tar.extend(content.unwrap_or_default());
    tar.resize(tar.len().next_multiple_of(512), 0);
}

/// GOARCH's word for the target.
fn architecture() -> Result<String, Box<dyn Error>> {
    let arch = env::var("CARGO_CFG_TARGET_ARCH")?;
    Ok(match arch.as_str() {
        "x86_64" => "amd64".to_owned(),
        "x86" => "386".to_owned(),
        "aarch64" => "arm64".to_owned(),
        "powerpc64" => "ppc64le".to_owned(),
        "loongarch64" => "loong64".to_owned(),
        _ => arch,
    })
}

/// The image configuration (image-spec 1.1, "OCI Image Configuration").
fn config(layer: &[u8]) -> Result<String, Box<dyn Error>> {
    Ok(format!(
        concat!(
            r#"{{"created":"{created}","architecture":"{architecture}","os":"linux","#,
            r#""config":{{"Env":["PATH=/"],"Entrypoint":["/hello"],"WorkingDir":"/","Labels":{{"#,
            r#""org.carboy.report":"1","org.opencontainers.image.title":"hello","#,
            r#""org.opencontainers.image.description":"Reports from the inside what isolates it","#,
            r#""org.opencontainers.image.licenses":"Apache-2.0","#,
            r#""org.opencontainers.image.version":"{version}"}}}},"#,
            r#""rootfs":{{"type":"layers","diff_ids":["{layer}"]}},"#,
            r#""history":[{{"created":"{created}","created_by":"embedded in carboy","comment":"a static program and nothing else"}}]}}"#,
        ),
        created = MOMENT.1,
        architecture = architecture()?,
        version = env::var("CARGO_PKG_VERSION")?,
        layer = digest(layer),
    ))
}

/// The manifest (image-spec 1.1, "OCI Image Manifest").
fn manifest(layer: &[u8], config: &str) -> String {
    let kind = "application/vnd.oci.image";
    format!(
        concat!(
            r#"{{"schemaVersion":2,"mediaType":"{kind}.manifest.v1+json","#,
            r#""config":{{"mediaType":"{kind}.config.v1+json","digest":"{config}","size":{config_size}}},"#,
            r#""layers":[{{"mediaType":"{kind}.layer.v1.tar","digest":"{layer}","size":{layer_size}}}]}}"#,
        ),
        kind = kind,
        config = digest(config.as_bytes()),
        config_size = config.len(),
        layer = digest(layer),
        layer_size = layer.len(),
    )
}

fn digest(bytes: &[u8]) -> String {
    let mut text = String::from("sha256:");
    for byte in Sha256::digest(bytes) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}
