//! Mounts with their options.

use crate::common::Bundle;
use serde_json::json;

#[test]
#[ignore = "needs root: makes containers"]
fn files_and_directories_are_bound() {
    let mut bundle = Bundle::script(
        "cat /data/f /made/for/file; touch /data/new && echo wrote; touch /ro/x; touch /rro/sub/x; cat /link/target/f",
    );
    let data = bundle.path().join("data");
    std::fs::create_dir_all(data.join("sub")).unwrap();
    std::fs::write(data.join("f"), "content\n").unwrap();
    std::os::unix::fs::symlink("/elsewhere", bundle.rootfs().join("link")).unwrap();
    let bind = |to: &str, from: &std::path::Path, options: &[&str]| json!({ "destination": to, "type": "bind", "source": from, "options": options });
    bundle.add_mount(bind("/data", &data, &["rbind", "rprivate"]));
    bundle.add_mount(bind("/made/for/file", &data.join("f"), &["bind", "ro"]));
    bundle.add_mount(bind("/ro", &data, &["bind", "ro"]));
    bundle.add_mount(bind("/rro", &data, &["rbind", "rro"]));
    bundle.add_mount(bind("/link/target", &data, &["rbind"]));
    let said = bundle.run();
    assert_eq!(said.out, "content\ncontent\nwrote\ncontent\n");
    assert_eq!(said.err.matches("Read-only file system").count(), 2, "{}", said.err);
    assert!(bundle.rootfs().join("elsewhere/target").is_dir(), "the link was followed inside the root");
    assert!(data.join("new").exists());
}

#[test]
#[ignore = "needs root: makes containers"]
fn a_tmpfs_may_begin_with_what_it_covers() {
    let mut bundle = Bundle::script(
        "cat /etc/inner/f; readlink /etc/l; stat -c %a:%u /etc/inner/f; echo new > /etc/inner/f; touch /etc2/x",
    );
    std::fs::create_dir(bundle.rootfs().join("etc/inner")).unwrap();
    std::fs::write(bundle.rootfs().join("etc/inner/f"), "old\n").unwrap();
    std::os::unix::fs::symlink("nowhere", bundle.rootfs().join("etc/l")).unwrap();
    bundle.add_mount(
        json!({ "destination": "/etc", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup", "size=1m"] }),
    );
    bundle.add_mount(json!({ "destination": "/etc2", "type": "tmpfs", "source": "tmpfs", "options": ["ro"] }));
    let said = bundle.run();
    assert_eq!(said.out, "old\nnowhere\n644:0\n");
    assert!(said.err.contains("Read-only file system"));
    assert_eq!(std::fs::read_to_string(bundle.rootfs().join("etc/inner/f")).unwrap(), "old\n");
}

#[test]
#[ignore = "needs root: makes containers"]
fn nothing_of_it_reaches_the_host() {
    for propagation in ["private", "rslave", "rshared", "shared"] {
        let mut bundle = Bundle::script(
            "mount -t tmpfs x /tmp; cat /proc/self/mountinfo | wc -l > /count; cat /proc/self/mountinfo",
        );
        bundle.set("process/capabilities/effective", json!(["CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE"]));
        bundle.set("process/capabilities/permitted", json!(["CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE"]));
        bundle.set("process/capabilities/bounding", json!(["CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE"]));
        bundle.set("linux/rootfsPropagation", json!(propagation));
        let table = bundle.run().good();
        assert!(table.contains(" /tmp "), "{table}");
        let points =
            |table: &str| table.lines().filter_map(|l| l.split(' ').nth(4).map(str::to_owned)).collect::<Vec<_>>();
        let own = bundle.path().to_str().unwrap();
        assert!(!points(&table).iter().any(|point| point.contains(own)), "{propagation}: {table}");
        let mine = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!points(&mine).iter().any(|point| point.contains(own)), "{propagation}: {mine}");
        assert!(mine.contains(" /proc "), "{propagation}: the host lost its mounts");
    }
}

#[test]
#[ignore = "needs root: makes containers"]
fn the_cgroups_are_mounted_read_only() {
    let bundle = Bundle::script("ls /sys/fs/cgroup; mkdir /sys/fs/cgroup/*/x /sys/fs/cgroup/x");
    let said = bundle.run();
    assert!(said.out.contains("memory"), "{}", said.out);
    assert!(said.err.contains("Read-only file system") && !said.err.contains("File exists"), "{}", said.err);
}

#[test]
#[ignore = "needs root: makes containers"]
fn no_pivot_also_runs() {
    let bundle = Bundle::script("ls / | wc -l; cat /proc/1/cmdline | head -c 2");
    let said = bundle.call(&["run", "--no-pivot", &bundle.name]);
    assert!(said.good().ends_with("sh"));
}

#[test]
#[ignore = "needs root: makes containers"]
fn an_idmapped_mount_shifts_owners() {
    let mut bundle = Bundle::script("stat -c %u:%g /mapped/f");
    let data = bundle.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("f"), "").unwrap();
    let map = json!([{ "containerID": 0, "hostID": 4000, "size": 1000 }]);
    bundle.add_mount(json!({ "destination": "/mapped", "type": "bind", "source": data, "options": ["bind"],
        "uidMappings": map, "gidMappings": map }));
    const TMPFS: rustix::fs::FsWord = 0x0102_1994;
    let said = bundle.run();
    if rustix::fs::statfs(&data).unwrap().f_type == TMPFS && said.code != 0 {
        // tmpfs can be idmapped from Linux 6.3 on.
        said.fails_with(1, "mount /mapped in init: idmap");
        return;
    }
    assert_eq!(said.good(), "4000:4000\n");
}

