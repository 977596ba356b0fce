//! The engine: where it keeps things, which programs it executes, and how a container is found.

use crate::error::{Error, Result};
use crate::id;
use crate::record::{Container, Folders, LOCK, RECORD, Record, Status, VERSION};
use crate::rootless;
use crate::spec::Host;
use carboy_image::{Images, SnapshotterChoice};
use carboy_state::file::read_json_if_exists;
use carboy_state::lock::{Lock, LockMode};
use carboy_wire::monitor::{Exit, RuntimeCommand, Started, UserNamespace, file};
use std::cell::OnceCell;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// What a front end decides about an engine.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Folder of what lasts.
    pub root: PathBuf,
    /// Folder of what a reboot may take.
    pub runroot: PathBuf,
    /// Another runtime than our own.
    pub runtime: Option<PathBuf>,
    /// The monitor; beside this executable when absent.
    pub monitor: Option<PathBuf>,
    /// How layers are kept and mounted.
    pub snapshotter: SnapshotterChoice,
    /// Whether this is an ordinary user's process within the user namespace that one of its own processes made for it. Such an engine
    /// may change the store, but starts no containers.
    pub in_user_namespace: bool,
}

/// One store and its containers. Opening it makes the folders and nothing else; nothing stays open.
pub struct Engine {
    pub(crate) folders: Folders,
    pub(crate) config: EngineConfig,
    pub(crate) user_namespace: Option<UserNamespace>,
    host: OnceCell<Host>,
    images: OnceCell<Images>,
}

impl Engine {
    /// Opens the engine's folders, making them if needed.
    ///
    /// # Errors
    /// If a folder cannot be made, or a folder for an ordinary user belongs to somebody else.
    pub fn open(config: EngineConfig) -> Result<Self> {
        let folders = Folders { root: absolute(&config.root)?, runroot: absolute(&config.runroot)? };
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        for path in [&folders.runroot, &folders.root] {
            private_folder(path, uid)?;
        }
        for path in [folders.containers(), folders.names(), folders.runroot.join("containers")] {
            plain_folder(&path)?;
        }
        let user_namespace = (uid != 0 && !config.in_user_namespace).then(|| rootless::user_namespace(uid, gid));
        Ok(Engine { folders, config, user_namespace, host: OnceCell::new(), images: OnceCell::new() })
    }

    /// An engine that only answers [`Engine::explain`]: it opens and makes nothing.
    ///
    /// # Errors
    /// If the current folder is gone and a path is relative.
    pub fn dry(config: EngineConfig) -> Result<Self> {
        let folders = Folders { root: absolute(&config.root)?, runroot: absolute(&config.runroot)? };
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let user_namespace = (uid != 0).then(|| rootless::user_namespace(uid, gid));
        Ok(Engine { folders, config, user_namespace, host: OnceCell::new(), images: OnceCell::new() })
    }

    /// Folder of what lasts.
    pub fn root(&self) -> &Path {
        &self.folders.root
    }

    /// Folder of what a reboot may take.
    pub fn runroot(&self) -> &Path {
        &self.folders.runroot
    }

    /// Whether it runs for an ordinary user.
    pub fn is_rootless(&self) -> bool {
        self.user_namespace.is_some() || self.config.in_user_namespace
    }

    /// The maps of an ordinary user's containers.
    pub fn user_namespace(&self) -> Option<&UserNamespace> {
        self.user_namespace.as_ref()
    }

    /// Whether the machine has the unified cgroup hierarchy.
    pub fn has_cgroup2(&self) -> bool {
        self.host().cgroup2
    }

    /// The images of the store, opened when first asked for.
    ///
    /// # Errors
    /// If the store cannot be opened.
    pub fn images(&self) -> Result<&Images> {
        if let Some(images) = self.images.get() {
            return Ok(images);
        }
        let images = Images::open(&self.folders.root, &self.folders.runroot, self.config.snapshotter)?;
        Ok(self.images.get_or_init(|| images))
    }

    pub(crate) fn host(&self) -> Host {
        *self.host.get_or_init(|| find_host(self.user_namespace.as_ref()))
    }

    /// The runtime as the monitor is told it.
    pub(crate) fn runtime(&self) -> Result<RuntimeCommand> {
        let (path, ours) = match &self.config.runtime {
            Some(path) => (path.clone(), path.file_name().is_some_and(|name| name == "carboy-runtime")),
            None => (beside("carboy-runtime")?, true),
        };
        let state = self.folders.runtime_state().display().to_string();
        Ok(RuntimeCommand { path, global_args: vec!["--root".into(), state], ours })
    }

    pub(crate) fn monitor(&self) -> Result<PathBuf> {
        self.config.monitor.clone().map_or_else(|| beside("carboy-monitor"), Ok)
    }

    /// Locks a container's folder against being started, removed or reconciled by others.
    pub(crate) fn lock(&self, id: &str) -> Result<Lock> {
        match Lock::wait(&self.folders.container(id).join(LOCK), LockMode::Exclusive) {
            Err(e) if e.is_not_found() => Err(Error::NoSuchContainer(id.to_owned())),
            result => Ok(result?),
        }
    }

