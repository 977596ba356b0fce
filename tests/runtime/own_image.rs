//! The way from a container back to the runtime's own executable (CVE-2019-5736): there is none that could be written through.

use crate::common::Bundle;
use rustix::fs::{StatVfsMountFlags, statvfs};
use std::os::unix::fs::MetadataExt;
use std::process::{Command, ExitStatus, Stdio};

#[test]
#[ignore = "needs root: makes containers"]
fn neither_link_nor_mapping_leads_to_a_writable_mount() {
    create_behind_read_only_mounts(|mut create| create.status().unwrap());
}

/// Creates a container by a copy of the runtime that could be written to, and looks at what init shows of it.
pub(crate) fn create_behind_read_only_mounts(call: impl FnOnce(Command) -> ExitStatus) {
    let bundle = Bundle::new();
    let program = bundle.path().join("runtime");
    crate::common::copy_binary(&program);
    let file = std::fs::metadata(&program).unwrap();
    // What writes the configuration.
    drop(bundle.command(&[]));
    let mut command = Command::new(&program);
    command.arg("--root").arg(bundle.state_root()).args(["create", "-b"]).arg(bundle.path()).arg(&bundle.name);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    assert!(call(command).success());
    let pid = bundle.state()["pid"].as_i64().unwrap();
    // init waits for `start`: a copy of the runtime, in the container.
    let exe = format!("/proc/{pid}/exe");
    let is_read_only = |path: &str| statvfs(path).unwrap().f_flag.contains(StatVfsMountFlags::RDONLY);
    let found = std::fs::metadata(&exe).unwrap();
    assert_eq!((found.dev(), found.ino()), (file.dev(), file.ino()));
    assert!(is_read_only(&exe));
    let mut mapped = 0;
    for entry in std::fs::read_dir(format!("/proc/{pid}/map_files")).unwrap() {
        let path = entry.unwrap().path();
        let metadata = std::fs::metadata(&path).unwrap();
        assert_eq!((metadata.dev(), metadata.ino()), (file.dev(), file.ino()), "{}", path.display());
        assert!(is_read_only(path.to_str().unwrap()), "{}", path.display());
        mapped += 1;
    }
    assert!(mapped > 0);
    bundle.call(&["delete", "-f", &bundle.name]).good();
}
