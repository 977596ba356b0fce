//! Looking at a finished tree.

use super::{Body, Id, ROOT, Tree};
use crate::layer::RootDirectory;
use std::collections::{HashMap, VecDeque};

/// The objects that can be reached, each once, breadth first: the root first, each directory's children in order.
///
/// It holds nothing of the tree, whose objects may be given their places meanwhile.
pub(crate) struct Walk {
    /// What of the current directory is still to come, backwards.
    children: Vec<Id>,
    /// Directories whose children have not been looked at.
    queue: VecDeque<Id>,
    /// Of objects with several names, how many were met.
    names: HashMap<Id, u32>,
}

impl Walk {
    pub(crate) fn new() -> Self {
        Walk { children: vec![ROOT], queue: VecDeque::new(), names: HashMap::new() }
    }

    /// The next one.
    pub(crate) fn next(&mut self, tree: &Tree) -> Option<Id> {
        while self.children.is_empty() {
            let directory = self.queue.pop_front()?;
            let Body::Directory(directory) = tree.inode(directory).body else { continue };
            for (_, child) in tree.children(directory) {
                if tree.is_linked(child) {
                    let names = self.names.entry(child).or_default();
                    *names += 1;
                    if *names > 1 {
                        continue;
                    }
                }
                self.children.push(child);
            }
            self.children.reverse();
        }
        let id = self.children.pop()?;
        if tree.is_directory(id) {
            self.queue.push_back(id);
        }
        Some(id)
    }

    /// At the end: the number of names of each object that was ever linked to.
    pub(crate) fn names(self) -> HashMap<Id, u32> {
        self.names
    }
}

impl Tree {
    /// Bytes of all files that can be reached, each once.
    pub(crate) fn content_size(&self) -> u64 {
        let (mut size, mut walk) = (0u64, Walk::new());
        while let Some(id) = walk.next(self) {
            if let Body::File { size: bytes, .. } = self.inode(id).body {
                size = size.saturating_add(bytes);
            }
        }
        size
    }

    /// The root's metadata, if an entry described it.
    pub(crate) fn root_directory(&self) -> Option<RootDirectory> {
        let root = self.inode(ROOT);
        let implicit = matches!(root.body, Body::Directory(directory) if directory.implicit);
        (!implicit).then(|| RootDirectory { mode: u32::from(root.mode & 0o7777), uid: root.uid, gid: root.gid })
    }

    /// Whether nothing of lower layers is seen: the root directory is opaque.
    pub(crate) fn hides_all_below(&self) -> bool {
        matches!(self.inode(ROOT).body, Body::Directory(directory) if directory.opaque)
    }

    /// The directories that no entry has described, but the root, and but those that hide what is below them anyway.
    pub(crate) fn implicit_directories(&self) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        if self.hides_all_below() {
            return found;
        }
        let mut open: Vec<(Id, Vec<u8>)> = vec![(ROOT, Vec::new())];
        while let Some((id, path)) = open.pop() {
            let Body::Directory(directory) = self.inode(id).body else { continue };
            for (name, child) in self.children(directory).filter(|&(_, child)| self.is_directory(child)) {
                let Body::Directory(sub) = self.inode(child).body else { continue };
                let path = if path.is_empty() { name.to_vec() } else { [&path[..], b"/", name].concat() };
                if sub.implicit && !sub.opaque {
                    found.push(path.clone());
                }
                if !sub.opaque {
                    open.push((child, path));
                }
            }
        }
        found
    }
}
