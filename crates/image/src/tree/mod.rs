//! The tree that a layer's entries amount to, last one winning, with overlayfs's marks for what they hide of lower layers.
//!
//! No entry is ever resolved through the tree's symbolic links: an entry below a name that is not a directory makes it one.

mod inode;
mod links;
mod walk;

pub(crate) use inode::{Body, Directory, Inode};

use crate::tar::{Entry, Kind, Name, Segment};
use std::collections::BTreeMap;

/// Index of an inode in [`Tree::inodes`].
pub(crate) type Id = u32;

/// The root's.
pub(crate) const ROOT: Id = 0;

/// Memory that one layer's tree may take, about. A million entries take half of it.
const MEMORY_LIMIT: usize = 512 << 20;
/// Bytes of one inode's attributes: the largest value Linux allows, and room for small ones.
const XATTR_LIMIT: usize = 96 << 10;

/// The tree.
pub(crate) struct Tree {
    inodes: Vec<Inode>,
    /// Inodes of [`Body::Below`], by path.
    below: BTreeMap<Box<[u8]>, Id>,
    memory: usize,
}

impl Tree {
    pub(crate) fn new() -> Self {
        Tree { inodes: vec![Inode::implicit_directory()], below: BTreeMap::new(), memory: 0 }
    }

    pub(crate) fn inode(&self, id: Id) -> &Inode {
        &self.inodes[id as usize]
    }

    /// Number of inodes, reachable or not.
    pub(crate) fn len(&self) -> usize {
        self.inodes.len()
    }

    /// Adds an entry and answers its inode; `None` if it only marks something, or has no meaning.
    ///
    /// # Errors
    /// Why it cannot be allowed.
    pub(crate) fn add(&mut self, entry: Entry) -> Result<Option<Id>, String> {
        self.account(&entry)?;
        match Name::of(&entry.path)? {
            Name::Ignored => Ok(None),
            Name::Opaque(directory) => {
                let id = self.directory(&directory)?;
                self.directory_mut(id).opaque = true;
                Ok(None)
            }
            Name::Whiteout(hidden) => self.add_whiteout(&hidden).map(|()| None),
            Name::Object(components) if components.is_empty() => self.describe_root(entry).map(|()| Some(ROOT)),
            Name::Object(components) => self.add_object(&components, entry).map(Some),
        }
    }

    /// Bounds the memory that a hostile layer can make this take.
    fn account(&mut self, entry: &Entry) -> Result<(), String> {
        let xattrs: usize = entry.xattrs.iter().map(|(name, value)| name.len() + value.len() + 64).sum();
        if xattrs > XATTR_LIMIT {
            return Err(format!("more than {XATTR_LIMIT} bytes of extended attributes"));
        }
        let segments = entry.sparse.as_ref().map_or(0, |map| map.len() * size_of::<Segment>());
        self.memory += 256 + entry.path.len() + entry.link.len() + xattrs + segments;
        // Each missing parent costs an inode too; a path has at most 2048 of them.
        self.memory += entry.path.iter().filter(|&&byte| byte == b'/').count() * 16;
        if self.memory > MEMORY_LIMIT || self.inodes.len() > MEMORY_LIMIT / 256 {
            return Err(format!("the layer's names and attributes take more than {} MiB", MEMORY_LIMIT >> 20));
        }
        Ok(())
    }

    fn describe_root(&mut self, entry: Entry) -> Result<(), String> {
        if entry.kind != Kind::Directory {
            return Err("the root is not a directory".to_owned());
        }
        let described = Inode::of(entry)?;
        self.describe(ROOT, described);
        Ok(())
    }

    /// Gives a directory new metadata; its children stay.
    fn describe(&mut self, id: Id, described: Inode) {
        let known = &mut self.inodes[id as usize];
        let body = std::mem::replace(&mut known.body, Body::Fifo);
        *known = Inode { body, ..described };
        self.directory_mut(id).implicit = false;
    }

    fn add_object(&mut self, components: &[Vec<u8>], entry: Entry) -> Result<Id, String> {
        let Some((name, parents)) = components.split_last() else { return Ok(ROOT) };
        let id = match entry.kind {
            Kind::HardLink => Some(self.hard_link(&entry.link, components)?),
            _ => None,
        };
        let parent = self.directory(parents)?;
        let known = self.child(parent, name);
        let hides = match known.map(|known| &self.inode(known).body) {
            Some(Body::Whiteout) => true,
            Some(Body::Directory(directory)) => directory.opaque,
            _ => false,
        };
        if let (Some(known), Kind::Directory) = (known, &entry.kind)
            && matches!(self.inode(known).body, Body::Directory(_))
        {
            let described = Inode::of(entry)?;
            self.describe(known, described);
            return Ok(known);
        }
        let id = match id {
            Some(id) => id,
            None => self.push(Inode::of(entry)?)?,
        };
        if let Body::Directory(directory) = &mut self.inodes[id as usize].body {
            directory.opaque = hides;
        }
        self.directory_mut(parent).children.insert(name.as_slice().into(), id);
        Ok(id)
    }

    /// A whiteout speaks of lower layers only: what this layer has under the name stays (image-spec, "Whiteouts").
    fn add_whiteout(&mut self, hidden: &[Vec<u8>]) -> Result<(), String> {
        let Some((name, parents)) = hidden.split_last() else { return Ok(()) };
        let parent = self.directory(parents)?;
        if let Some(known) = self.child(parent, name) {
            if let Body::Directory(directory) = &mut self.inodes[known as usize].body {
                directory.opaque = true;
            }
            return Ok(());
        }
        let id = self.push(Inode::absent(Body::Whiteout))?;
        self.directory_mut(parent).children.insert(name.as_slice().into(), id);
        Ok(())
    }

    /// The directory of these components; made where it is missing, in place of whatever else is there.
    fn directory(&mut self, components: &[Vec<u8>]) -> Result<Id, String> {
        let mut id = ROOT;
        for component in components {
            let known = self.child(id, component);
            id = match known.map(|known| &self.inode(known).body) {
                Some(Body::Directory(_)) => known.unwrap_or(ROOT),
                replaced => {
                    let opaque = matches!(replaced, Some(Body::Whiteout));
                    let made = self.push(Inode::implicit_directory())?;
                    self.directory_mut(made).opaque = opaque;
                    self.directory_mut(id).children.insert(component.as_slice().into(), made);
                    made
                }
            };
        }
        Ok(id)
    }

    fn child(&self, parent: Id, name: &[u8]) -> Option<Id> {
        match &self.inode(parent).body {
            Body::Directory(directory) => directory.children.get(name).copied(),
            _ => None,
        }
    }

    fn directory_mut(&mut self, id: Id) -> &mut Directory {
        let body = &mut self.inodes[id as usize].body;
        if !matches!(body, Body::Directory(_)) {
            *body = Body::Directory(Directory::default());
        }
        match body {
            Body::Directory(directory) => directory,
            _ => unreachable!("made a directory above"),
        }
    }

    fn push(&mut self, inode: Inode) -> Result<Id, String> {
        let id = Id::try_from(self.inodes.len()).map_err(|_| "too many entries".to_owned())?;
        self.inodes.push(inode);
        Ok(id)
    }
}
