//! The tree that a layer's entries amount to, last one winning, with overlayfs's marks for what they hide of lower layers.
//!
//! No entry is ever resolved through the tree's symbolic links: an entry below a name that is not a directory makes it one.

mod arena;
mod children;
mod classes;
mod fixed;
mod inode;
mod links;
mod lists;
mod objects;
mod open_ends;
mod records;
mod segments;
mod sort;
#[cfg(test)]
mod tests;
mod walk;

pub(crate) use arena::Id;
pub(crate) use inode::{Body, Directory, Inode};
pub(crate) use objects::ROOT;
pub(crate) use segments::SparseMap;
pub(crate) use walk::Walk;

use crate::tar::{Entry, Kind, Name};
use children::{Children, Position};
use inode::kept_xattrs;
use objects::Objects;
use records::Tag;
use std::path::Path;

/// Bytes of one inode's attributes: the largest value Linux allows, and room for small ones.
const XATTR_LIMIT: usize = 96 << 10;

/// The tree.
pub(crate) struct Tree {
    objects: Objects,
    /// Inodes of [`Body::Below`], by path.
    below: Children,
    /// Whether there may be directories that no entry has described.
    implicit: bool,
    /// Walks that were begun.
    walks: u32,
    /// The directory that was last looked up, for entries that follow each other in one. It is there: what an entry replaces is in the
    /// directory that was looked up for it, and not that itself.
    recent: Option<(Vec<Box<[u8]>>, Id)>,
}

impl Tree {
    /// An empty one. What does not fit into memory goes into a nameless file in `folder`.
    pub(crate) fn new(folder: &Path) -> Self {
        Tree { objects: Objects::new(folder), below: Children::NONE_HASHED, implicit: false, walks: 0, recent: None }
    }

