//! `podman --runtime carboy-runtime …`: with cgroupfs, under systemd by its scopes; as root, and as an ordinary user.

mod faults;
mod life;
mod options;
mod rootless;
mod sharing;

use crate::common::terminal::Terminal;
use crate::common::{Call, images, leftovers};
use crate::place::{Place, by_systemd, runtime};
use std::path::Path;

/// More open files than the default may not be had without CAP_SYS_RESOURCE.
const CONFIG: &str = "[containers]
default_ulimits = [\"nofile=1024:1024\", \"nproc=4096:4096\"]
[engine]
cgroup_manager = \"MANAGER\"
events_logger = \"file\"
lock_type = \"file\"
";

/// A podman with a store of its own, in which there is the busybox image.
pub(crate) struct Podman {
    pub(crate) place: Place,
}

impl Podman {
    pub(crate) fn new() -> Podman {
        Podman::at(Place::new("libpod-", None))
    }

    pub(crate) fn at(place: Place) -> Podman {
        let manager = if by_systemd() { "systemd" } else { "cgroupfs" };
        place.write("containers.conf", &CONFIG.replace("MANAGER", manager));
        let root = place.dir().display();
        // An ordinary user's overlay needs a file system that not every machine has there.
        let driver = if place.user().is_some() { "vfs" } else { "overlay" };
        place.write(
            "storage.conf",
            &format!("[storage]\ndriver = \"{driver}\"\ngraphroot = \"{root}/s\"\nrunroot = \"{root}/r\"\n"),
        );
        let podman = Podman { place };
        podman.call(["load", "-q", "-i"]).arg(images::file("busybox.docker.tar")).ok();
        podman
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.place.path(name)
    }

    pub(crate) fn write(&self, name: &str, content: &str) -> std::path::PathBuf {
        self.place.write(name, content)
    }

    fn base(&self, call: Call) -> Call {
        let path = |name: &str| self.place.path(name);
        let call = call.args(["--root".into(), path("s"), "--runroot".into(), path("r"), "--tmpdir".into(), path("t")]);
        // No --runtime-flag for a state folder of its own: podman 4.3 forgets it in `delete`.
        let call = call.args(["--runtime".into(), runtime()]);
        call.env("CONTAINERS_CONF", path("containers.conf")).env("CONTAINERS_STORAGE_CONF", path("storage.conf"))
    }

    /// `podman …`.
    pub(crate) fn call<const N: usize>(&self, args: [&str; N]) -> Call {
        self.base(self.place.call("podman")).args(args)
    }

    /// `podman VERB …` for the verbs that make a container: without a network, in this place's cgroup.
    fn make(&self, call: Call, args: &[&str]) -> Call {
        let call = self.base(call).arg(args[0]);
        let given = self.place.user().is_none();
        let call = if given { call.arg(format!("--cgroup-parent={}", self.place.cgroup())) } else { call };
        let chosen = args.iter().any(|arg| arg.starts_with("--network") || arg.starts_with("--pod"));
        let call = if chosen { call } else { call.arg("--network=none") };
        call.args(&args[1..])
    }

    /// `podman run …`.
    pub(crate) fn run<const N: usize>(&self, args: [&str; N]) -> Call {
        let args: Vec<&str> = ["run"].into_iter().chain(args).collect();
        self.make(self.place.call("podman"), &args)
    }

    /// `podman create …`.
    pub(crate) fn create<const N: usize>(&self, args: [&str; N]) -> Call {
        let args: Vec<&str> = ["create"].into_iter().chain(args).collect();
        self.make(self.place.call("podman"), &args)
    }

    /// `podman run …` on a terminal.
    pub(crate) fn run_on_terminal<const N: usize>(&self, args: [&str; N]) -> Terminal {
        let args: Vec<&str> = ["run"].into_iter().chain(args).collect();
        let session = self.place.call("setsid").args(["--ctty", "--wait", "podman"]);
        Terminal::start(self.make(session, &args).command())
    }

    /// `podman …` on a terminal.
    pub(crate) fn on_terminal<const N: usize>(&self, args: [&str; N]) -> Terminal {
        let session = self.place.call("setsid").args(["--ctty", "--wait", "podman"]);
        Terminal::start(self.base(session).args(args).command())
    }

    /// A field of `podman inspect`.
    pub(crate) fn inspect(&self, name: &str, template: &str) -> String {
        self.call(["inspect", "--format", template, name]).ok().trim_end().to_owned()
    }

    /// Whether the runtime has it on record.
    pub(crate) fn on_record(&self, id: &str) -> bool {
        Path::new(if self.is_ours() { "/run/carboy-runtime" } else { "/run/runc" }).join(id).exists()
    }

    /// Whether the runtime under test is not another one, to compare.
    pub(crate) fn is_ours(&self) -> bool {
        runtime().ends_with("carboy-runtime")
    }
}

impl Podman {
    /// The store's own mount, once more for each process of podman's that cleans up behind a container and mounts it when all seems done.
    fn unmount_store(&self) {
        let store = self.place.path("s/overlay");
        let folder = self.place.path("s");
        for _ in 0..100 {
            let busy = !leftovers::processes(&folder).is_empty();
            while rustix::mount::unmount(store.as_path(), rustix::mount::UnmountFlags::DETACH).is_ok() {}
            if !busy {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        let end = || {
            self.call(["pod", "rm", "-a", "-f", "-t", "0"]).output();
            self.call(["rm", "-a", "-f", "-t", "0"]).output();
            if self.place.user().is_some() {
                // Ends the process that keeps the user's namespace.
                self.call(["system", "migrate"]).output();
            }
        };
        // A panic in here while another unwinds would abort and hide both.
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(end));
        assert!(ended.is_ok() || std::thread::panicking(), "the containers could not be removed");
        self.unmount_store();
    }
}
