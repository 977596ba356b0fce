//! Making a store whole: what is damaged goes, layers are made again from their blobs, and images that stay incomplete are given up.

use super::{Finding, Outcome, Problem};
use crate::{ImageError, Images};
use carboy_oci::Digest;
use carboy_oci::image::Descriptor;
use std::collections::HashSet;
use std::path::Path;

impl Images {
    pub(super) fn repair(&self, problems: Vec<Problem>) -> Result<Vec<Finding>, ImageError> {
        let used = self.layers_of_containers()?;
        let mut findings = Vec::new();
        // A layer that is removed because it is damaged makes an image incomplete that was not: it is looked at again below.
        let (content, records): (Vec<Problem>, Vec<Problem>) = problems
            .into_iter()
            .partition(|problem| matches!(problem, Problem::DamagedBlob { .. } | Problem::DamagedLayer { .. }));
        for problem in content {
            let outcome = self.repair_content(&problem, &used)?;
            findings.push(Finding { problem, outcome });
        }
        let records = if findings.is_empty() { records } else { self.check_records(&HashSet::new())? };
        for problem in records {
            let outcome = self.repair_record(&problem)?;
            findings.push(Finding { problem, outcome });
        }
        self.collect()?;
        Ok(findings)
    }

    fn repair_content(&self, problem: &Problem, used: &HashSet<Digest>) -> Result<Outcome, ImageError> {
        let _exclusive = self.store.lock_exclusive()?;
        Ok(match problem {
            Problem::DamagedBlob { digest } => {
                self.store.trash(&self.store.blob_path(digest))?;
                Outcome::Repaired("removed".to_owned())
            }
            Problem::DamagedLayer { diff_id, .. } if used.contains(diff_id) => {
                Outcome::Failed("a container uses it: remove the container, then repair again".to_owned())
            }
            Problem::DamagedLayer { diff_id, .. } => {
                // Its mount first, or the next container would use that.
                drop(self.unmount_one(diff_id)?);
                self.store.trash(&self.store.layer_dir(diff_id))?;
                Outcome::Repaired("removed".to_owned())
            }
            _ => Outcome::Left,
        })
    }

    fn repair_record(&self, problem: &Problem) -> Result<Outcome, ImageError> {
        let done = |how: &str| Ok(Outcome::Repaired(how.to_owned()));
        match problem {
            Problem::Unreadable { path, .. } => {
                self.store.trash(path)?;
                done("removed")
            }
            Problem::Broken { image, .. } | Problem::MissingLayer { image, blob: None, .. } => self.give_up(image),
            Problem::MissingLayer { image, diff_id, blob: Some(blob) } => match self.make_again(blob, diff_id) {
                Ok(()) => done("made again from its blob"),
                Err(_) => self.give_up(image),
            },
            Problem::MissingBlob { diff_id, .. } => {
                self.mark_blob_dropped(diff_id)?;
                done("recorded as dropped: pull the image anew to have it back")
            }
            Problem::DanglingName { name } => {
                self.store.remove_ref(name)?;
                done("name removed")
            }
            Problem::OrphanedBlob { .. } | Problem::OrphanedLayer { .. } => done("removed"),
            Problem::StaleMount { path } => {
                rustix::mount::unmount(path, rustix::mount::UnmountFlags::DETACH)
                    .map_err(|e| carboy_state::file::FileError::at("unmount", Path::new(path))(e.into()))?;
                done("unmounted")
            }
            Problem::DamagedBlob { .. } | Problem::DamagedLayer { .. } => Ok(Outcome::Left),
        }
    }

    fn make_again(&self, blob: &Descriptor, diff_id: &Digest) -> Result<(), ImageError> {
        let failed = |source| ImageError::Layer { digest: blob.digest.clone(), source };
        let intake = self.intake()?;
        match intake.begin_layer(blob, diff_id).map_err(failed)? {
            None => Ok(()),
            Some(_) => Err(ImageError::Inconsistent(format!("blob {} went away", blob.digest))),
        }
    }

    /// Forgets an image that cannot be used. Its containers keep the layers that they have.
    fn give_up(&self, image: &Digest) -> Result<Outcome, ImageError> {
        let scanned = self.store.scan()?;
        let manifest = scanned.images.into_iter().find(|(id, _)| id == image).map(|(_, manifest)| manifest.digest);
        let mut gone = Vec::new();
        for named in scanned.refs.iter().filter(|named| Some(&named.manifest.digest) == manifest.as_ref()) {
            self.store.remove_ref(&named.name)?;
            gone.push(named.name.familiar());
        }
        self.store.remove_image(image)?;
        Ok(Outcome::Repaired(match gone.is_empty() {
            true => "image removed: pull it anew".to_owned(),
            false => format!("image removed: pull {} anew", gone.join(", ")),
        }))
    }
}
