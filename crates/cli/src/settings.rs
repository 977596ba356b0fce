//! Where this user's engine is: flags, environment, defaults.

use crate::args::Global;
use crate::failure::{Failure, usage};
use carboy_distribution::Registries;
use carboy_engine::{Engine, EngineConfig};
use carboy_image::SnapshotterChoice;
use std::path::PathBuf;

/// Set for our own processes within the user namespace of an ordinary user.
pub(crate) const IN_NAMESPACE: &str = "CARBOY_IN_USER_NAMESPACE";

/// The engine's configuration from flags and environment.
pub(crate) fn config(global: &Global) -> Result<EngineConfig, Failure> {
    let inside = std::env::var_os(IN_NAMESPACE).is_some();
    let is_root = rustix::process::geteuid().is_root();
    let root = match &global.root {
        Some(root) => root.clone(),
        None if is_root => "/var/lib/carboy".into(),
        None => data_home()?.join("carboy"),
    };
    let runroot = match &global.runroot {
        Some(runroot) => runroot.clone(),
        None if is_root => "/run/carboy".into(),
        None => run_home().join("carboy"),
    };
    let snapshotter = match global.snapshotter.as_deref() {
        None | Some("auto") => SnapshotterChoice::Auto,
        Some("erofs") => SnapshotterChoice::Erofs,
        Some("overlay") => SnapshotterChoice::Overlay,
        Some(other) => return Err(usage(format!("unknown snapshotter {other:?}: auto, erofs or overlay"))),
    };
    let runtime = global.runtime.as_ref().map(|name| find_program(name)).transpose()?;
    Ok(EngineConfig { root, runroot, runtime, monitor: None, snapshotter, in_user_namespace: inside })
}

/// Opens the engine.
pub(crate) fn engine(global: &Global) -> Result<Engine, Failure> {
    Ok(Engine::open(config(global)?)?)
}

fn data_home() -> Result<PathBuf, Failure> {
    if let Some(path) = variable("XDG_DATA_HOME") {
        return Ok(path);
    }
    match variable("HOME") {
        Some(home) => Ok(home.join(".local/share")),
        None => {
            Err(usage("neither --root, CARBOY_ROOT, XDG_DATA_HOME nor HOME says where to keep images and containers"))
        }
    }
}

/// $XDG_RUNTIME_DIR if it is there, otherwise a folder under /tmp; the engine checks that it is this user's own.
fn run_home() -> PathBuf {
    let uid = rustix::process::getuid().as_raw();
    variable("XDG_RUNTIME_DIR")
        .filter(|path| path.is_dir())
        .unwrap_or_else(|| std::env::temp_dir().join(format!("carboy-run-{uid}")))
}

/// The files that say where registries are, the later ones going before the earlier ones (containers-registries.conf(5)):
/// `$CONTAINERS_REGISTRIES_CONF`, or the user's own, or the system's; then the drop-ins of both, and the short names that podman asked for.
pub(crate) fn registries_files() -> Vec<PathBuf> {
    let system = PathBuf::from("/etc/containers");
    let user = config_home().map(|folder| folder.join("containers"));
    let main = std::env::var_os("CONTAINERS_REGISTRIES_CONF").filter(|path| !path.is_empty()).map(PathBuf::from);
    let own = user.as_ref().map(|folder| folder.join("registries.conf")).filter(|path| path.exists());
    let mut files = vec![main.or(own).unwrap_or_else(|| system.join("registries.conf"))];
    for folder in [Some(system), user].into_iter().flatten() {
        files.extend(Registries::drop_ins(&folder.join("registries.conf.d")));
    }
    let cache = variable("XDG_CACHE_HOME").or_else(|| variable("HOME").map(|home| home.join(".cache")));
    files.extend(cache.map(|folder| folder.join("containers/short-name-aliases.conf")));
    files
}

/// The folders with certificates and hosts.toml for registries (containers-certs.d(5), docker's and containerd's): the user's own first.
pub(crate) fn certificate_folders() -> Vec<PathBuf> {
    let own = config_home().map(|folder| folder.join("containers/certs.d"));
    let system = ["/etc/containers/certs.d", "/etc/docker/certs.d", "/etc/containerd/certs.d"].map(PathBuf::from);
    own.into_iter().chain(system).collect()
}

/// docker's daemon.json, and that of this user's rootless docker, which goes before it.
pub(crate) fn daemon_files() -> Vec<PathBuf> {
    let own = config_home().map(|folder| folder.join("docker/daemon.json"));
    [PathBuf::from("/etc/docker/daemon.json")].into_iter().chain(own).collect()
}

fn config_home() -> Option<PathBuf> {
    variable("XDG_CONFIG_HOME").or_else(|| variable("HOME").map(|home| home.join(".config")))
}

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute())
}

/// A runtime by path, or by name in PATH.
fn find_program(name: &str) -> Result<PathBuf, Failure> {
    if name.contains('/') {
        return std::path::absolute(name).map_err(|e| Failure::Other(e.into()));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let fixed = ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(fixed)
        .map(|folder| folder.join(name))
        .find(|path| rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok())
        .ok_or_else(|| usage(format!("runtime {name:?} is not in PATH")))
}
