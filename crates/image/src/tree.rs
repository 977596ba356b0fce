//! The tree that a layer's entries amount to, last one winning, with overlayfs's marks for what they hide of lower layers.
//!
//! No entry is ever resolved through the tree's symbolic links: an entry below a name that is not a directory makes it one.

use crate::layer::RootDirectory;
use crate::tar::{Entry, Kind, Name, Segment, Target, Xattr, join};
use std::collections::BTreeMap;

/// Index of an inode in [`Tree::inodes`].
pub(crate) type Id = u32;

/// The root's.
pub(crate) const ROOT: Id = 0;

/// Memory that one layer's tree may take, about. A million entries take half of it.
const MEMORY_LIMIT: usize = 512 << 20;
/// Bytes of one inode's attributes: the largest value Linux allows, and room for small ones.
const XATTR_LIMIT: usize = 96 << 10;

const S_IFIFO: u16 = 0o010_000;
const S_IFCHR: u16 = 0o020_000;
const S_IFDIR: u16 = 0o040_000;
const S_IFBLK: u16 = 0o060_000;
const S_IFREG: u16 = 0o100_000;
const S_IFLNK: u16 = 0o120_000;

/// An object.
pub(crate) struct Inode {
    /// Type and permissions.
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: i64,
    pub(crate) mtime_ns: u32,
    pub(crate) xattrs: Box<[Xattr]>,
    pub(crate) body: Body,
}

/// What it is.
pub(crate) enum Body {
    Directory(Directory),
    /// Content at this byte of the tar; with segments if sparse.
    File {
        size: u64,
        offset: u64,
        sparse: Option<Box<[Segment]>>,
    },
    Symlink(Box<[u8]>),
    /// The device number as EROFS writes it.
    Device(u32),
    Fifo,
    /// What lower layers have under this name is gone.
    Whiteout,
    /// What lower layers have under this path, to which the layer makes a hard link. A whiteout until it is put over the layer.
    Below(Box<[u8]>),
}

