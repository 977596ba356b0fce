//! `export` and `import`: a container's files go out as GNU tar reads them, and come back as an image.

use crate::common::http::Server;
use crate::common::{Call, Env, User, images};
use std::path::Path;

/// Names, types, modes, owners, sizes, times and links of a tree, as GNU tar extracted it.
fn listing(root: &Path) -> String {
    let script = r#"cd "$1" && find . -mindepth 1 -printf '%P %y %m %U:%G %T@ %l\n' | grep -v '^\(dev\|proc\|sys\|etc/\(hosts\|hostname\|resolv.conf\)\)' | sort"#;
    Call::new("sh").args(["-c", script, "sh"]).arg(root).ok()
}

#[test]
#[ignore = "needs root"]
fn out_as_a_tar_and_back_as_an_image() {
    let env = Env::new();
    env.load_busybox();
    let work = "set -e; mkdir /new; echo one >/new/file; ln /new/file /new/other; ln -s file /new/link; mkfifo /new/pipe; \
                chown 1000:1001 /new/file; chmod 4750 /new/file; touch -d '2001-02-03 04:05:06' /new/file; rm -r /home/app; \
                dd if=/dev/zero of=/new/sparse bs=1 count=1 seek=8388607 2>/dev/null; mkdir -m 1777 /new/dir; \
                name=$(printf 'n%.0s' $(seq 120)); mkdir -p /new/$name; echo deep >/new/$name/$name";
    env.carboy(["run", "--name", "source", "-v", "/data", "busybox", "sh", "-c", work]).ok();
    let (tar, out) = (env.path("out.tar"), env.path("out"));
    assert_eq!(env.carboy(["export", "-o", tar.to_str().unwrap(), "source"]).ok(), "");
    assert!(std::fs::metadata(&tar).unwrap().len() < 6 << 20, "holes are not written out");
    std::fs::create_dir(&out).unwrap();
    Call::new("tar").args(["--numeric-owner", "--xattrs", "-xf"]).arg(&tar).arg("-C").arg(&out).ok();
    let list = listing(&out);
    assert!(
        list.contains("new/link l 777 0:0") && list.contains("new/dir d 1777") && list.contains("new/pipe p "),
        "{list}"
    );
    assert!(list.contains("new/file f 4750 1000:1001 981173106.0000000000 "), "{list}");
    assert!(!list.contains("home/app"), "what was deleted is gone: {list}");
    assert_eq!(std::fs::metadata(out.join("new/sparse")).unwrap().len(), 8 << 20);
    let same = Call::new("sh").args(["-c", "cd \"$1/new\" && [ file -ef other ] && cat n*/n*", "sh"]).arg(&out).ok();
    assert_eq!(same, "deep\n");
    let streamed = env.carboy(["container", "export", "source"]).output();
    assert_eq!(streamed.stdout, std::fs::read(&tar).unwrap(), "the same to the byte");

    let imported = env
        .carboy(["import", "-c", "CMD [\"cat\", \"/new/other\"]", "--change", "ENV A=b", "-m", "from a test"])
        .args(["--change", "HEALTHCHECK --interval=90s CMD true"])
        .args([tar.to_str().unwrap(), "team/flat:1"])
        .ok();
    let shown = env.carboy([
        "image",
        "inspect",
        "-f",
        "{{.Id}} {{.Comment}} {{.Config.Env}} {{len .RootFS.Layers}}",
        "team/flat:1",
    ]);
    assert_eq!(shown.ok(), format!("{} from a test [A=b] 1\n", imported.trim()));
    let check = "{{.Config.Healthcheck.Test}} {{.Config.Healthcheck.Interval}} {{.Config.Healthcheck.Timeout}}";
    let shown = env.carboy(["image", "inspect", "-f", check, "team/flat:1"]).ok();
    assert_eq!(shown, "[CMD-SHELL true] 1m30s 0s\n");
    assert_eq!(env.carboy(["run", "--rm", "team/flat:1"]).ok(), "one\n");
    env.carboy(["run", "--name", "again", "team/flat:1", "true"]).ok();
    let (second, back) = (env.path("second.tar"), env.path("back"));
    env.carboy(["export", "-o", second.to_str().unwrap(), "again"]).ok();
    std::fs::create_dir(&back).unwrap();
    Call::new("tar").args(["--numeric-owner", "-xf"]).arg(&second).arg("-C").arg(&back).ok();
    assert_eq!(listing(&back), list, "nothing is lost on the way round");
}

