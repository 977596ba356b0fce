//! When a registry is asked: `pull --policy` and `run --pull` with always, missing, newer and never.

use crate::common::{Env, Registry};

/// `image:1` at the registry becomes another image than it was.
fn change(env: &Env, registry: &Registry) -> String {
    let name = format!("{}/image:1", registry.address);
    let other = env.carboy(["import", "--change", "ENV NEW=yes", "-"]).stdin(crate::common::images::tar(&[])).ok();
    env.carboy(["push", "-q", other.trim(), &name]).ok();
    env.carboy(["rmi", "-f", other.trim()]).ok();
    name
}

fn id(env: &Env, name: &str) -> String {
    env.carboy(["image", "inspect", "--format", "{{.Id}}", name]).ok()
}

#[test]
#[ignore = "needs root, umoci, skopeo, docker-registry"]
fn what_is_here_and_what_is_there() {
    let (env, registry) = (Env::new(), Registry::start());
    let name = registry.push("busybox", "image:1", &[]);
    let line = env.carboy(["pull", "--policy", "never", &name]).fails(1);
    assert!(line.contains("No such image"), "{line}");
    let line = env.carboy(["run", "--rm", "--pull=never", &name, "true"]).output();
    assert!(line.code == 125 && line.error().contains(&name), "{line}");
    env.carboy(["pull", "-q", "--policy", "missing", &name]).ok();
    let first = id(&env, &name);
    change(&env, &registry);
    for policy in ["never", "missing"] {
        assert_eq!(env.carboy(["pull", "-q", "--policy", policy, &name]).ok().trim(), name);
        assert_eq!(env.carboy(["run", "--rm", &format!("--pull={policy}"), &name, "echo", "ran"]).ok(), "ran\n");
        assert_eq!(id(&env, &name), first, "{policy}");
    }
    env.carboy(["pull", "-q", "--policy", "newer", &name]).ok();
    let second = id(&env, &name);
    assert_ne!(second, first);
    // A registry that is gone has nothing newer; always means always.
    drop(registry);
    let out = env.carboy(["pull", "--policy", "newer", &name]).output();
    assert!(out.code == 0 && out.error().contains("is kept"), "{out}");
    env.carboy(["pull", "-q", "--policy", "missing", &name]).ok();
    for line in [env.carboy(["pull", "--policy", "always", &name]), env.carboy(["pull", &name])] {
        assert!(line.fails(1).contains("Connection refused"));
    }
    assert_eq!(id(&env, &name), second);
}

#[test]
#[ignore = "needs root, umoci, skopeo, docker-registry"]
fn run_asks_when_it_is_told() {
    let (env, registry) = (Env::new(), Registry::start());
    let name = registry.push("busybox", "image:1", &[]);
    env.carboy(["pull", "-q", &name]).ok();
    let first = id(&env, &name);
    for policy in ["newer", "always"] {
        let out = env.carboy(["run", "--rm", &format!("--pull={policy}"), &name, "echo", "ran"]).ok();
        assert_eq!((out.as_str(), id(&env, &name).as_str()), ("ran\n", first.as_str()), "{policy}: nothing is newer");
    }
    // Another one, which has no programs: that it is what is started shows that it was taken.
    change(&env, &registry);
    let out = env.carboy(["run", "--rm", "--pull=newer", &name, "echo"]).output();
    assert!(out.code == 127 && id(&env, &name) != first, "{out}");
    registry.push("busybox", "image:1", &[]);
    env.carboy(["run", "--rm", "--pull=always", &name, "true"]).ok();
    assert_eq!(id(&env, &name), first);
    drop(registry);
    assert_eq!(env.carboy(["run", "--rm", "--pull=newer", &name, "echo", "ran"]).ok(), "ran\n");
    let out = env.carboy(["run", "--rm", "--pull=always", &name, "true"]).output();
    assert!(out.code == 125 && out.error().contains("Connection refused"), "{out}");
}
