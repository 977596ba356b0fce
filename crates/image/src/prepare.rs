//! A container's root file system from an image's layers: computed as steps first, then done.
//!
//! The record `layers.json` in the container's folder comes first: it keeps the layers from being collected and unmounted for as long as
//! the folder is there, so removing the folder is all that "forgetting" a container takes.

use crate::layer::RootDirectory;
use crate::parents::parents_over;
use crate::snapshot::is_mounted;
use crate::stacking::stacked;
use crate::{Image, ImageError, Images};
use carboy_oci::Digest;
use carboy_state::fault;
use carboy_state::file::{Durability, FileError, write_json};
use carboy_wire::monitor::RootMount;
use carboy_wire::plan::{Actor, StepReport};
use rustix::fs::{Gid, Mode, OFlags, Uid};
use std::collections::HashSet;
use std::fs::Permissions;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The record in a container's folder: the diff IDs of its layers, as JSON.
pub const LAYERS_FILE: &str = "layers.json";

/// The root directory where no layer has an entry for it.
const DEFAULT_ROOT: RootDirectory = RootDirectory { mode: 0o755, uid: 0, gid: 0 };

enum Step {
    Record { path: PathBuf, layers: Vec<Digest> },
    MountLayer { diff_id: Digest },
    MakeEmpty { path: PathBuf },
    MakeUpper { path: PathBuf, root: RootDirectory },
    MakeWork { path: PathBuf },
}

impl Images {
    /// Makes an image's layers ready and a container's `upper/` and `work/` in `container_dir`, which exists. Idempotent.
    pub fn prepare(&self, image: &Image, container_dir: &Path) -> Result<RootMount, ImageError> {
        let (mount, steps) = self.plan(image, container_dir)?;
        // All layers in one go, each other step by itself.
        let mounts = |step: &Step| matches!(step, Step::MountLayer { .. });
        for together in steps.chunk_by(|one, other| mounts(one) && mounts(other)) {
            self.execute(together)?;
        }
        Ok(mount)
    }

    /// [`Images::prepare`], with a report of each step and the time it took.
    pub fn prepare_traced(
        &self,
        image: &Image,
        container_dir: &Path,
    ) -> Result<(RootMount, Vec<StepReport>), ImageError> {
        let (mount, steps) = self.plan(image, container_dir)?;
        let mut reports = Vec::with_capacity(steps.len());
        for step in &steps {
            let begun = Instant::now();
            self.execute(std::slice::from_ref(step))?;
            let took_ns = begun.elapsed().as_nanos() as u64;
            reports.push(StepReport { took_ns: Some(took_ns), ..self.report(step) });
        }
        Ok((mount, reports))
    }

    /// What [`Images::prepare`] would do, without doing it.
    pub fn explain_prepare(
        &self,
        image: &Image,
        container_dir: &Path,
    ) -> Result<(RootMount, Vec<StepReport>), ImageError> {
        let (mount, steps) = self.plan(image, container_dir)?;
        Ok((mount, steps.iter().map(|step| self.report(step)).collect()))
    }

    fn plan(&self, image: &Image, container_dir: &Path) -> Result<(RootMount, Vec<Step>), ImageError> {
        let layers = stacked(image.layers(), image.lowest);
        let diff_ids = || layers.iter().rev().map(|(diff_id, _)| diff_id.clone());
        let mut steps = vec![Step::Record { path: container_dir.join(LAYERS_FILE), layers: diff_ids().collect() }];
        steps.extend(diff_ids().map(|diff_id| Step::MountLayer { diff_id }));
        let mut lower = Vec::new();
        for (diff_id, chain) in &layers {
            lower.extend(parents_over(&self.store, diff_id, chain));
            lower.push(self.snapshotter.lower(&self.store, diff_id));
        }
        if lower.is_empty() {
            let path = self.store.runroot().join("empty");
            steps.push(Step::MakeEmpty { path: path.clone() });
            lower.push(path);
        }
        let (upper, work) = (container_dir.join("upper"), container_dir.join("work"));
        steps.push(Step::MakeUpper { path: upper.clone(), root: image.root.unwrap_or(DEFAULT_ROOT) });
        steps.push(Step::MakeWork { path: work.clone() });
        Ok((RootMount::Overlay { lower, upper, work, userxattr: self.snapshotter.userxattr() }, steps))
    }