#[test]
#[ignore = "needs root"]
fn imports_from_streams() {
    let env = Env::new();
    env.load_busybox();
    env.carboy(["create", "--name", "c", "busybox"]).ok();
    let tar = env.carboy(["export", "c"]).output().stdout;
    std::fs::write(env.path("t.tar"), &tar).unwrap();
    let packed = Call::new("gzip").arg("-c").arg(env.path("t.tar")).output().stdout;
    for bytes in [&tar, &packed] {
        let id = env.carboy(["import", "-"]).stdin(bytes.clone()).ok();
        assert_eq!(env.carboy(["run", "--rm", id.trim(), "/bin/busybox", "echo", "ran"]).ok(), "ran\n");
        let comment = env.carboy(["history", "--format", "{{.Comment}}", id.trim()]).ok();
        assert_eq!(comment, "Imported from -\n");
    }
    env.carboy(["rm", "c"]).ok();
    env.carboy(["rmi", "--all"]).ok();
    let bad = env.carboy(["import", "-"]).stdin(b"no tar at all, and longer than a block".repeat(40)).fails(1);
    assert!(bad.contains("tar entry"), "{bad}");
    assert_eq!(env.files(), [""; 0], "what failed leaves nothing");
    let change = env.carboy(["import", "-c", "RUN x", "-"]).fails(125);
    assert!(change.contains("RUN x"), "{change}");
    let nosuch = env.carboy(["export", "nosuch"]).fails(1);
    assert!(nosuch.contains("No such container: nosuch"), "{nosuch}");
}

#[test]
#[ignore = "needs root"]
fn imports_from_an_address() {
    let env = Env::new();
    let tar = images::tar(&[]);
    let server = Server::start(move |request| match request.path.as_str() {
        "/root.tar" => (200, String::new(), tar.clone()),
        "/moved" => (302, "Location: /root.tar\r\n".to_owned(), Vec::new()),
        // More is announced than comes.
        "/cut" => (200, "Content-Length: 100000\r\n".to_owned(), tar.clone()),
        _ => (404, String::new(), b"no such thing".to_vec()),
    });
    let at = |path: &str| format!("http://{}{path}", server.address);
    let id = env.carboy(["import", "-c", "LABEL a=b", "-m", "from afar", &at("/root.tar"), "afar:1"]).ok();
    let shown = env.carboy(["inspect", "--format", "{{.Id}} {{.Config.Labels.a}} {{.Comment}}", "afar:1"]).ok();
    assert_eq!(shown, format!("{} b from afar\n", id.trim()));
    env.carboy(["import", &at("/moved")]).ok();
    env.carboy(["rmi", "--all"]).ok();
    for (path, words) in [("/none", "404"), ("/cut", "")] {
        let line = env.carboy(["import", &at(path)]).fails(1);
        assert!(line.contains(words), "{line}");
        assert_eq!(env.files(), [""; 0], "what failed leaves nothing");
    }
    let line = env.carboy(["import", "http://127.0.0.1:1/x"]).fails(1);
    assert!(line.contains("Connection refused"), "{line}");
}

#[test]
#[ignore = "needs root and the users that dev/test makes"]
fn an_ordinary_user_exports_saves_and_copies() {
    for user in [User::with_subordinate_ids(), User::without_subordinate_ids()] {
        let env = Env::for_user(user);
        let at = |name: &str| env.path(name).display().to_string();
        std::fs::copy(images::file("busybox.docker.tar"), env.path("busybox.tar")).unwrap();
        env.carboy(["load", "-q", "-i", &at("busybox.tar")]).ok();
        env.carboy(["run", "--name", "c", "busybox", "sh", "-c", "echo hi >/file"]).ok();
        env.carboy(["export", "-o", &at("out.tar"), "c"]).ok();
        let list = Call::new("tar").args(["--numeric-owner", "-tvf", &at("out.tar"), "file"]).ok();
        assert!(list.starts_with("-rw-r--r-- 0/0 "), "the owner as the container sees it: {list}");
        let id = env.carboy(["import", "-c", "CMD [\"cat\", \"/file\"]", &at("out.tar"), "flat"]).ok();
        assert_eq!(env.carboy(["run", "--rm", id.trim()]).ok(), "hi\n");
        env.carboy(["save", "-o", &at("s.tar"), "flat"]).ok();
        let digest = env.carboy(["copy", "-q", "carboy:flat", &format!("oci:{}:x", at("layout"))]).ok();
        env.carboy(["rmi", "flat"]).ok();
        assert_eq!(env.carboy(["copy", "-q", &format!("docker-archive:{}", at("s.tar")), "carboy:back"]).ok(), digest);
        assert_eq!(env.carboy(["run", "--rm", "back"]).ok(), "hi\n");
        let refused = env.carboy(["image", "mount", "back"]).fails(1);
        assert!(refused.contains("only root"), "{refused}");
    }
}
