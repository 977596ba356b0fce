//! Looking at a finished tree.

use super::arena::NONE;
use super::children::{Children, Position};
use super::fixed::Names;
use super::{Body, Id, ROOT, Tree};
use crate::layer::RootDirectory;

/// The objects that can be reached, each once, breadth first: the root first, each directory's children in order.
///
/// It keeps in the tree what it has to remember, so that one walk has to end before another one begins.
pub(crate) struct Walk {
    number: u32,
    /// The directory that is being passed, its children, and the next of them. None before the root.
    directory: Option<(Id, Children, Position)>,
    /// The last directory that was met.
    last: Id,
}

impl Walk {
    pub(crate) fn new(tree: &mut Tree) -> Self {
        tree.walks += 1;
        Walk { number: tree.walks, directory: None, last: ROOT }
    }

    /// The next one.
    pub(crate) fn next(&mut self, tree: &mut Tree) -> Option<Id> {
        let objects = &mut tree.objects;
        let Some((directory, children, position)) = &mut self.directory else {
            objects.set_next(ROOT, NONE);
            self.directory = Some((ROOT, objects.children(ROOT), Position::FIRST));
            return Some(ROOT);
        };
        loop {
            let Some(child) = children.next(&objects.records().arena, position) else {
                let next = objects.next(*directory);
                if next == NONE {
                    return None;
                }
                (*directory, *children, *position) = (next, objects.children(next), Position::FIRST);
                continue;
            };
            let id = objects.object(child);
            if objects.records().is_linked(id) {
                let mut names = objects.names(id);
                let met = names.walk == self.number;
                if !met {
                    names = Names { walk: self.number, directory: *directory, child, ..names };
                }
                names.count += u32::from(self.number == 1);
                objects.set_names(id, names);
                if met {
                    continue;
                }
            }
            if objects.records().tag(id) == super::Tag::Directory {
                objects.set_next(id, NONE);
                objects.set_next(self.last, id);
                self.last = id;
            }
            return Some(id);
        }
    }
}

/// All names, depth first, with their paths; each directory's in order.
pub(crate) struct Paths {
    path: Vec<u8>,
    /// Directories that are passed: their children, the next of them, and the length of their own path.
    open: Vec<(Children, Position, usize)>,
    /// The directory that was met last, if what is in it comes next.
    within: Option<Children>,
}

impl Paths {
    pub(crate) fn new(tree: &Tree) -> Self {
        Paths { path: Vec::new(), open: Vec::new(), within: Some(tree.objects.children(ROOT)) }
    }

    /// The next one's path and object.
    pub(crate) fn next(&mut self, tree: &Tree) -> Option<(&[u8], Id)> {
        if let Some(children) = self.within.take() {
            self.open.push((children, Position::FIRST, self.path.len()));
        }
        let records = tree.objects.records();
        loop {
            let (children, position, length) = self.open.last_mut()?;
            self.path.truncate(*length);
            let Some(child) = children.next(&records.arena, position) else {
                self.open.pop();
                continue;
            };
            if *length > 0 {
                self.path.push(b'/');
            }
            self.path.extend(records.name(child));
            let id = tree.objects.object(child);
            self.within = tree.is_directory(id).then(|| tree.objects.children(id));
            return Some((&self.path, id));
        }
    }

    /// Passes over what is in the directory that was met last.
    pub(crate) fn leave(&mut self) {
        self.within = None;
    }
}

impl Tree {
    /// Ends the adding of entries: directories come into their order, by which objects may get
    /// other numbers, and names are counted. Answers the bytes of all files that can be
    /// reached, each once.
    ///
    /// # Errors
    /// If there is no room for it.
    pub(crate) fn finish(&mut self) -> Result<u64, String> {
        self.objects.sort()?;
        let (mut size, mut walk) = (0u64, Walk::new(self));
        while let Some(id) = walk.next(self) {
            if let Body::File { size: bytes, .. } = self.inode(id).body {
                size = size.saturating_add(bytes);
            }
        }
        Ok(size)
    }

    /// How many names an object has, but for directories.
    pub(crate) fn names(&self, id: Id) -> u32 {
        if self.is_linked(id) { self.objects.names(id).count } else { 1 }
    }

    /// Of an object that is linked to: the directory of the first name that the last walk has met, and that name.
    pub(crate) fn first_name(&self, id: Id) -> (Id, &[u8]) {
        let names = self.objects.names(id);
        (names.directory, self.objects.records().name(names.child))
    }

    /// The path of a directory; the root's is empty.
    pub(crate) fn path(&self, mut directory: Id) -> Vec<u8> {
        let mut names = Vec::new();
        while directory != ROOT {
            names.push(self.objects.records().name(directory));
            directory = self.parent(directory);
        }
        names.reverse();
        names.join(&b'/')
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
}
