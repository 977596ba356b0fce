//! Images mounted for people to look into: `<runroot>/mounts/<hex of the ID>`, with the layers on record beside it, so that no collection takes
//! them away. Both go with a reboot.

use crate::snapshot::is_mounted;
use crate::{Image, ImageError, Images};
use carboy_oci::Digest;
use carboy_state::file::{Durability, FileError, read_json_if_exists, write_json};
use rustix::fs::CWD;
use rustix::mount::{MoveMountFlags, UnmountFlags, move_mount, unmount};
use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

impl Images {
    fn mounts(&self) -> PathBuf {
        self.store.runroot().join("mounts")
    }

    fn mount_record(&self, id: &Digest) -> PathBuf {
        self.mounts().join(format!("{}.json", id.hex()))
    }

    /// Mounts an image's files, read-only, and answers where; an image that is mounted already stays so.
    ///
    /// # Errors
    /// As [`Images::view`].
    pub fn mount_image(&self, image: &Image) -> Result<PathBuf, ImageError> {
        // Against collections, until the mount holds the layers itself.
        let _shared = self.store.lock_shared()?;
        let target = self.mounts().join(image.id.hex());
        for folder in [self.mounts(), target.clone()] {
            match std::fs::create_dir(&folder) {
                Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(FileError::at("create folder", &folder)(e).into());
                }
                _ => {}
            }
        }
        if is_mounted(&target) {
            return Ok(target);
        }
        let record: (&Digest, &[Digest]) = (&image.id, image.layers());
        write_json(&self.mount_record(&image.id), &record, Durability::Process)?;
        let mounted = self.view(image.layers(), None).and_then(|view| {
            move_mount(view.mount(), "", CWD, &target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
                .map_err(|errno| FileError::at("mount on", &target)(errno.into()).into())
        });
        if mounted.is_err() {
            let _ = self.forget_mount(&image.id, &target);
        }
        mounted.map(|()| target)
    }

    /// Takes an image's mount away; false if there was none.
    ///
    /// # Errors
    /// If it is in use and `force` is not given.
    pub fn unmount_image(&self, id: &Digest, force: bool) -> Result<bool, ImageError> {
        let target = self.mounts().join(id.hex());
        let was = is_mounted(&target);
        if was {
            let flags = if force { UnmountFlags::DETACH } else { UnmountFlags::empty() };
            unmount(&target, flags).map_err(|errno| FileError::at("unmount", &target)(errno.into()))?;
        }
        self.forget_mount(id, &target)?;
        Ok(was)
    }

    fn forget_mount(&self, id: &Digest, target: &Path) -> Result<(), ImageError> {
        for removed in [std::fs::remove_dir(target), std::fs::remove_file(self.mount_record(id))] {
            match removed {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(FileError::at("remove", target)(e).into()),
                _ => {}
            }
        }
        Ok(())
    }

    /// The images that are mounted: their IDs and where.
    ///
    /// # Errors
    /// If a record cannot be read.
    pub fn mounted_images(&self) -> Result<Vec<(Digest, PathBuf)>, ImageError> {
        let target = |id: &Digest| self.mounts().join(id.hex());
        let mut found: Vec<(Digest, PathBuf)> =
            self.mount_records()?.into_iter().map(|(id, _)| (id.clone(), target(&id))).collect();
        found.retain(|(_, path)| is_mounted(path));
        found.sort();
        Ok(found)
    }

    /// The layers of mounted images.
    pub(crate) fn layers_of_mounts(&self) -> Result<HashSet<Digest>, ImageError> {
        Ok(self.mount_records()?.into_iter().flat_map(|(_, layers)| layers).collect())
    }

    fn mount_records(&self) -> Result<Vec<(Digest, Vec<Digest>)>, ImageError> {
        let mut records = Vec::new();
        let Ok(entries) = std::fs::read_dir(self.mounts()) else { return Ok(records) };
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.extension().is_some_and(|extension| extension == "json") {
                records.extend(read_json_if_exists(&path)?);
            }
        }
        Ok(records)
    }
}
