//! Hard links: to other names of the layer, and to what lower layers have.

use super::{Body, Id, Inode, ROOT, Tree};
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
        if let Some(&id) = self.below.get(path) {
            return Ok(id);
        }
        let id = self.objects.push(b"", ROOT, &Inode::absent(Body::Below(path)))?;
        self.below.insert(path.into(), id);
        self.below_memory += path.len() + 64;
        Ok(id)
    }

    /// The links to what lower layers have: target and name; a target that this layer does not hide is a name of itself too.
    pub(crate) fn links_below(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut links = Vec::new();
        if self.below.is_empty() {
            return links;
        }
        let mut open: Vec<(Id, Vec<u8>)> = vec![(ROOT, Vec::new())];
        while let Some((id, path)) = open.pop() {
            let Body::Directory(directory) = self.inode(id).body else { continue };
            for (name, child) in self.children(directory) {
                let path = || if path.is_empty() { name.to_vec() } else { [&path[..], b"/", name].concat() };
                match self.inode(child).body {
                    Body::Below(target) => links.push((target.to_vec(), path())),
                    Body::Directory(_) => open.push((child, path())),
                    _ => {}
                }
            }
        }
        let targets: std::collections::BTreeSet<Vec<u8>> = links.iter().map(|(target, _)| target.clone()).collect();
        links.extend(
            targets.into_iter().filter(|target| self.leaves_to_below(target)).map(|target| (target.clone(), target)),
        );
        links
    }

    /// Whether a path of lower layers is seen through this layer.
    fn leaves_to_below(&self, path: &[u8]) -> bool {
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