    /// Executes one step, or several that mount layers.
    fn execute(&self, steps: &[Step]) -> Result<(), ImageError> {
        let Some(step) = steps.first() else { return Ok(()) };
        match step {
            Step::Record { path, layers } => {
                let _shared = self.store.lock_shared()?;
                if let Some(missing) = layers.iter().find(|diff_id| !self.has_layer(diff_id)) {
                    return Err(ImageError::Inconsistent(format!(
                        "layer {missing} is not in the store in the form of the {} snapshotter; pull the image again",
                        self.snapshotter()
                    )));
                }
                Ok(write_json(path, layers, Durability::Process)?)
            }
            Step::MountLayer { .. } => {
                let diff_ids = steps.iter().filter_map(|step| match step {
                    Step::MountLayer { diff_id } => Some(diff_id),
                    _ => None,
                });
                self.snapshotter.mount(&self.store, &diff_ids.collect::<Vec<_>>())
            }
            Step::MakeEmpty { path } | Step::MakeWork { path } => make(path),
            Step::MakeUpper { path, root } => {
                make(path)?;
                match rustix::fs::chown(path, Some(Uid::from_raw(root.uid)), Some(Gid::from_raw(root.gid))) {
                    // Without privilege the owner stays who runs this, which is root inside.
                    Err(rustix::io::Errno::PERM | rustix::io::Errno::INVAL) => {}
                    other => other.map_err(|e| FileError::at("chown", path)(e.into()))?,
                }
                // After chown, which clears set-ID bits.
                let mode = Permissions::from_mode(root.mode);
                Ok(std::fs::set_permissions(path, mode).map_err(FileError::at("chmod", path))?)
            }
        }
    }

    fn report(&self, step: &Step) -> StepReport {
        let (name, calls, why, from) = match step {
            Step::Record { path, layers } => (
                "record layers".to_owned(),
                vec![format!("write {} ({} layers)", path.display(), layers.len())],
                "what is about to be mounted is on record before, and is kept while the container exists",
                "image rootfs.diff_ids",
            ),
            Step::MountLayer { diff_id } => {
                let mut calls = self.snapshotter.mount_calls(&self.store, diff_id);
                if calls.is_empty() {
                    calls.push("none: the layer is a directory".to_owned());
                } else if is_mounted(&self.snapshotter.lower(&self.store, diff_id)) {
                    calls = vec!["none: mounted already".to_owned()];
                }
                (
                    format!("mount layer {}", diff_id.short()),
                    calls,
                    "each layer is mounted once and shared by all containers that use it",
                    "image rootfs.diff_ids",
                )
            }
            Step::MakeEmpty { path } => (
                "make empty lower".to_owned(),
                vec![format!("mkdir {}", path.display())],
                "an overlay needs a lower directory, and the image has no layer",
                "image rootfs.diff_ids",
            ),
            Step::MakeUpper { path, root } => (
                "make upper".to_owned(),
                vec![
                    format!("mkdir {}", path.display()),
                    format!("chown {}:{}", root.uid, root.gid),
                    format!("chmod {:o}", root.mode),
                ],
                "what the container writes goes here; it is also its root directory",
                "image root directory",
            ),
            Step::MakeWork { path } => (
                "make work".to_owned(),
                vec![format!("mkdir {}", path.display())],
                "overlayfs prepares files here before it renames them into upper",
                "overlayfs",
            ),
        };
        StepReport {
            actor: Actor::Engine,
            name,
            calls,
            why: why.to_owned(),
            from: from.to_owned(),
            took_ns: None,
            error: None,
        }
    }

    /// Unmounts the layers that no container uses. Those that stay mounted make the next container's start quicker.
    pub fn unmount_unused(&self) -> Result<(), ImageError> {
        let _exclusive = self.store.lock_exclusive()?;
        self.unmount_except(&self.layers_of_containers()?).map(drop)
    }

    /// Called under the exclusive lock. What it answers keeps the mounts, and so what they have cached, alive though nobody sees them.
    pub(crate) fn unmount_except(&self, keep: &HashSet<Digest>) -> Result<Vec<OwnedFd>, ImageError> {
        let folder = self.store.runroot().join("layers");
        let keep: HashSet<&str> = keep.iter().map(Digest::hex).collect();
        let mut mounts = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(FileError::at("list", &folder))?.flatten() {
            let path = entry.path();
            if entry.file_name().to_str().is_some_and(|name| keep.contains(name)) {
                continue;
            }
            mounts.extend(unmount(&path)?);
        }
        Ok(mounts)
    }

    /// Unmounts one layer, whoever uses it. Called under the exclusive lock.
    pub(crate) fn unmount_one(&self, diff_id: &Digest) -> Result<Option<OwnedFd>, ImageError> {
        unmount(&self.store.runroot().join("layers").join(diff_id.hex()))
    }
}

/// Takes a layer's mount and mount point away, and answers the mount, which lives as long as that.
fn unmount(path: &Path) -> Result<Option<OwnedFd>, ImageError> {
    let mut mount = None;
    if is_mounted(path) {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        mount = rustix::fs::open(path, flags, Mode::empty()).ok();
        fault::point("layer: to be unmounted");
        // Detached, because a monitor that ends may hold it for another moment.
        rustix::mount::unmount(path, rustix::mount::UnmountFlags::DETACH)
            .map_err(|e| FileError::at("unmount", path)(e.into()))?;
    }
    fault::point("layer: unmounted");
    match std::fs::remove_dir(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(FileError::at("remove", path)(e).into()),
        _ => Ok(mount),
    }
}

fn make(path: &Path) -> Result<(), ImageError> {
    match std::fs::create_dir(path) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(FileError::at("create folder", path)(e).into()),
        _ => Ok(()),
    }
}