/// A directory.
#[derive(Default)]
pub(crate) struct Directory {
    pub(crate) children: BTreeMap<Box<[u8]>, Id>,
    /// Nothing of lower layers is seen in it.
    pub(crate) opaque: bool,
    /// No entry has described it.
    implicit: bool,
}

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

    /// The directories that no entry has described, but the root, and but those that hide what is below them anyway.
    pub(crate) fn implicit_directories(&self) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
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

    /// What a hard link's target means: another name in this layer, of anything but a directory, or one of the layers below.
    fn hard_link(&mut self, link: &[u8], own: &[Vec<u8>]) -> Result<Id, String> {
        let target: Target = match Name::of(link)? {
            Name::Object(components) => components,
            _ => return Err("a hard link to a whiteout".to_owned()),
        };
        // Replacing the target by a link to itself changes nothing, but its parents must not be replaced by directories.
        if own.len() > target.len() && own[..target.len()] == target[..] {
            return Err("a hard link to its own parent".to_owned());
        }
        let mut id = ROOT;
        for component in &target {
            id = match &self.inode(id).body {
                Body::Directory(directory) => match directory.children.get(&component[..]) {
                    Some(&child) => child,
                    None if directory.opaque => {
                        return Err(format!("a hard link to {:?}, which this layer hides", join(&target)));
                    }
                    None => return self.link_below(target.join(&b'/')),
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

    fn link_below(&mut self, path: Vec<u8>) -> Result<Id, String> {
        if let Some(&id) = self.below.get(&path[..]) {
            return Ok(id);
        }
        let path: Box<[u8]> = path.into();
        let inode = Inode { mode: S_IFCHR, body: Body::Below(path.clone()), ..Inode::implicit_directory() };
        let id = self.push(inode)?;
        self.below.insert(path, id);
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
            let Body::Directory(directory) = &self.inode(id).body else { continue };
            for (name, &child) in &directory.children {
                let path = if path.is_empty() { name.to_vec() } else { [&path[..], b"/", name].concat() };
                match &self.inode(child).body {
                    Body::Below(target) => links.push((target.to_vec(), path)),
                    Body::Directory(_) => open.push((child, path)),
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
            match &self.inode(id).body {
                Body::Directory(directory) => match directory.children.get(name) {
                    Some(&child) => id = child,
                    None => return !directory.opaque,
                },
                _ => return false,
            }
        }
        false
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
        let inode = Inode { mode: S_IFCHR, body: Body::Whiteout, ..Inode::implicit_directory() };
        let id = self.push(inode)?;
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

impl Inode {
    /// A directory that no entry has described: as `mkdir -p` by root makes it.
    fn implicit_directory() -> Self {
        let body = Body::Directory(Directory { implicit: true, ..Directory::default() });
        Inode { mode: S_IFDIR | 0o755, uid: 0, gid: 0, mtime: 0, mtime_ns: 0, xattrs: Box::default(), body }
    }

    fn of(entry: Entry) -> Result<Self, String> {
        let (file_type, body) = match entry.kind {
            Kind::Directory => (S_IFDIR, Body::Directory(Directory::default())),
            Kind::File | Kind::HardLink => {
                let sparse = entry.sparse.map(Vec::into_boxed_slice);
                (S_IFREG, Body::File { size: entry.size, offset: entry.offset, sparse })
            }
            Kind::Symlink if entry.link.is_empty() => return Err("a symbolic link to nothing".to_owned()),
            Kind::Symlink if entry.link.len() > 4095 || entry.link.contains(&0) => {
                return Err(
                    "the target of a symbolic link is longer than 4095 bytes, or contains a NUL byte".to_owned()
                );
            }
            Kind::Symlink => (S_IFLNK, Body::Symlink(entry.link.into())),
            Kind::Char { major, minor } => (S_IFCHR, Body::Device(device(major, minor)?)),
            Kind::Block { major, minor } => (S_IFBLK, Body::Device(device(major, minor)?)),
            Kind::Fifo => (S_IFIFO, Body::Fifo),
        };
        let permissions = if file_type == S_IFLNK { 0o777 } else { entry.mode as u16 & 0o7777 };
        let xattrs = entry.xattrs.into_iter().filter(|(name, value)| is_kept(name, value)).collect();
        let (mtime, mtime_ns) = (entry.mtime, entry.mtime_ns);
        Ok(Inode { mode: file_type | permissions, uid: entry.uid, gid: entry.gid, mtime, mtime_ns, xattrs, body })
    }

    /// EROFS_FT_*.
    pub(crate) fn file_type(&self) -> u8 {
        match self.mode & 0o170_000 {
            S_IFREG => 1,
            S_IFDIR => 2,
            S_IFCHR => 3,
            S_IFBLK => 4,
            S_IFIFO => 5,
            _ => 7,
        }
    }
}

/// Device numbers of 12 and 20 bits, as Linux has them (include/linux/kdev_t.h, new_encode_dev).
fn device(major: u32, minor: u32) -> Result<u32, String> {
    if major >= 1 << 12 || minor >= 1 << 20 {
        return Err(format!("device number {major}:{minor} is beyond what Linux has"));
    }
    Ok((minor & 0xff) | (major << 8) | ((minor & !0xff) << 12))
}

/// Which attributes of a layer are kept: not overlayfs's own, which a layer could use to see or redirect what is not its own, not
/// SELinux labels, which are the host's to give, and not what Linux would not take either.
fn is_kept(name: &[u8], value: &[u8]) -> bool {
    let ours = [&b"trusted.overlay."[..], b"user.overlay."].iter().any(|prefix| name.starts_with(prefix));
    let fits = name.len() <= 255 && value.len() <= 65535 && !name.contains(&0);
    !ours && fits && name != b"security.selinux"
}
