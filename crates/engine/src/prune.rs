//! What everything takes on the disk, and removing what nobody uses.

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::record::{Container, Status};
use carboy_image::{CheckOptions, Finding, Image, Removed, Usage};
use carboy_store::{tree_length, tree_size};
use std::collections::HashSet;
use std::time::Duration;

/// What everything takes.
#[derive(Debug)]
pub struct DiskUsage {
    /// Images, and those that containers are of.
    pub images: Usage,
    /// IDs of images that containers are of.
    pub used_images: HashSet<String>,
    /// Containers with the bytes that each takes.
    pub containers: Vec<(Container, u64)>,
    /// Volumes: name, bytes, and how many containers mount it.
    pub volumes: Vec<(String, u64, usize)>,
}

/// What was removed.
#[derive(Debug, Default)]
pub struct Pruned {
    /// IDs of containers.
    pub containers: Vec<String>,
    /// Names of volumes.
    pub volumes: Vec<String>,
    /// Images, their names, and layers.
    pub images: Vec<Removed>,
    /// Bytes given back to the disk.
    pub bytes: u64,
}

impl Engine {
    /// What everything takes on the disk. What was removed but not yet given back is given back first.
    ///
    /// # Errors
    /// If something cannot be read.
    pub fn disk_usage(&self) -> Result<DiskUsage> {
        let images = self.images()?;
        images.store().empty_trash().map_err(carboy_image::ImageError::from)?;
        let containers = self.list()?;
        let used_images: HashSet<String> = used(&containers).map(str::to_owned).collect();
        let usage = images.usage(&|image| used_images.contains(image.id.as_str()))?;
        let volumes = self.volume_names()?.into_iter().map(|name| {
            let links = containers.iter().filter(|container| mounts(container, &name)).count();
            let bytes = tree_size(&self.folders.volume(&name));
            (name, bytes, links)
        });
        let volumes = volumes.collect();
        let containers = containers.into_iter().map(|container| {
            let bytes = tree_size(&container.dir);
            (container, bytes)
        });
        Ok(DiskUsage { images: usage, used_images, containers: containers.collect(), volumes })
    }

    /// Bytes in the files that a container has written, and in those with its image's.
    ///
    /// # Errors
    /// If its image cannot be read.
    pub fn sizes(&self, container: &Container) -> Result<(u64, u64)> {
        let own = tree_length(&container.dir.join("upper"));
        let image = match &container.record.image {
            Some(image) => self.images()?.get(&image.id)?,
            None => None,
        };
        Ok((own, own + image.map_or(0, |image| image.size)))
    }

    /// Removes images that no container is of: those without a tag, or `all`.
    ///
    /// # Errors
    /// If the store refuses.
    pub fn prune_images(&self, all: bool, kept: &dyn Fn(&Image) -> bool) -> Result<Pruned> {
        let containers = self.list()?;
        let used: HashSet<&str> = used(&containers).collect();
        let is_wanted = |image: &Image| (all || image.tags().next().is_none()) && !kept(image);
        let (images, garbage) = self.images()?.prune(&is_wanted, &|image| used.contains(image.id.as_str()))?;
        let bytes = garbage.empty(self.images()?.store())?;
        Ok(Pruned { images, bytes, ..Pruned::default() })
    }

    /// Removes containers that do not run.
    ///
    /// # Errors
    /// If one cannot be removed; those before it are.
    pub fn prune_containers(&self, kept: &dyn Fn(&Container) -> bool) -> Result<Pruned> {
        let mut pruned = Pruned::default();
        for container in self.list()? {
            if container.status == Status::Running || kept(&container) {
                continue;
            }
            let bytes = tree_size(&container.dir);
            match self.remove(&container.record.id, false, false) {
                Ok(()) => {
                    pruned.bytes += bytes;
                    pruned.containers.push(container.record.id);
                }
                // Started, or removed, by somebody else meanwhile.
                Err(Error::Conflict(_) | Error::NoSuchContainer(_)) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(pruned)
    }

    /// Removes anonymous volumes that no container mounts.
    ///
    /// # Errors
    /// If one cannot be removed; those before it are.
    pub fn prune_volumes(&self) -> Result<Pruned> {
        let mut pruned = Pruned::default();
        // Volumes are listed first: one of a container that is recorded only after that has its record in the second list.
        let names = self.volume_names()?;
        let containers = self.list()?;
        let in_creation = self.ids()?.len() > containers.len();
        for name in names.into_iter().filter(|name| is_anonymous(name)) {
            if containers.iter().any(|container| mounts(container, &name)) {
                continue;
            }
            let path = self.folders.volume(&name);
            if in_creation && is_young(&path) {
                continue;
            }
            let bytes = tree_size(&path);
            self.remove_tree(&path)?;
            pruned.bytes += bytes;
            pruned.volumes.push(name);
        }
        Ok(pruned)
    }

    /// Checks the image store, and repairs it if that is asked for.
    ///
    /// # Errors
    /// If it cannot be looked at.
    pub fn check_store(&self, options: CheckOptions) -> Result<Vec<Finding>> {
        Ok(self.images()?.check(options)?)
    }

    fn volume_names(&self) -> Result<Vec<String>> {
        let folder = self.folders.volumes();
        let entries = match std::fs::read_dir(&folder) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            result => result.map_err(Error::at("read folder", &folder))?,
        };
        let folders = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        let mut names: Vec<String> = folders.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        Ok(names)
    }
}

/// IDs of the images that containers are of.
fn used(containers: &[Container]) -> impl Iterator<Item = &str> {
    containers.iter().filter_map(|container| Some(container.record.image.as_ref()?.id.as_str()))
}

fn mounts(container: &Container, volume: &str) -> bool {
    container.record.resolved.mounts.iter().any(|mount| mount.volume.as_deref() == Some(volume))
}

/// Docker's made-up names: 64 hexadecimal digits.
fn is_anonymous(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether it may belong to a container that is being made at this moment.
fn is_young(path: &std::path::Path) -> bool {
    let made = path.symlink_metadata().and_then(|meta| meta.modified());
    made.is_ok_and(|made| made.elapsed().unwrap_or_default() < Duration::from_secs(60))
}
