use super::*;
use crate::tar::{Segment, Xattr};
use std::path::Path;

fn entry(path: &str, kind: Kind) -> Entry {
    Entry {
        path: path.as_bytes().to_vec(),
        kind,
        link: Vec::new(),
        mode: 0o644,
        uid: 0,
        gid: 0,
        mtime: 0,
        mtime_ns: 0,
        size: 0,
        xattrs: Vec::new(),
        offset: 0,
        sparse: None,
    }
}

fn link(path: &str, target: &str) -> Entry {
    Entry { link: target.as_bytes().to_vec(), ..entry(path, Kind::HardLink) }
}

fn tree(entries: impl IntoIterator<Item = Entry>) -> Tree {
    let mut tree = Tree::new(Path::new("/var/tmp"));
    for entry in entries {
        tree.add(entry).unwrap();
    }
    tree
}

/// All paths that can be reached, in the order of the tree, with what they mean.
fn paths(tree: &Tree) -> Vec<(String, Id)> {
    let (mut all, mut open) = (Vec::new(), vec![(ROOT, String::new())]);
    while let Some((id, path)) = open.pop() {
        let Body::Directory(directory) = tree.inode(id).body else { continue };
        for (name, child) in tree.children(directory) {
            let path = format!("{path}/{}", String::from_utf8_lossy(name));
            all.push((path.clone(), child));
            open.push((child, path));
        }
    }
    all.sort();
    all
}

fn names(tree: &Tree) -> Vec<String> {
    paths(tree).into_iter().map(|(path, _)| path).collect()
}

#[test]
fn a_directory_that_is_replaced_takes_what_was_in_it_along() {
    // The directory that was looked up last is gone when the next entry names it.
    let by_file = [entry("a/b/x", Kind::File), entry("a", Kind::File), entry("a/b/y", Kind::File)];
    assert_eq!(names(&tree(by_file)), ["/a", "/a/b", "/a/b/y"]);
    let by_link = [entry("f", Kind::File), entry("a/b/x", Kind::File), link("a/b", "f"), entry("a/b/y", Kind::File)];
    assert_eq!(names(&tree(by_link)), ["/a", "/a/b", "/a/b/y", "/f"]);
    let described = [entry("a/b/x", Kind::File), entry("a/b", Kind::Directory), entry("a/b/y", Kind::File)];
    assert_eq!(names(&tree(described)), ["/a", "/a/b", "/a/b/x", "/a/b/y"]);
}

#[test]
fn objects_are_walked_once_and_their_names_counted() {
    let mut tree = tree([
        entry("one", Kind::File),
        link("two", "one"),
        link("d/three", "two"),
        entry("lost", Kind::File),
        link("found", "lost"),
        entry("lost", Kind::Fifo),
        entry("plain", Kind::File),
        link("plain", "plain"),
    ]);
    let known: std::collections::HashMap<String, Id> = paths(&tree).into_iter().collect();
    assert!(known["/one"] == known["/two"] && known["/one"] == known["/d/three"]);
    tree.finish().unwrap();
    for _ in 0..2 {
        let (mut walk, mut met) = (Walk::new(&mut tree), Vec::new());
        while let Some(id) = walk.next(&mut tree) {
            met.push(id);
        }
        let distinct: std::collections::BTreeSet<Id> = met.iter().copied().collect();
        assert_eq!((met.len(), distinct.len(), met[0]), (6, 6, ROOT), "root, d, one, found, lost, plain");
        let count = |name: &str| tree.names(known[name]);
        assert_eq!((count("/one"), count("/found"), count("/plain"), count("/lost")), (3, 1, 1, 1));
        assert_eq!(tree.first_name(known["/one"]), (ROOT, &b"one"[..]));
        assert_eq!(tree.path(known["/d"]), b"d");
    }
    assert!(!tree.is_linked(known["/lost"]) && !tree.is_linked(known["/d"]));
}

