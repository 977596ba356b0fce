//! An image's files, or a container's, as one read-only tree: an overlay that is mounted nowhere, and gone with its last descriptor.

use crate::parents::parents_over;
use crate::stacking::stacked;
use crate::{ImageError, Images};
use carboy_oci::Digest;
use carboy_state::file::FileError;
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen,
};
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// A tree to look at. It stays as it is whatever becomes of the layers' own mounts.
pub struct View {
    mount: OwnedFd,
}

impl View {
    /// The mount, attached to nothing.
    pub fn mount(&self) -> &OwnedFd {
        &self.mount
    }

    /// Opens the root directory.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn root(&self) -> Result<OwnedFd, ImageError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = openat(&self.mount, ".", flags, Mode::empty());
        Ok(root.map_err(|errno| FileError::at("open", Path::new("/ of the image"))(errno.into()))?)
    }
}

impl Images {
    /// The files of these layers (base first), with those in `upper` over them, if given.
    ///
    /// # Errors
    /// If a layer is not here, or the kernel cannot mount it. The overlay needs Linux 6.5.
    pub fn view(&self, layers: &[Digest], upper: Option<&Path>) -> Result<View, ImageError> {
        // Whoever unmounts layers holds the lock alone; once the overlay is there it has mounts of its own.
        let _shared = self.store.lock_shared()?;
        let mut folders: Vec<PathBuf> = upper.map(Path::to_owned).into_iter().collect();
        let layers = stacked(layers, self.lowest_seen(layers)?);
        if let Some((missing, _)) = layers.iter().find(|(diff_id, _)| !self.has_layer(diff_id)) {
            return Err(ImageError::Inconsistent(format!("layer {missing} is not in the store; pull the image again")));
        }
        self.snapshotter.mount(&self.store, &layers.iter().map(|(diff_id, _)| diff_id).collect::<Vec<_>>())?;
        for (diff_id, chain) in &layers {
            folders.extend(parents_over(&self.store, diff_id, chain));
            folders.push(self.snapshotter.lower(&self.store, diff_id));
        }
        // An overlay without an upper directory has at least two lower ones.
        let empty = self.store.runroot().join("empty");
        while folders.len() < 2 {
            match std::fs::create_dir(&empty) {
                Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => {
                    return Err(FileError::at("create folder", &empty)(e).into());
                }
                _ => folders.push(empty.clone()),
            }
            if folders.len() < 2 {
                let second = self.store.runroot().join("empty.2");
                let _ = std::fs::create_dir(&second);
                folders.push(second);
            }
        }
        let mount = overlay(&folders, self.snapshotter.userxattr())?;
        Ok(View { mount })
    }
}

/// Folders topmost first.
fn overlay(folders: &[PathBuf], userxattr: bool) -> Result<OwnedFd, ImageError> {
    let at = |operation, path: &Path| {
        let path = path.to_owned();
        move |errno: Errno| ImageError::File(FileError::at(operation, &path)(errno.into()))
    };
    let whole = Path::new("overlay of the image");
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).map_err(at("fsopen", whole))?;
    fsconfig_set_string(&context, "source", "overlay").map_err(at("set source of", whole))?;
    let mut held = Vec::new();
    for folder in folders {
        // By a descriptor, because a string of fsconfig(2) has at most 255 bytes.
        let file = File::open(folder).map_err(FileError::at("open", folder))?;
        let name = format!("/proc/self/fd/{}", file.as_raw_fd());
        held.push(file);
        match fsconfig_set_string(&context, "lowerdir+", &*name) {
            Err(Errno::INVAL) if held.len() == 1 => {
                return Err(ImageError::Inconsistent(
                    "to look into an image without a container needs Linux 6.5: this kernel's overlayfs cannot be given layers one by one".to_owned(),
                ));
            }
            other => other.map_err(at("use as a layer", folder))?,
        }
    }
    // A container that runs has the same folder as its upper one: with an index that would be refused.
    fsconfig_set_string(&context, "index", "off").map_err(at("set index of", whole))?;
    if userxattr {
        fsconfig_set_flag(&context, "userxattr").map_err(at("set userxattr of", whole))?;
    }
    fsconfig_create(&context).map_err(at("make", whole))?;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_RDONLY).map_err(at("mount", whole))
}
