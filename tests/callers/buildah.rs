//! `buildah bud` and `buildah run` with `--isolation oci --runtime`.

use crate::common::{Call, images};
use crate::place::{Place, by_version, runtime};

const FILE: &str = r#"FROM localhost/busybox:latest
ENV A=b
RUN echo "built $A" > /file && grep -E ':pids:|^0::' /proc/self/cgroup | head -n 1 > /cgroup && hostname > /host
RUN --mount=type=tmpfs,dst=/t touch /t/x && mount | grep -c ' on /t type tmpfs' > /count
USER app
WORKDIR /tmp/made/here
RUN id -u > /tmp/uid; pwd >> /tmp/uid; touch /etc/x 2>/dev/null || echo refused >> /tmp/uid
CMD ["cat", "/file"]
"#;

/// Limits that may be had without CAP_SYS_RESOURCE.
pub(crate) const LIMITS: [&str; 2] = ["--ulimit=nofile=1024:1024", "--ulimit=nproc=1000:1000"];

pub(crate) struct Buildah {
    pub(crate) place: Place,
}

impl Buildah {
    pub(crate) fn new() -> Buildah {
        let place = Place::new("", None);
        let root = place.dir().display();
        place.write(
            "storage.conf",
            &format!("[storage]\ndriver = \"overlay\"\ngraphroot = \"{root}/s\"\nrunroot = \"{root}/r\"\n"),
        );
        let buildah = Buildah { place };
        buildah.call(["pull", "-q"]).arg(format!("oci-archive:{}", images::file("busybox.oci.tar").display())).ok();
        buildah
    }

    pub(crate) fn call<const N: usize>(&self, args: [&str; N]) -> Call {
        let call = self.place.call("buildah").env("CONTAINERS_STORAGE_CONF", self.place.path("storage.conf"));
        call.args(["--root".into(), self.place.path("s"), "--runroot".into(), self.place.path("r")]).args(args)
    }

    /// `buildah VERB …` with the runtime under test.
    pub(crate) fn with_runtime<const N: usize>(&self, verb: &str, args: [&str; N]) -> Call {
        self.call([verb, "--runtime"]).arg(runtime()).args(["--isolation=oci", "--network=none"]).args(args)
    }
}

impl Drop for Buildah {
    fn drop(&mut self) {
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.call(["rm", "-a"]).output()));
        assert!(ended.is_ok() || std::thread::panicking(), "the containers could not be removed");
        // The store's own mount.
        let store = self.place.path("s/overlay");
        let _ = rustix::mount::unmount(store.as_path(), rustix::mount::UnmountFlags::DETACH);
    }
}

#[test]
#[ignore = "needs root, buildah"]
fn a_build_and_what_it_made() {
    let buildah = Buildah::new();
    std::fs::create_dir(buildah.place.path("context")).unwrap();
    buildah.place.write("context/Containerfile", FILE);
    // It never calls the runtime with --systemd-cgroup.
    let parent = format!("--cgroup-parent={}", buildah.place.cgroup_path());
    buildah
        .with_runtime("bud", [])
        .args(LIMITS)
        .args([parent.as_str(), "--memory=64m", "-t", "localhost/made", "context"])
        .ok();

    let name = buildah.call(["from"]).args(LIMITS).args([parent.as_str(), "localhost/made"]).ok();
    let name = name.trim();
    let run = |options: &[&str], script: &str| {
        buildah.with_runtime("run", []).args(options).args(["--", name, "sh", "-c", script])
    };
    let seen = run(&[], "cat /file /count /tmp/uid; cut -d: -f3 /cgroup; pwd").ok();
    let cgroup = by_version(buildah.place.cgroup_path(), "/".to_owned());
    assert_eq!(seen, format!("built b\n1\n1000\n/tmp/made/here\nrefused\n{cgroup}\n/tmp/made/here\n"));

    assert_eq!(run(&[], "exit 4").output().code, 4);
    assert_eq!(run(&[], "cat").stdin("piped").ok(), "piped");
    assert_eq!(
        run(&["--user=0:0", "--cap-drop=all"], "id -u; grep CapEff /proc/self/status").ok(),
        "0\nCapEff:\t0000000000000000\n"
    );
    std::fs::write(buildah.place.path("context/f"), "content\n").unwrap();
    let volume = format!("--volume={}:/v:ro", buildah.place.path("context").display());
    assert_eq!(
        run(&[&volume], "cat /v/f; touch /v/x 2>&1; true").ok(),
        "content\ntouch: /v/x: Read-only file system\n"
    );
    let out = buildah.with_runtime("run", ["--", name, "nonexistent"]).output();
    assert!(out.code == 1 && out.error().contains("executable file not found in $PATH"), "{out}");
    assert!(buildah.with_runtime("run", ["-t", "--", name, "tty"]).ok().contains("/dev/pts/0"));
    buildah.call(["rm", name]).ok();
}
