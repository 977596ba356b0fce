//! Templates that people wrote for docker and podman, with podman beside them.

use crate::common::{Call, Env, images};

/// The busybox image with more said of it, by umoci and skopeo; loaded here and, in a store of its own, by podman.
struct Both {
    env: Env,
}

const NAME: &str = "127.0.0.1:5000/team/rich:1";

impl Both {
    fn new() -> Both {
        let env = Env::new();
        let layout = env.path("layout");
        Call::new("cp").arg("-r").arg(images::file("busybox")).arg(&layout).ok();
        let image = format!("{}:latest", layout.display());
        let options = ["--config.exposedports=80/tcp", "--config.exposedports=443/udp", "--config.volume=/data"];
        let more = ["--config.label=a=b", "--config.label=org.example.long=a long value", "--config.user=1000:1000"];
        let rest = ["--config.entrypoint=/bin/busybox", "--config.workingdir=/w", "--manifest.annotation=x=y"];
        // Ages that are the same a second later.
        let times = ["--created=2020-01-02T03:04:05Z", "--history.created=2020-01-02T03:04:05Z"];
        Call::new("umoci").args(["config", "--image", &image]).args(options).args(more).args(rest).args(times).ok();
        let archive = env.path("rich.tar").display().to_string();
        let to = format!("oci-archive:{archive}:{NAME}");
        Call::new("skopeo").args(["--insecure-policy", "copy", "-q", &format!("oci:{image}"), &to]).ok();
        let both = Both { env };
        both.podman(&["load", "-q", "-i", &archive]);
        both.env.carboy(["load", "-q", "-i", &archive]).ok();
        both
    }

    fn podman(&self, args: &[&str]) -> String {
        let call =
            self.env.call("podman").arg("--root").arg(self.env.path("p")).arg("--runroot").arg(self.env.path("pr"));
        call.args(["--storage-driver", "vfs"]).args(args).ok()
    }

    fn carboy(&self, args: &[&str]) -> String {
        self.env.carboy([]).args(args).ok()
    }
}

#[test]
#[ignore = "needs root, podman"]
fn podmans_templates_say_the_same() {
    let both = Both::new();
    for format in [
        "{{.RepoTags}} {{.Digest}} {{.ManifestType}}",
        "{{.Architecture}} {{.Os}} {{.Author}}|{{.Parent}}|{{.Version}}|{{.User}}",
        "{{.Config.Env}} {{.Config.ExposedPorts}} {{.Config.Volumes}} {{.Config.Entrypoint}} {{.Config.WorkingDir}}",
        "{{.Labels}} {{index .Labels \"a\"}} {{.Config.Labels}} {{.Annotations}}",
        "{{range .History}}{{.CreatedBy}} {{.EmptyLayer}};{{end}}{{len .History}}",
        "{{json .RootFS}} {{.RootFS.Layers}} {{range .Config.Env}}{{println .}}{{end}}",
    ] {
        let args = ["image", "inspect", "--format", format, NAME];
        assert_eq!(both.carboy(&args), both.podman(&args), "{format}");
    }
    for format in [
        "{{.ID}} {{.Id}} {{.Names}} {{.RepoTags}} {{.Repository}}:{{.Tag}}",
        "{{.Created}}|{{.CreatedSince}}|{{.CreatedAt}}|{{.CreatedTime}}",
        "{{.Labels}} {{index .Labels \"none\"}}|{{.Dangling}} {{.ReadOnly}}",
        "{{range .}}{{.ID}} {{.Names}} {{.Repository}}\\n{{end}}",
        "{{range .}}{{.Tag}}{{\"\\n\"}}{{end}}",
    ] {
        let args = ["images", "--format", format];
        assert_eq!(both.carboy(&args).trim_end(), both.podman(&args).trim_end(), "{format}");
    }
    let args = ["history", "--format", "{{.ID}} {{.Created}} {{.CreatedBy}}", NAME];
    let (ours, theirs) = (both.carboy(&args), both.podman(&args));
    assert_eq!(ours.lines().next(), theirs.lines().next());
    // Podman's own removal: its layers are not this test's folders.
    both.podman(&["rmi", "-f", NAME]);
}

#[test]
#[ignore = "needs root"]
fn what_docker_shows_of_an_image() {
    let env = Env::new();
    env.load_busybox();
    let show = |format: &str| env.carboy(["image", "inspect", "-f", format, "busybox"]).ok();
    // Texts of one form, which compare as their times do.
    let before = show("{{json .Metadata.LastTagTime}}");
    assert!(before.starts_with("\"2") && before.ends_with("Z\"\n"), "what a load names is tagged then: {before}");
    let printed = show("{{.Metadata.LastTagTime}}");
    assert!(printed.ends_with(" +0000 UTC\n"), "{printed}");
    env.carboy(["tag", "busybox", "again"]).ok();
    assert!(show("{{json .Metadata.LastTagTime}}") > before);
    let id = show("{{.Id}}");
    env.carboy(["untag", "busybox"]).ok();
    let never = env.carboy(["image", "inspect", "-f", "{{.Metadata.LastTagTime}}", id.trim()]).ok();
    assert_eq!(never, "0001-01-01 00:00:00 +0000 UTC\n");
}
