//! Hard links: to other names of the layer, and to what lower layers have.

use super::{Body, Id, ROOT, Tree};
use crate::tar::{Name, join};

impl Tree {
    /// What a hard link's target means: another name in this layer, of anything but a directory, or one of the layers below.
    pub(super) fn hard_link(&mut self, link: &[u8], own: &[&[u8]]) -> Result<Id, String> {
        let Name::Object(target) = Name::of(link)? else { return Err("a hard link to a whiteout".to_owned()) };
        // Replacing the target by a link to itself changes nothing, but its parents must not be replaced by directories.
        if own.len() > target.len() && own[..target.len()] == target[..] {
            return Err("a hard link to its own parent".to_owned());
        }
        let mut id = ROOT;
        for component in &target {
            id = match self.inode(id).body {
                Body::Directory(directory) => match self.objects.known(self.objects.slot(id, component)) {
                    Some(child) => child,
                    None if directory.opaque => {
                        return Err(format!("a hard link to {:?}, which this layer hides", join(&target)));
                    }
                    None => return self.link_below(&target.join(&b'/')),
                },
                Body::Whiteout => return Err(format!("a hard link to {:?}, which this layer removes", join(&target))),
                _ => return Err(format!("a hard link to {:?}, which is not below a directory", join(&target))),
            };
        }
        match self.inode(id).body {
            Body::Directory(_) => Err(format!("a hard link to the directory {:?}", join(&target))),
            Body::Whiteout => Err(format!("a hard link to {:?}, which this layer removes", join(&target))),
            _ => Ok(id),
        }
    }

    fn link_below(&mut self, path: &[u8]) -> Result<Id, String> {
        self.objects.put_below(&mut self.below, path)
    }

    /// Whether a path of lower layers is seen through this layer.
    pub(super) fn leaves_to_below(&self, path: &[u8]) -> bool {
        let mut id = ROOT;
        for name in path.split(|&byte| byte == b'/') {
            match self.inode(id).body {
                Body::Directory(directory) => match self.objects.known(self.objects.slot(id, name)) {
                    Some(child) => id = child,
                    None => return !directory.opaque,
                },
                _ => return false,
            }
        }
        false
    }
}
