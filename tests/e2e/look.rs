//! `image mount` and `image diff`.

use crate::common::Env;

#[test]
#[ignore = "needs root"]
fn an_image_is_mounted_and_stays_whole() {
    let env = Env::new();
    env.load_busybox();
    let path = env.carboy(["image", "mount", "busybox"]).ok();
    let path = std::path::PathBuf::from(path.trim());
    assert!(path.join("bin/busybox").exists() && path.join("etc/passwd").exists());
    let written = std::fs::write(path.join("etc/new"), "x").unwrap_err();
    assert_eq!(written.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    assert_eq!(env.carboy(["image", "mount", "busybox"]).ok().trim(), path.to_str().unwrap(), "once");
    assert_eq!(env.carboy(["image", "mount"]).ok(), format!("busybox:latest  {}\n", path.display()));
    let id = env.carboy(["images", "-q", "--no-trunc"]).ok();
    env.carboy(["rmi", "busybox"]).ok();
    assert!(std::fs::read(path.join("etc/passwd")).is_ok(), "what is mounted stays");
    let done = env.carboy(["image", "unmount", id.trim()]).ok();
    assert_eq!(format!("sha256:{done}"), id);
    assert!(!path.exists());
    env.carboy(["image", "unmount", id.trim()]).fails(1);
    // With the mount goes what kept the layers.
    env.load_busybox();
    env.carboy(["rmi", "busybox"]).ok();
    assert_eq!(env.files(), [""; 0]);
}

#[test]
#[ignore = "needs root"]
fn what_differs_between_images() {
    let env = Env::new();
    env.load_busybox();
    let all = env.carboy(["image", "diff", "busybox"]).ok();
    assert!(all.contains("A /bin\n") && all.contains("A /bin/busybox\n") && !all.contains("\nC "), "{all}");
    let work = "rm -r /home; echo x >/etc/new; chmod 700 /root; ln -sf other /bin/ls";
    env.carboy(["run", "--name", "c", "busybox", "sh", "-c", work]).ok();
    let tar = env.carboy(["export", "c"]).output().stdout;
    env.carboy(["import", "-", "changed"]).stdin(tar).ok();
    let diff = env.carboy(["image", "diff", "changed", "busybox"]).ok();
    for line in ["C /bin\n", "C /bin/ls\n", "C /etc\n", "A /etc/new\n", "D /home\n", "C /root\n"] {
        assert!(diff.contains(line), "{line:?} in {diff}");
    }
    assert!(!diff.contains("/bin/busybox") && !diff.contains("/home/app"), "{diff}");
    let json: serde_json::Value =
        serde_json::from_str(&env.carboy(["image", "diff", "--format", "json", "changed", "busybox"]).ok()).unwrap();
    assert_eq!(json["deleted"], serde_json::json!(["/home"]));
}