/// The spec's table "Linux mount options", and what a mount of each then shows (proc_pid_mountinfo(5)). Without a word of access times the
/// kernel's default is relatime.
const OPTIONS: &[(&str, &[&str])] = &[
    ("async", &["rw"]),
    ("atime", &["relatime"]),
    ("defaults", &["rw", "relatime"]),
    ("dev", &["rw"]),
    ("diratime", &["rw"]),
    ("dirsync", &["dirsync"]),
    ("exec", &["rw"]),
    ("iversion", &["rw"]),
    ("lazytime", &["lazytime"]),
    ("loud", &["rw"]),
    ("mand", &["mand"]),
    ("noatime", &["noatime"]),
    ("nodev", &["nodev"]),
    ("nodiratime", &["nodiratime"]),
    ("noexec", &["noexec"]),
    ("noiversion", &["rw"]),
    ("nolazytime", &["rw"]),
    ("nomand", &["rw"]),
    ("norelatime", &["relatime"]),
    ("nostrictatime", &["relatime"]),
    ("nosuid", &["nosuid"]),
    ("nosymfollow", &["nosymfollow"]),
    ("private", &["rw"]),
    ("ratime", &["relatime"]),
    ("rdev", &["rw"]),
    ("rdiratime", &["rw"]),
    ("relatime", &["relatime"]),
    ("rexec", &["rw"]),
    ("rnoatime", &["noatime"]),
    ("rnodev", &["nodev"]),
    ("rnodiratime", &["nodiratime"]),
    ("rnoexec", &["noexec"]),
    ("rnorelatime", &["relatime"]),
    ("rnostrictatime", &["relatime"]),
    ("rnosuid", &["nosuid"]),
    ("rnosymfollow", &["nosymfollow"]),
    ("ro", &["ro"]),
    ("rprivate", &["rw"]),
    ("rrelatime", &["relatime"]),
    ("rro", &["ro"]),
    ("rrw", &["rw"]),
    ("rshared", &["shared:"]),
    ("rslave", &["rw"]),
    ("rstrictatime", &["rw"]),
    ("rsuid", &["rw"]),
    ("rsymfollow", &["rw"]),
    ("runbindable", &["unbindable"]),
    ("rw", &["rw"]),
    ("shared", &["shared:"]),
    ("silent", &["rw"]),
    ("slave", &["rw"]),
    ("strictatime", &["rw"]),
    ("suid", &["rw"]),
    ("symfollow", &["rw"]),
    ("sync", &["sync"]),
    ("tmpcopyup", &["rw"]),
    ("unbindable", &["unbindable"]),
];

