//! `images`, `history`, `tag`, `untag`, `rmi`, `image …`: what they print, to the letter.

use crate::common::{Env, images};

/// A listing with what differs from run to run replaced.
fn plain(env: &Env, text: &str) -> String {
    let id = env.carboy(["image", "inspect", "--format", "{{.Id}}", "busybox"]).ok();
    let id = id.trim();
    let text = text.replace(id, "sha256:<id>").replace(&id["sha256:".len()..][..12], "<id>");
    // Made by this machine, today or a while ago.
    let created = env.carboy(["images", "--format", "{{.CreatedSince}}", "busybox:latest"]).ok();
    text.replace(created.trim(), "<age>").lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

fn squeeze(text: &str) -> String {
    text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n").collect()
}

#[test]
#[ignore = "needs root"]
fn names_come_and_go_as_with_docker() {
    let env = Env::new();
    env.load_busybox();
    assert_eq!(env.carboy(["tag", "busybox", "team/tool:1", "127.0.0.1:5000/tool"]).ok(), "");
    let line = env.carboy(["tag", "busybox", "sha256:0123"]).fails(1);
    assert_eq!(line, "Error: refusing to create an ambiguous tag using digest algorithm as name");
    let list = env.carboy(["images", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"]).ok();
    let expected = "127.0.0.1:5000/tool:latest <id>\nbusybox:latest <id>\nteam/tool:1 <id>\n";
    assert_eq!(plain(&env, &list), expected);
    for (args, lines) in [
        (&["team/*"][..], "team/tool\n"),
        (&["*"], "busybox\n"),
        (&["team/tool:1"], "team/tool\n"),
        (&["team/tool:2"], ""),
        (&["--filter", "reference=*/*:1*"], "team/tool\n"),
        (&["--filter", "dangling=true"], ""),
        (&["--filter", "before=busybox"], ""),
        (&["--filter", "label=none"], ""),
        (&["--filter", "label!=none", "team/*"], "team/tool\n"),
        (&["--filter", "readonly=true"], ""),
        (&["--filter", "until=1ms", "busybox"], "busybox\n"),
        (&["--sort", "repository", "--filter", "containers=false"], "127.0.0.1:5000/tool\nbusybox\nteam/tool\n"),
    ] {
        let got = env.carboy(["images", "--format", "{{.Repository}}"]).args(args).ok();
        assert_eq!(got, lines, "{args:?}");
    }
    let line = env.carboy(["images", "--filter", "colour=red"]).fails(1);
    assert!(line.contains("invalid filter 'colour'"), "{line}");
    let id = env.carboy(["images", "-q", "busybox"]).ok();
    assert_eq!(env.carboy(["images", "-q"]).ok(), id, "one ID for three names");

    assert_eq!(env.carboy(["rmi", "team/tool:1"]).ok(), "Untagged: team/tool:1\n");
    let many = env.carboy(["rmi", id.trim()]).fails(1);
    assert!(many.contains("(must be forced) - image is referenced in multiple repositories"), "{many}");
    assert_eq!(env.carboy(["untag", "busybox", "127.0.0.1:5000/tool"]).ok(), "");
    assert_eq!(env.carboy(["image", "exists", "busybox"]).output().code, 0);
    assert_eq!(env.carboy(["image", "exists", "team/tool:1"]).output().code, 1);
    let gone = env.carboy(["rmi", "busybox"]).ok();
    let deleted = gone.lines().filter(|line| line.starts_with("Deleted: sha256:")).count();
    assert_eq!((gone.lines().next(), deleted), (Some("Untagged: busybox:latest"), 2), "{gone}");
    assert_eq!(env.files(), [""; 0]);
    for (args, words) in [
        (["tag", "busybox", "x"], "No such image: busybox"),
        (["tag", "busybox", "x:::"], "\"x:::\" is not a valid repository/tag: invalid reference format"),
        (["untag", "busybox", "x"], "No such image: busybox"),
    ] {
        let line = env.carboy(args).fails(1);
        assert!(line.contains(words), "{line}");
    }
}

#[test]
#[ignore = "needs root"]
fn an_untagged_image_stays_until_it_is_removed() {
    let env = Env::new();
    env.load_busybox();
    env.carboy(["untag", "busybox"]).ok();
    let list = env.carboy(["images", "--format", "{{.Repository}} {{.Tag}}"]).ok();
    assert_eq!(list, "<none> <none>\n");
    let id = env.carboy(["images", "-q", "--filter", "dangling=true"]).ok();
    env.carboy(["tag", id.trim(), "again"]).ok();
    assert_eq!(env.carboy(["run", "--rm", "again", "echo", "ran"]).ok(), "ran\n");
    env.carboy(["rmi", "--all"]).ok();
    assert_eq!(env.files(), [""; 0]);
}

#[test]
#[ignore = "needs root"]
fn history_and_trees() {
    let env = Env::new();
    env.load_busybox();
    let history = plain(&env, &env.carboy(["history", "busybox"]).ok());
    assert_eq!(
        squeeze(&history).replace("<missing> <age>", "<missing>").replace("<id> <age>", "<id>").lines().count(),
        3,
        "{history}"
    );
    let lines: Vec<&str> = history.lines().collect();
    assert!(lines[0].starts_with("IMAGE          CREATED"), "{history}");
    assert!(lines[1].contains("umoci config") && lines[1].contains("0B"), "{history}");
    assert!(lines[2].starts_with("<missing>") && lines[2].contains("umoci repack"), "{history}");
    let exact = env.carboy(["history", "-H=false", "--format", "{{.Size}}", "busybox"]).ok();
    let size = env.carboy(["image", "inspect", "-f", "{{.Size}}", "busybox"]).ok();
    assert_eq!(exact, format!("0\n{size}"));
    let ids = env.carboy(["history", "-q", "--no-trunc", "busybox"]).ok();
    assert_eq!(plain(&env, &ids), "sha256:<id>\n<missing>\n");

    let tree = plain(&env, &env.carboy(["images", "--tree"]).ok());
    let lines: Vec<&str> = tree.lines().collect();
    assert_eq!(lines.len(), 3, "{tree}");
    assert!(
        lines[0].starts_with("IMAGE ") && lines[1].starts_with("busybox:latest ") && lines[2].starts_with("└─ linux/")
    );
    let tree = plain(&env, &env.carboy(["image", "tree", "busybox"]).ok());
    assert!(tree.contains("Image ID: <id>\nTags:     [busybox:latest]\n") && tree.contains("└── ID: "), "{tree}");
    assert!(tree.contains("Top Layer of: [busybox:latest]"), "{tree}");
}

#[test]
#[ignore = "needs root"]
fn an_image_is_inspected_in_dockers_shape() {
    let env = Env::new();
    env.load_busybox();
    let show = |format: &str| env.carboy(["image", "inspect", "-f", format, "busybox"]).ok();
    assert_eq!(
        show("{{.RepoTags}} {{.Config.Cmd}} {{join .Config.Env \",\"}}"),
        "[busybox:latest] [sh] GREETING=hello,PATH=/bin\n"
    );
    assert_eq!(show("{{json .Config.Volumes}} {{json .Config.Entrypoint}} {{.RootFS.Type}}"), "null null layers\n");
    assert_eq!(show("{{len .RootFS.Layers}} {{.Os}} {{with .Config}}{{.WorkingDir}}{{end}}|"), "1 linux |\n");
    let line = env.carboy(["image", "inspect", "nosuch"]).output();
    assert_eq!((line.code, line.text().as_str()), (1, "[]\n"));
    assert!(line.error().contains("No such image: nosuch"), "{line}");
    assert!(images::file("busybox.docker.tar").exists());
}

#[test]
fn an_unknown_command_is_named() {
    let env = Env::new();
    let line = env.carboy(["imagse"]).fails(125);
    assert_eq!(line, "Error: unknown command: carboy imagse; did you mean images or image?; see 'carboy --help'");
    let line = env.carboy(["image", "frobnicate"]).fails(125);
    assert_eq!(line, "Error: unknown command: carboy image frobnicate; see 'carboy image --help'");
}
