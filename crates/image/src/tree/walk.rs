//! Looking at a finished tree.

use super::{Body, Id, Inode, ROOT, Tree};
use crate::layer::RootDirectory;

impl Tree {
    /// Bytes of all files that can be reached, each once.
    pub(crate) fn content_size(&self) -> u64 {
        let mut size = 0u64;
        self.walk(|_, inode| {
            if let Body::File { size: bytes, .. } = inode.body {
                size = size.saturating_add(bytes);
            }
        });
        size
    }

    /// Calls `visit` for each inode that can be reached, once, breadth first: the root first, each directory's children in order.
    pub(crate) fn walk(&self, mut visit: impl FnMut(Id, &Inode)) {
        let mut seen = vec![false; self.inodes.len()];
        let mut queue = std::collections::VecDeque::from([ROOT]);
        seen[ROOT as usize] = true;
        while let Some(id) = queue.pop_front() {
            let inode = self.inode(id);
            visit(id, inode);
            if let Body::Directory(directory) = &inode.body {
                for &child in directory.children.values() {
                    if !std::mem::replace(&mut seen[child as usize], true) {
                        queue.push_back(child);
                    }
                }
            }
        }
    }

    /// The root's metadata, if an entry described it.
    pub(crate) fn root_directory(&self) -> Option<RootDirectory> {
        let root = self.inode(ROOT);
        let implicit = matches!(&root.body, Body::Directory(directory) if directory.implicit);
        (!implicit).then(|| RootDirectory { mode: u32::from(root.mode & 0o7777), uid: root.uid, gid: root.gid })
    }

    /// Whether nothing of lower layers is seen: the root directory is opaque.
    pub(crate) fn hides_all_below(&self) -> bool {
        matches!(&self.inode(ROOT).body, Body::Directory(directory) if directory.opaque)
    }

    /// The directories that no entry has described, but the root, and but those that hide what is below them anyway.
    pub(crate) fn implicit_directories(&self) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        if self.hides_all_below() {
            return found;
        }
        let mut open: Vec<(Id, Vec<u8>)> = vec![(ROOT, Vec::new())];
        while let Some((id, path)) = open.pop() {
            let Body::Directory(directory) = &self.inode(id).body else { continue };
            for (name, &child) in &directory.children {
                if let Body::Directory(sub) = &self.inode(child).body {
                    let path = if path.is_empty() { name.to_vec() } else { [&path[..], b"/", name].concat() };
                    if sub.implicit && !sub.opaque {
                        found.push(path.clone());
                    }
                    if !sub.opaque {
                        open.push((child, path));
                    }
                }
            }
        }
        found
    }
}
