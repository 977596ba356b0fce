//! What a layer leaves to the layers below it (`crate::parents`): told one after the other, as there may be a million.

use super::walk::Paths;
use super::{Body, Tree};
use crate::tree::children::Position;

impl Tree {
    /// Tells the directories that no entry has described, but the root, and but those that hide what is below them anyway.
    pub(crate) fn implicit_directories<E>(&self, mut tell: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        if !self.implicit || self.hides_all_below() {
            return Ok(());
        }
        let mut paths = Paths::new(self);
        while let Some((path, id)) = paths.next(self) {
            let Body::Directory(directory) = self.inode(id).body else { continue };
            if directory.opaque {
                paths.leave();
            } else if directory.implicit {
                tell(path)?;
            }
        }
        Ok(())
    }

    /// Tells the links to what lower layers have: target and name; a target that this layer does not hide is a name of itself too.
    pub(crate) fn links_below<E>(&self, mut tell: impl FnMut(&[u8], &[u8]) -> Result<(), E>) -> Result<(), E> {
        let (arena, mut position) = (&self.objects.records().arena, Position::FIRST);
        let mut below = std::iter::from_fn(|| self.below.next(arena, &mut position)).peekable();
        if below.peek().is_none() {
            return Ok(());
        }
        let mut paths = Paths::new(self);
        while let Some((path, id)) = paths.next(self) {
            if let Body::Below(target) = self.inode(id).body {
                tell(target, path)?;
            }
        }
        for id in below.filter(|&id| self.names(id) > 0) {
            if let Body::Below(target) = self.inode(id).body
                && self.leaves_to_below(target)
            {
                tell(target, target)?;
            }
        }
        Ok(())
    }
}