    pub(crate) fn inode(&self, id: Id) -> Inode<'_> {
        self.objects.inode(id)
    }

    pub(crate) fn is_directory(&self, id: Id) -> bool {
        self.objects.records().tag(id) == Tag::Directory
    }

    /// EROFS_FT_*: as in readdir's d_type order.
    pub(crate) fn file_type(&self, id: Id) -> u8 {
        match self.objects.records().tag(id) {
            Tag::File | Tag::Sparse => 1,
            Tag::Directory => 2,
            Tag::Char | Tag::Whiteout | Tag::Below | Tag::Link => 3,
            Tag::Block => 4,
            Tag::Fifo => 5,
            Tag::Symlink => 7,
        }
    }

    /// Whether an object has, or had, more than one name.
    pub(crate) fn is_linked(&self, id: Id) -> bool {
        self.objects.records().is_linked(id)
    }

    /// The directory that a directory is in; the root's is the root.
    pub(crate) fn parent(&self, directory: Id) -> Id {
        self.objects.parent(directory)
    }

    /// A directory's names, and what has them; in order, if the tree is finished.
    pub(crate) fn children(&self, directory: Directory) -> impl Iterator<Item = (&[u8], Id)> {
        let mut position = Position::FIRST;
        let arena = &self.objects.records().arena;
        std::iter::from_fn(move || directory.children.next(arena, &mut position))
            .map(|child| (self.objects.records().name(child), self.objects.object(child)))
    }

    /// Marks an object, for whoever writes the tree.
    pub(crate) fn mark(&mut self, id: Id) {
        self.objects.mark(id);
    }

    pub(crate) fn is_marked(&self, id: Id) -> bool {
        self.objects.records().is_marked(id)
    }

    /// A number of the caller's own for an object, which keeps it if the object gets another number; 0 at first.
    pub(crate) fn set_place(&mut self, id: Id, place: u32) {
        self.objects.set_place(id, place);
    }

    pub(crate) fn place(&self, id: Id) -> u32 {
        self.objects.place(id)
    }

    /// Adds an entry and answers its inode; `None` if it only marks something, or has no meaning.
    ///
    /// # Errors
    /// Why it cannot be allowed.
    pub(crate) fn add(&mut self, mut entry: Entry) -> Result<Option<Id>, String> {
        let xattrs: usize = entry.xattrs.iter().map(|(name, value)| name.len() + value.len() + 64).sum();
        if xattrs > XATTR_LIMIT {
            return Err(format!("more than {XATTR_LIMIT} bytes of extended attributes"));
        }
        let path = std::mem::take(&mut entry.path);
        let added = match Name::of(&path)? {
            Name::Ignored => None,
            Name::Opaque(directory) => {
                let id = self.directory(&directory)?;
                self.objects.set_opaque(id);
                None
            }
            Name::Whiteout(parents, name) => {
                self.add_whiteout(&parents, name)?;
                None
            }
            Name::Object(components) => Some(self.add_object(&components, entry)?),
        };
        Ok(added)
    }

    fn add_object(&mut self, components: &[&[u8]], entry: Entry) -> Result<Id, String> {
        let Some((name, parents)) = components.split_last() else { return self.describe_root(entry) };
        let target = match entry.kind {
            Kind::HardLink => Some(self.hard_link(&entry.link, components)?),
            _ => None,
        };
        let parent = self.directory(parents)?;
        let slot = self.objects.slot(parent, name);
        let known = self.objects.known(slot);
        let known_body = known.map(|known| self.inode(known).body);
        let hides = match known_body {
            Some(Body::Whiteout) => true,
            Some(Body::Directory(directory)) => directory.opaque,
            _ => false,
        };
        let known_directory = known.filter(|_| matches!(known_body, Some(Body::Directory(_))));
        if let Some(target) = target {
            let link = self.objects.push_link(name, target)?;
            self.objects.put(slot, link)?;
            return Ok(target);
        }
        let xattrs = kept_xattrs(&entry);
        let inode = Inode::of(&entry, &xattrs)?;
        let is_directory = matches!(inode.body, Body::Directory(_));
        if let Some(known) = known_directory.filter(|_| is_directory) {
            self.objects.describe(known, &inode)?;
            return Ok(known);
        }
        let id = self.objects.push(name, parent, &inode)?;
        if is_directory && hides {
            self.objects.set_opaque(id);
        }
        self.objects.put(slot, id)?;
        Ok(id)
    }

    fn describe_root(&mut self, entry: Entry) -> Result<Id, String> {
        if entry.kind != Kind::Directory {
            return Err("the root is not a directory".to_owned());
        }
        let xattrs = kept_xattrs(&entry);
        self.objects.describe(ROOT, &Inode::of(&entry, &xattrs)?)?;
        Ok(ROOT)
    }

    /// A whiteout speaks of lower layers only: what this layer has under the name stays (image-spec, "Whiteouts").
    fn add_whiteout(&mut self, parents: &[&[u8]], name: &[u8]) -> Result<(), String> {
        let parent = self.directory(parents)?;
        let slot = self.objects.slot(parent, name);
        match self.objects.known(slot) {
            Some(known) if self.is_directory(known) => self.objects.set_opaque(known),
            Some(_) => {}
            None => {
                let id = self.objects.push(name, parent, &Inode::absent(Body::Whiteout))?;
                self.objects.put(slot, id)?;
            }
        }
        Ok(())
    }

    /// The directory of these components; made where it is missing, in place of whatever else is there.
    fn directory(&mut self, components: &[&[u8]]) -> Result<Id, String> {
        if let Some((recent, id)) = &self.recent
            && recent.iter().map(|component| &component[..]).eq(components.iter().copied())
        {
            return Ok(*id);
        }
        let mut id = ROOT;
        for component in components {
            let slot = self.objects.slot(id, component);
            let known = self.objects.known(slot);
            id = match known {
                Some(known) if self.is_directory(known) => known,
                replaced => {
                    let hides = replaced.is_some_and(|known| matches!(self.inode(known).body, Body::Whiteout));
                    self.implicit = true;
                    let made = self.objects.push(component, id, &Inode::implicit_directory())?;
                    if hides {
                        self.objects.set_opaque(made);
                    }
                    self.objects.put(slot, made)?;
                    made
                }
            }
        }
        self.recent = Some((components.iter().map(|&component| component.into()).collect(), id));
        Ok(id)
    }
}
