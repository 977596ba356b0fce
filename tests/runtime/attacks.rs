//! Images and callers that mean harm.

use crate::common::Bundle;
use serde_json::json;
use std::os::unix::fs::symlink;

fn replace_by_link(bundle: &Bundle, name: &str, target: &str) {
    let path = bundle.rootfs().join(name);
    let _ = std::fs::remove_dir_all(&path);
    symlink(target, path).unwrap();
}

#[test]
#[ignore = "needs root: makes containers"]
fn proc_and_sys_must_be_plain_directories() {
    // CVE-2019-16884, CVE-2023-27561: what is written to /proc/self/attr later would go elsewhere.
    for name in ["proc", "sys"] {
        let bundle = Bundle::new();
        std::fs::create_dir(bundle.rootfs().join("other")).unwrap();
        replace_by_link(&bundle, name, "/other");
        bundle.run().fails_with(1, "must be mounted on ordinary directory");
    }
}

#[test]
#[ignore = "needs root: makes containers"]
fn a_linked_dev_stays_inside() {
    // CVE-2026-41579: an image whose /dev is a link to a directory of the host.
    let outside = tempfile::tempdir().unwrap();
    let bundle = Bundle::new();
    replace_by_link(&bundle, "dev", outside.path().to_str().unwrap());
    let said = bundle.run();
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0, "{} {}", said.code, said.err);
    let bundle = Bundle::new();
    replace_by_link(&bundle, "dev", "../../../../../../../../../../dev");
    let before = std::fs::read_dir("/dev").unwrap().count();
    bundle.run();
    assert_eq!(std::fs::read_dir("/dev").unwrap().count(), before);
}

#[test]
#[ignore = "needs root: makes containers"]
fn mount_points_are_not_made_outside() {
    // CVE-2021-30465 without the race.
    let outside = tempfile::tempdir().unwrap();
    for target in
        [outside.path().to_str().unwrap().to_owned(), format!("../../../../../..{}", outside.path().display())]
    {
        let mut bundle = Bundle::script("ls /link");
        symlink(&target, bundle.rootfs().join("link")).unwrap();
        bundle.add_mount(json!({ "destination": "/link/x", "type": "tmpfs", "source": "tmpfs", "options": [] }));
        bundle.add_mount(
            json!({ "destination": "/link/y", "type": "bind", "source": "/etc/hostname", "options": ["bind"] }),
        );
        assert!(bundle.run().good().contains('x'));
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    }
}

#[test]
#[ignore = "needs root: makes containers"]
fn the_working_directory_is_inside() {
    // CVE-2024-21626: a descriptor of the host as working directory, directly and by a link of the image.
    for number in 3..12 {
        let path = format!("/proc/self/fd/{number}");
        let mut bundle = Bundle::script("pwd; ls ../../../..");
        bundle.set("process/cwd", json!(path));
        assert_ne!(bundle.run().code, 0, "{path}");
        let mut bundle = Bundle::script("pwd; ls");
        symlink(&path, bundle.rootfs().join("way")).unwrap();
        bundle.set("process/cwd", json!("/way"));
        let said = bundle.run();
        assert!(said.code != 0, "{path} {}", said.out);
    }
}

#[test]
#[ignore = "needs root: makes containers"]
fn exec_s_working_directory_is_inside() {
    let bundle = Bundle::script("sleep 1000");
    bundle.run_detached();
    for number in 3..12 {
        let path = format!("/proc/self/fd/{number}");
        assert_ne!(bundle.call(&["exec", "--cwd", &path, &bundle.name, "pwd"]).code, 0, "{path}");
    }
}

#[test]
#[ignore = "needs root: makes containers"]
fn passwd_cannot_hold_the_runtime_up() {
    let bundle = Bundle::new();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        bundle.rootfs().join("etc/passwd"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o666),
        0,
    )
    .unwrap();
    bundle.run().good();
}

#[test]
#[ignore = "needs root: makes containers"]
fn the_runtime_s_executable_cannot_be_written() {
    // CVE-2019-5736: the program is the runtime itself, by /proc/self/exe or as a script's interpreter. It is held up by a FIFO while
    // another process of the container opens it; once nobody executes it any more, that one writes.
    let bundle = Bundle::script(
        "while :; do for p in /proc/[0-9]*; do \
             if test \"$(cat $p/comm)\" = exe; then \
                 exec 9< $p/exe; kill -9 ${p#/proc/}; sleep 0.2; echo tried > /tmp/tried; echo x >> /proc/self/fd/9; \
             fi; \
         done; done 2>/dev/null",
    );
    let program = bundle.path().join("runtime");
    crate::common::copy_binary(&program);
    let before = std::fs::read(&program).unwrap();
    let trap = bundle.rootfs().join("hold");
    std::fs::create_dir(&trap).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        trap.join("config.json"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o666),
        0,
    )
    .unwrap();
    std::fs::write(bundle.rootfs().join("bin/script"), "#!/proc/self/exe run\n").unwrap();
    std::fs::set_permissions(bundle.rootfs().join("bin/script"), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    bundle.run_detached();
    for args in [&["/proc/self/exe", "run", "-b", "/hold", "x"][..], &["/bin/script"]] {
        let mut command = std::process::Command::new(&program);
        command.arg("--root").arg(bundle.state_root()).args(["exec", &bundle.name]).args(args);
        command.output().unwrap();
    }
    let tried = bundle.rootfs().join("tmp/tried");
    crate::common::wait_until("an attempt", || tried.exists());
    std::thread::sleep(std::time::Duration::from_millis(300));
    bundle.call(&["delete", "-f", &bundle.name]).good();
    assert!(std::fs::read(&program).unwrap() == before, "the runtime was overwritten");
}

#[test]
#[ignore = "needs root: makes containers"]
fn nothing_but_proc_covers_proc() {
    for destination in ["/proc", "/proc/self/attr", "/proc/../proc/sys"] {
        let mut bundle = Bundle::new();
        bundle.add_mount(json!({ "destination": destination, "type": "tmpfs", "source": "tmpfs", "options": [] }));
        bundle.run().fails_with(1, "inside /proc");
    }
    let mut bundle = Bundle::new();
    bundle.add_mount(json!({ "destination": "/proc", "type": "bind", "source": "/etc", "options": ["rbind"] }));
    bundle.run().fails_with(1, "cover /proc");
}
