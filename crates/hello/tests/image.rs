//! The image is what it says, and its program runs, also where almost nothing can be seen.
#![allow(clippy::unwrap_used, reason = "a test")]

use carboy_hello::{Context, VARIABLE, image};
use carboy_oci::image::{ImageConfig, Manifest};
use sha2::{Digest, Sha256};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::SystemTime;

fn digest(bytes: &[u8]) -> carboy_oci::Digest {
    carboy_oci::Digest::sha256(&Sha256::digest(bytes).into())
}

#[test]
fn digests_sizes_and_documents_agree() {
    let image = image().unwrap();
    assert_eq!(
        (digest(image.manifest_bytes), image.manifest_bytes.len() as u64),
        (image.manifest.digest, image.manifest.size)
    );
    let manifest: Manifest = serde_json::from_slice(image.manifest_bytes).unwrap();
    assert_eq!(manifest.config, image.config);
    assert_eq!(digest(image.config_bytes), image.config.digest);
    let layer = &image.layers[0];
    assert_eq!(manifest.layers, std::slice::from_ref(&layer.descriptor));
    assert_eq!(digest(layer.bytes), layer.diff_id);
    let config: ImageConfig = serde_json::from_slice(image.config_bytes).unwrap();
    assert_eq!(config.rootfs.diff_ids, std::slice::from_ref(&layer.diff_id));
    assert_eq!(config.config.entrypoint.unwrap(), ["/hello"]);
    assert!(config.config.labels.contains_key(carboy_hello::LABEL));
}

/// The program out of the layer, in a file of its own.
struct Program(PathBuf);

impl Program {
    fn extract(name: &str) -> Self {
        let bytes = image().unwrap().layers[0].bytes;
        let mut at = 0;
        loop {
            let header = &bytes[at..at + 512];
            let name = header[..100].split(|byte| *byte == 0).next().unwrap();
            let size = usize::from_str_radix(std::str::from_utf8(&header[124..135]).unwrap(), 8).unwrap();
            if name == b"hello" {
                break at += 512;
            }
            at += 512 + size.next_multiple_of(512);
        }
        let path = std::env::temp_dir().join(format!("carboy-hello-{}-{name}", std::process::id()));
        let size =
            usize::from_str_radix(std::str::from_utf8(&bytes[at - 512 + 124..at - 512 + 135]).unwrap(), 8).unwrap();
        std::fs::write(&path, &bytes[at..at + size]).unwrap();
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        Program(path)
    }

    fn run(&self, arguments: &[&str], told: &str) -> Output {
        // Writing and running a program at once meets ETXTBSY when another test forks in between.
        for _ in 0..100 {
            match Command::new(&self.0).args(arguments).env(VARIABLE, told).output() {
                Err(e) if e.kind() == std::io::ErrorKind::ExecutableFileBusy => {
                    std::thread::sleep(std::time::Duration::from_millis(10));
                }
                output => return output.unwrap(),
            }
        }
        panic!("{} stays busy", self.0.display());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn the_program_reports_what_it_is_told_and_sees() {
    let program = Program::extract("report");
    let context = Context::of_this_process(SystemTime::now()).calls(311, 3, 68).limit("memory", "64m").rootless();
    assert!(context.environment().starts_with("CARBOY_HELLO=v=1 start="));
    let output = program.run(&["--json"], context.value());
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    // Not in a container: every namespace is this process's own.
    let namespaces = report["namespaces"].as_object().unwrap();
    assert!(namespaces.len() >= 6 && namespaces.values().all(|entry| entry["here"] == entry["host"]), "{namespaces:?}");
    assert!(report["start_ns"].as_u64().unwrap() < 60_000_000_000);
    assert_eq!(report["seccomp"]["allowed"], 311);
    assert_eq!(report["limits_asked"]["memory"], "64m");
    assert_eq!(report["rootless"], true);
    let names = |key: &str| report["capabilities"][key].as_array().unwrap().len();
    assert!(names("kept") + names("dropped") >= 38);

    let text = String::from_utf8(program.run(&[], context.value()).stdout).unwrap();
    assert!(text.starts_with("Hello from inside a container. From the command to this program: "), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    for label in
        ["process", "host name", "user", "namespaces", "capabilities", "system calls", "root", "cgroup", "network"]
    {
        assert!(text.lines().any(|line| line.starts_with(label)), "{label} in {text}");
    }
}

#[test]
fn nonsense_is_survived() {
    let program = Program::extract("nonsense");
    for told in ["", "v=9 start=x ns.pid= calls=,,", "====", "start=18446744073709551615"] {
        let output = program.run(&["--json"], told);
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(report["start_ns"].is_null(), "{told}");
        assert!(program.run(&[], told).status.success());
    }
    assert_eq!(program.run(&["--jsn"], "").status.code(), Some(2));
}

#[test]
#[ignore = "needs root: chroot"]
fn an_empty_root_is_no_reason_to_fail() {
    let program = Program::extract("empty");
    let root = std::env::temp_dir().join(format!("carboy-hello-root-{}", std::process::id()));
    std::fs::create_dir_all(&root).unwrap();
    std::fs::copy(&program.0, root.join("hello")).unwrap();
    let run = |arguments: &[&str]| Command::new("chroot").arg(&root).arg("/hello").args(arguments).output().unwrap();
    let (text, json) = (run(&[]), run(&["--json"]));
    std::fs::remove_dir_all(&root).unwrap();
    assert!(text.status.success(), "{text:?}");
    let report: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert!(report["root"].is_null());
}
