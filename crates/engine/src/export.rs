//! A container's files as a tar, running or not; what is mounted into it is not part of it.

use crate::engine::Engine;
use crate::error::{Error, Result};
use carboy_image::{View, write_tree};
use rustix::fs::{CWD, Mode, OFlags, openat};
use std::io::Write;
use std::os::fd::OwnedFd;

impl Engine {
    /// Writes the container's root file system to `out`.
    ///
    /// # Errors
    /// If there is no such container, its image is gone, or something cannot be read or written.
    pub fn export(&self, text: &str, out: &mut dyn Write) -> Result<()> {
        let container = self.container(text)?;
        let record = &container.record;
        let Some(used) = &record.image else {
            let rootfs = record.request.rootfs.clone().unwrap_or_default();
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let root: OwnedFd = openat(CWD, &rootfs, flags, Mode::empty()).map_err(Error::errno("open", &rootfs))?;
            return Ok(write_tree(root, out)?);
        };
        let image = self.images()?.get(&used.id)?.ok_or_else(|| Error::NoSuchImage(used.name.clone()))?;
        let view: View = self.images()?.view(image.layers(), Some(&container.dir.join("upper")))?;
        Ok(write_tree(view.root()?, out)?)
    }
}