#[test]
#[ignore = "needs root: makes containers"]
fn every_option_of_the_spec_is_understood() {
    let mut bundle = Bundle::script("cat /proc/self/mountinfo");
    for (option, _) in OPTIONS {
        let point = format!("/made/{option}");
        bundle.add_mount(json!({ "destination": point, "type": "tmpfs", "source": "t", "options": [option] }));
        let bound = format!("/bound/{option}");
        if !matches!(*option, "tmpcopyup" | "dirsync" | "lazytime" | "mand" | "sync") {
            bundle.add_mount(
                json!({ "destination": bound, "type": "none", "source": "rootfs/etc", "options": ["rbind", option] }),
            );
        }
    }
    let said = bundle.run();
    let table = said.out.clone();
    said.good();
    for (option, words) in OPTIONS {
        for place in ["made", "bound"] {
            let point = format!("/{place}/{option}");
            let Some(line) = table.lines().find(|line| line.split(' ').nth(4) == Some(&point)) else {
                assert!(place == "bound", "{point}: {table}");
                continue;
            };
            for word in *words {
                let has =
                    line.split([' ', ',']).any(|part| part == *word || (word.ends_with(':') && part.starts_with(word)));
                assert!(has, "{point} is not {word}: {line}");
            }
            let strict = option.ends_with("strictatime") && !option.contains("no");
            assert!(!strict || !line.contains("relatime") && !line.contains("noatime"), "{line}");
        }
    }
    let features: serde_json::Value = serde_json::from_str(&bundle.call(&["features"]).good()).unwrap();
    let known = features["mountOptions"].as_array().unwrap();
    for option in OPTIONS.iter().map(|(option, _)| *option).chain(["bind", "rbind", "remount", "idmap", "ridmap"]) {
        assert!(known.contains(&json!(option)), "{option} is missing in features");
    }
}

/// A mount of the test's own, gone with it.
struct Mounted(std::path::PathBuf);

impl Mounted {
    fn new(args: &[&str], point: &std::path::Path) -> Mounted {
        assert!(std::process::Command::new("mount").args(args).arg(point).status().unwrap().success());
        Mounted(point.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
#[ignore = "needs root: makes containers"]
fn the_root_propagates_as_asked() {
    for (word, shows, hears) in [
        ("slave", "master:", true),
        ("private", "", false),
        ("shared", "shared:", false),
        ("unbindable", "unbindable", false),
    ] {
        let mut bundle =
            Bundle::script("cat /proc/self/mountinfo; while test ! -e /tmp/go; do sleep 0.05; done; ls /etc");
        bundle.set("linux/rootfsPropagation", json!(word));
        let rootfs = bundle.rootfs();
        let _own = Mounted::new(&["--bind", rootfs.to_str().unwrap()], &rootfs);
        assert!(std::process::Command::new("mount").arg("--make-shared").arg(&rootfs).status().unwrap().success());
        let out = bundle.create();
        bundle.call(&["start", &bundle.name]).good();
        let late = Mounted::new(&["-t", "tmpfs", "t"], &rootfs.join("etc"));
        std::fs::write(rootfs.join("etc/mounted-later"), "").unwrap();
        std::fs::write(rootfs.join("tmp/go"), "").unwrap();
        bundle.wait_for("stopped");
        let text = std::fs::read_to_string(out).unwrap();
        let root = text.lines().find(|line| line.split(' ').nth(4) == Some("/")).unwrap();
        let fields = root.split(" - ").next().unwrap().split(' ').skip(6).collect::<Vec<_>>();
        let is = if shows.is_empty() { fields.is_empty() } else { fields.len() == 1 && fields[0].starts_with(shows) };
        assert!(is, "{word}: {text}");
        assert_eq!(text.contains("mounted-later"), hears, "{word}: {text}");
        drop(late);
    }
}