#[test]
fn what_is_kept_of_an_object_is_what_the_entry_said() {
    let xattr = |name: &str| -> Xattr { (name.as_bytes().to_vec(), b"v".to_vec()) };
    let segments = vec![Segment { offset: 4096, length: 512 }, Segment { offset: 1 << 40, length: 1 }];
    let file = Entry { size: (1 << 40) + 1, offset: 1 << 38, sparse: Some(segments.clone()), ..entry("s", Kind::File) };
    let odd = Entry {
        mode: 0o104_755,
        uid: u32::MAX,
        gid: 70_000,
        mtime: i64::MIN,
        mtime_ns: 999_999_999,
        xattrs: vec![xattr("user.a"), xattr("trusted.overlay.opaque"), xattr("security.selinux")],
        size: i64::MAX as u64,
        offset: 512,
        ..entry("odd", Kind::File)
    };
    let tree = tree([file, odd, entry("c", Kind::Char { major: 4095, minor: 0xf_ffff })]);
    let known: std::collections::HashMap<String, Id> = paths(&tree).into_iter().collect();
    let Body::File { size, offset, sparse } = tree.inode(known["/s"]).body else { panic!("not a file") };
    assert_eq!((size, offset, sparse.unwrap().read()), ((1 << 40) + 1, 1 << 38, segments));
    let odd = tree.inode(known["/odd"]);
    assert_eq!((odd.mode, odd.uid, odd.gid), (0o104_755, u32::MAX, 70_000));
    let kept: Vec<_> = odd.xattrs.iter().collect();
    assert_eq!((odd.mtime, odd.mtime_ns, &kept[..]), (i64::MIN, 999_999_999, &[(&b"user.a"[..], &b"v"[..])][..]));
    assert!(matches!(odd.body, Body::File { size, offset: 512, sparse: None } if size == i64::MAX as u64));
    assert!(matches!(tree.inode(known["/c"]).body, Body::Device(u32::MAX)) && tree.file_type(known["/c"]) == 3);
}

/// Many enough that they are sorted in parts.
#[test]
fn names_in_no_order_come_out_sorted() {
    const COUNT: u32 = 60_000;
    let mut tree = Tree::new(Path::new("/var/tmp"));
    let name = |number: u32| format!("{number:a>50}");
    for number in (0..COUNT).map(|number| (u64::from(number) * 7919 % u64::from(COUNT)) as u32) {
        tree.add(entry(&format!("d/{}", name(number)), Kind::File)).unwrap();
        if number % 1000 == 0 {
            // What is there is found: replaced, linked to, hidden.
            tree.add(link(&format!("d/{}", name(number)), &format!("d/{}", name(number)))).unwrap();
            tree.add(entry(&format!("d/{}", name(number)), Kind::Directory)).unwrap();
            tree.add(link(&format!("l{number}"), &format!("low/{number}"))).unwrap();
        }
    }
    assert_eq!(tree.finish(), Ok(0));
    let all = names(&tree);
    assert_eq!(all.len() as u32, 1 + COUNT + COUNT / 1000);
    let Body::Directory(root) = tree.inode(ROOT).body else { panic!("no directory") };
    let (first, directory) = tree.children(root).next().unwrap();
    let Body::Directory(large) = tree.inode(directory).body else { panic!("no directory") };
    let mut expected: Vec<String> = (0..COUNT).map(name).collect();
    expected.sort_unstable();
    assert!(first == b"d" && tree.children(large).map(|(name, _)| name).eq(expected.iter().map(String::as_bytes)));
    assert_eq!(tree.children(large).filter(|&(_, id)| tree.is_directory(id)).count() as u32, COUNT / 1000);
}

#[test]
fn what_is_left_to_lower_layers_is_told() {
    let opaque = entry("o/.wh..wh..opq", Kind::File);
    let tree = {
        let entries = [
            entry("a/b/c", Kind::File),
            entry("a/d", Kind::Directory),
            entry("a/d/e/f", Kind::File),
            opaque,
            entry("o/p/q", Kind::File),
            link("l1", "low/x"),
            link("a/l2", "low/x"),
            link("l3", "low/y"),
            entry("low/.wh.y", Kind::File),
            link("gone", "low/z"),
            entry("gone", Kind::File),
        ];
        let mut tree = tree(entries);
        tree.finish().unwrap();
        tree
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (mut implicit, mut links) = (Vec::new(), Vec::new());
    let told = tree.implicit_directories(|path| {
        implicit.push(text(path));
        Ok::<_, ()>(())
    });
    assert!(told.is_ok() && implicit == ["a", "a/b", "a/d/e", "low"], "{implicit:?}");
    let told = tree.links_below(|target, name| {
        links.push((text(target), text(name)));
        if links.len() < 4 { Ok(()) } else { Err(()) }
    });
    let pairs = [("low/x", "a/l2"), ("low/x", "l1"), ("low/y", "l3"), ("low/x", "low/x")];
    assert!(told.is_err() && links == pairs.map(|(target, name)| (target.to_owned(), name.to_owned())), "{links:?}");
}
