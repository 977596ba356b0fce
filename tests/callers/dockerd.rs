//! dockerd of our own with `--add-runtime`, driven by the docker client: containerd's shim calls the runtime.

mod faults;
mod life;
mod options;
mod users;

use crate::common::terminal::Terminal;
use crate::common::{Call, User, images, vm, wait_until};
use crate::place::{Place, runtime};
use std::process::{Child, Stdio};
use std::time::Duration;

/// A daemon with folders and a socket of its own, no bridge and no firewall rules, in which there is the busybox image.
pub(crate) struct Docker {
    pub(crate) place: Place,
    daemon: Child,
    /// Its containerd, if it does not start that itself.
    containerd: Option<Child>,
    /// Options of the daemon that need no further `--runtime`.
    by_default: bool,
}

impl Docker {
    /// The runtime is one that is chosen by `--runtime`.
    pub(crate) fn new() -> Docker {
        Docker::start(false, &[])
    }

    /// The runtime is the default; containers have user namespaces with the ranges of `user`.
    pub(crate) fn remapped(user: &User) -> Docker {
        Docker::start(true, &[format!("--userns-remap={}", user.name)])
    }

    fn start(by_default: bool, more: &[String]) -> Docker {
        let place = Place::new("", None);
        let path = |name: &str| place.path(name).display().to_string();
        let mut call = place.call("dockerd").args([
            format!("--data-root={}", path("d")),
            format!("--exec-root={}", path("e")),
            format!("--host=unix://{}", path("s")),
            format!("--pidfile={}", path("p")),
            format!("--cgroup-parent={}", place.cgroup()),
            format!("--config-file={}", place.write("daemon.json", "{}").display()),
            format!("--add-runtime=carboy={}", runtime().display()),
        ]);
        // It gives the containerd that it starts a quarter of a minute: too little for a slow machine.
        let containerd = vm::is_guest().then(|| crate::containerd::start(&place, "cs"));
        if containerd.is_some() {
            wait_until("containerd's socket", Duration::from_secs(60), || place.path("cs").exists());
            call = call.arg(format!("--containerd={}", path("cs")));
        }
        call = call.args(["--bridge=none", "--iptables=false", "--ip6tables=false", "--experimental"]).args(more);
        if by_default {
            call = call.arg("--default-runtime=carboy");
        }
        let log = std::fs::File::create(place.path("log")).unwrap();
        let command = call.command().stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let daemon = command.spawn().expect("dockerd is installed");
        let mut docker = Docker { daemon, place, by_default, containerd };
        let socket = docker.place.path("s");
        wait_until("dockerd's socket", Duration::from_secs(60), || {
            let ended = docker.daemon.try_wait().unwrap();
            assert!(ended.is_none(), "{}", std::fs::read_to_string(docker.place.path("log")).unwrap());
            socket.exists()
        });
        let answers = || docker.call(["version"]).output().code == 0;
        wait_until(
            &format!("dockerd to answer; its log is {}", path_of(&docker, "log")),
            Duration::from_secs(60),
            answers,
        );
        docker.call(["load", "-q", "-i"]).arg(images::file("busybox.docker.tar")).ok();
        docker
    }

    fn client(&self) -> Vec<String> {
        vec!["/usr/bin/docker".into(), "--host".into(), format!("unix://{}", path_of(self, "s"))]
    }

    /// `docker …`.
    pub(crate) fn call<const N: usize>(&self, args: [&str; N]) -> Call {
        let client = self.client();
        self.place.call(&client[0]).args(&client[1..]).args(args)
    }

    fn made(&self, verb: &str) -> Vec<String> {
        let mut words = self.client();
        words.extend([verb.into(), "--network=none".into()]);
        if !self.by_default {
            words.push("--runtime=carboy".into());
        }
        words
    }

    /// `docker run …`, without a network.
    pub(crate) fn run<const N: usize>(&self, args: [&str; N]) -> Call {
        let words = self.made("run");
        self.place.call(&words[0]).args(&words[1..]).args(args)
    }

    /// `docker create …`, without a network.
    pub(crate) fn create<const N: usize>(&self, args: [&str; N]) -> Call {
        let words = self.made("create");
        self.place.call(&words[0]).args(&words[1..]).args(args)
    }

    /// `docker run …` on a terminal.
    pub(crate) fn run_on_terminal<const N: usize>(&self, args: [&str; N]) -> Terminal {
        let session = self.place.call("setsid").args(["--ctty", "--wait"]);
        Terminal::start(session.args(self.made("run")).args(args).command())
    }

    /// `docker …` on a terminal.
    pub(crate) fn on_terminal<const N: usize>(&self, args: [&str; N]) -> Terminal {
        let session = self.place.call("setsid").args(["--ctty", "--wait"]);
        Terminal::start(session.args(self.client()).args(args).command())
    }

    /// A field of `docker inspect`.
    pub(crate) fn inspect(&self, name: &str, template: &str) -> String {
        self.call(["inspect", "--format", template, name]).ok().trim_end().to_owned()
    }

    /// Waits until a field of `docker inspect` is `value`.
    #[track_caller]
    pub(crate) fn wait_for(&self, name: &str, template: &str, value: &str) {
        let what = format!("{template} of {name} to be {value}");
        wait_until(&what, Duration::from_secs(30), || self.inspect(name, template) == value);
    }
}

fn path_of(docker: &Docker, name: &str) -> String {
    docker.place.path(name).display().to_string()
}

impl Drop for Docker {
    fn drop(&mut self) {
        let end = || {
            let ids = self.call(["ps", "-aq"]).output().text();
            if !ids.is_empty() {
                self.call(["rm", "-f", "-v"]).args(ids.lines()).output();
            }
        };
        // A panic in here while another unwinds would abort and hide both.
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(end));
        crate::containerd::end(&mut self.daemon);
        self.containerd.iter_mut().for_each(crate::containerd::end);
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.place.path("log")).unwrap_or_default();
            let said = log.lines().filter(|line| !line.contains("level=info") && !line.contains("grpc"));
            said.for_each(|line| eprintln!("dockerd: {line}"));
        } else {
            assert!(ended.is_ok(), "the containers could not be removed");
        }
    }
}