    /// Finds a container's ID by name, ID, or the beginning of an ID.
    ///
    /// # Errors
    /// [`Error::NoSuchContainer`], [`Error::Ambiguous`].
    pub fn find(&self, text: &str) -> Result<String> {
        let missing = || Error::NoSuchContainer(text.to_owned());
        let name = text.strip_prefix('/').unwrap_or(text);
        if id::is_name(name)
            && let Some(id) = self.name_holder(name)
        {
            return Ok(id);
        }
        if text.is_empty() || text.len() > 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(missing());
        }
        let mut found = self.ids()?.into_iter().filter(|id| id.starts_with(text) && self.is_recorded(id));
        match (found.next(), found.next()) {
            (None, _) => Err(missing()),
            (Some(id), None) => Ok(id),
            (Some(_), Some(_)) => Err(Error::Ambiguous(text.to_owned())),
        }
    }

    /// The container that has a name.
    pub(crate) fn name_holder(&self, name: &str) -> Option<String> {
        let target = std::fs::read_link(self.folders.name(name)).ok()?;
        let id = target.file_name()?.to_str()?.to_owned();
        self.is_recorded(&id).then_some(id)
    }

    fn is_recorded(&self, id: &str) -> bool {
        self.folders.container(id).join(RECORD).exists()
    }

    /// All folders of containers, recorded or not.
    pub(crate) fn ids(&self) -> Result<Vec<String>> {
        let folder = self.folders.containers();
        let entries = match std::fs::read_dir(&folder) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            result => result.map_err(Error::at("read folder", &folder))?,
        };
        Ok(entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
    }

    /// A container as its files tell, without judging whether its monitor still lives.
    pub(crate) fn load(&self, id: &str) -> Result<Container> {
        let dir = self.folders.container(id);
        let record: Record =
            read_json_if_exists(&dir.join(RECORD))?.ok_or_else(|| Error::NoSuchContainer(id.to_owned()))?;
        if record.version != VERSION {
            return Err(Error::Unavailable(format!(
                "container {id}: its record has version {}, this program knows version {VERSION}",
                record.version
            )));
        }
        let started: Option<Started> = read_json_if_exists(&dir.join(file::STARTED))?;
        let exit: Option<Exit> = read_json_if_exists(&dir.join(file::EXIT))?;
        let status = match (&started, &exit) {
            (_, Some(_)) => Status::Exited,
            (Some(_), None) => Status::Running,
            (None, None) => Status::Created,
        };
        let run_dir = self.folders.run(id);
        Ok(Container { record, status, started, exit, dir, run_dir })
    }

    /// The container that `text` means, after [`Engine::reconcile`].
    ///
    /// # Errors
    /// [`Error::NoSuchContainer`], [`Error::Ambiguous`], or what its files could not tell.
    pub fn container(&self, text: &str) -> Result<Container> {
        let id = self.find(text)?;
        let container = self.load(&id)?;
        if !self.needs_reconcile(&container) {
            return Ok(container);
        }
        self.reconcile(&id)?;
        self.load(&id)
    }

    /// All containers, newest first.
    ///
    /// # Errors
    /// If the folder cannot be read. A container whose record cannot be read is left out.
    pub fn list(&self) -> Result<Vec<Container>> {
        let mut list = Vec::new();
        for id in self.ids()? {
            if !self.is_recorded(&id) {
                self.discard_unrecorded(&id);
                continue;
            }
            match self.container(&id) {
                Ok(container) => list.push(container),
                Err(Error::NoSuchContainer(_)) => {}
                Err(e) => return Err(e),
            }
        }
        list.sort_by(|a, b| b.record.created_ns.cmp(&a.record.created_ns).then_with(|| a.record.id.cmp(&b.record.id)));
        Ok(list)
    }
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(Error::at("make absolute", path))
}

/// A folder of this user's, 0700 for ordinary users; a link or another's folder is refused, as the path may be under /tmp.
fn private_folder(path: &Path, uid: u32) -> Result<()> {
    let mode = if uid == 0 { 0o711 } else { 0o700 };
    if path.is_dir() {
        let owner = rustix::fs::stat(path).map_err(Error::errno("stat", path))?.st_uid;
        if owner == uid || uid == 0 {
            return Ok(());
        }
        let denied = io::Error::new(io::ErrorKind::PermissionDenied, format!("it belongs to user {owner}"));
        return Err(Error::at("use folder", path)(denied));
    }
    std::fs::DirBuilder::new().recursive(true).mode(mode).create(path).map_err(Error::at("make folder", path))
}

fn plain_folder(path: &Path) -> Result<()> {
    match std::fs::DirBuilder::new().mode(0o711).create(path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result.map_err(Error::at("make folder", path)),
    }
}

/// One of our programs, beside the one that runs.
fn beside(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().map_err(Error::at("find this program", Path::new("/proc/self/exe")))?;
    let path = own.with_file_name(name);
    if path.exists() {
        return Ok(path);
    }
    Err(Error::Unavailable(format!("{} is missing; it belongs beside {}", path.display(), own.display())))
}

const CGROUP2_MAGIC: u64 = 0x6367_7270;

fn find_host(user_namespace: Option<&UserNamespace>) -> Host {
    let cgroup = Path::new("/sys/fs/cgroup");
    let cgroup2 = rustix::fs::statfs(cgroup).is_ok_and(|fs| fs.f_type as u64 == CGROUP2_MAGIC);
    let rootless = user_namespace.is_some();
    Host {
        cgroup2,
        swap_limits: cgroup2 || cgroup.join("memory/memory.memsw.limit_in_bytes").exists(),
        rootless,
        single_id: user_namespace.is_some_and(rootless::is_single),
        cgroups: !rootless || (cgroup2 && own_cgroup_is_writable(cgroup)),
    }
}

/// Whether our own cgroup was delegated to this user.
fn own_cgroup_is_writable(mount: &Path) -> bool {
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let Some(path) = own.lines().find_map(|line| line.strip_prefix("0::/")) else { return false };
    rustix::fs::access(mount.join(path).join("cgroup.procs"), rustix::fs::Access::WRITE_OK).is_ok()
}
