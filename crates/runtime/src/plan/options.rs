//! Mount options: fstab words to attributes, propagation and file system data.
//!
//! The words are runc's list (runtime-spec, "Linux mount options"). What is no such word goes to the file system verbatim.

use carboy_sys::mount::{Change, attr, propagation};

/// Options, sorted by what they concern.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Attributes of the mount.
    pub attributes: Change,
    /// Attributes of the mount and what lies below it.
    pub recursive: Change,
    /// Propagation, in order: flag, recursive.
    pub propagation: Vec<(u64, bool)>,
    /// A bind mount: whether recursive.
    pub bind: Option<bool>,
    /// Change an existing mount.
    pub remount: bool,
    /// runc's `tmpcopyup`.
    pub copy_up: bool,
    /// `idmap` or `ridmap`: whether recursive.
    pub id_map: Option<bool>,
    /// Words that are known and do nothing.
    pub without_effect: Vec<&'static str>,
    /// Key and value for the file system.
    pub data: Vec<(String, Option<String>)>,
}

/// Word, bits to set, bits to clear.
const ATTRIBUTES: &[(&str, u64, u64)] = &[
    ("ro", attr::RDONLY, 0),
    ("rw", 0, attr::RDONLY),
    ("nosuid", attr::NOSUID, 0),
    ("suid", 0, attr::NOSUID),
    ("nodev", attr::NODEV, 0),
    ("dev", 0, attr::NODEV),
    ("noexec", attr::NOEXEC, 0),
    ("exec", 0, attr::NOEXEC),
    ("noatime", attr::NOATIME, attr::ATIME_MASK),
    ("atime", 0, attr::ATIME_MASK),
    ("relatime", 0, attr::ATIME_MASK),
    ("norelatime", 0, attr::ATIME_MASK),
    ("strictatime", attr::STRICTATIME, attr::ATIME_MASK),
    ("nostrictatime", 0, attr::ATIME_MASK),
    ("nodiratime", attr::NODIRATIME, 0),
    ("diratime", 0, attr::NODIRATIME),
    ("nosymfollow", attr::NOSYMFOLLOW, 0),
    ("symfollow", 0, attr::NOSYMFOLLOW),
];

const PROPAGATION: &[(&str, u64)] = &[
    ("private", propagation::PRIVATE),
    ("slave", propagation::SLAVE),
    ("shared", propagation::SHARED),
    ("unbindable", propagation::UNBINDABLE),
];

/// Words for the superblock, spelled as `fsconfig` flags; the second of a pair undoes the first and is the default.
const SUPERBLOCK: &[(&str, Option<&str>)] = &[
    ("sync", Some("sync")),
    ("async", None),
    ("dirsync", Some("dirsync")),
    ("mand", Some("mand")),
    ("nomand", None),
    ("lazytime", Some("lazytime")),
    ("nolazytime", None),
    ("loud", None),
    ("noiversion", None),
    ("defaults", None),
    ("acl", None),
    ("noacl", None),
];

/// Words that the kernel's mount interface by file descriptors has no flag for. They change nothing that can be seen: messages in the kernel's
/// log, and versions of files, which file systems that have them keep without being told (ext4 from Linux 6.1 on, tmpfs from 6.6).
const WITHOUT_EFFECT: &[&str] = &["silent", "iversion"];

/// Flag and recursiveness of a propagation word, such as `rslave`.
pub fn propagation_of(word: &str) -> Option<(u64, bool)> {
    let find = |word: &str| PROPAGATION.iter().find(|(name, _)| *name == word).map(|(_, flag)| *flag);
    find(word).map(|flag| (flag, false)).or_else(|| find(word.strip_prefix('r')?).map(|flag| (flag, true)))
}

fn apply(change: &mut Change, set: u64, clear: u64) {
    change.set = change.set & !clear & !(set & attr::ATIME_MASK) | set;
    change.clear = change.clear & !set | clear;
}

impl Options {
    /// Sorts the words of one mount.
    pub fn parse(words: &[String]) -> Options {
        let mut options = Options::default();
        for word in words {
            options.add(word);
        }
        options
    }

    fn add(&mut self, word: &str) {
        if let Some((_, set, clear)) = ATTRIBUTES.iter().find(|(name, ..)| *name == word) {
            return apply(&mut self.attributes, *set, *clear);
        }
        let recursive = word.strip_prefix('r').and_then(|rest| ATTRIBUTES.iter().find(|(name, ..)| *name == rest));
        if let Some((_, set, clear)) = recursive {
            return apply(&mut self.recursive, *set, *clear);
        }
        if let Some(propagation) = propagation_of(word) {
            return self.propagation.push(propagation);
        }
        if let Some((_, flag)) = SUPERBLOCK.iter().find(|(name, _)| *name == word) {
            return self.data.extend(flag.map(|flag| (flag.to_owned(), None)));
        }
        if let Some(known) = WITHOUT_EFFECT.iter().find(|known| **known == word) {
            return self.without_effect.push(known);
        }
        match word {
            "bind" => self.bind = Some(self.bind.unwrap_or(false)),
            "rbind" => self.bind = Some(true),
            "remount" => self.remount = true,
            "tmpcopyup" => self.copy_up = true,
            "idmap" => self.id_map = Some(false),
            "ridmap" => self.id_map = Some(true),
            // More than one key in a word: the file system takes them one by one.
            _ => self.data.extend(word.split(',').filter(|part| !part.is_empty()).map(key_and_value)),
        }
    }
}

fn key_and_value(word: &str) -> (String, Option<String>) {
    match word.split_once('=') {
        Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
        None => (word.to_owned(), None),
    }
}

/// All words that are understood.
pub fn words() -> Vec<String> {
    let plain = ATTRIBUTES.iter().map(|(word, ..)| (*word).to_owned());
    let recursive = ATTRIBUTES.iter().map(|(word, ..)| format!("r{word}"));
    let propagation = PROPAGATION.iter().flat_map(|(word, _)| [(*word).to_owned(), format!("r{word}")]);
    let others = SUPERBLOCK.iter().map(|(word, _)| word).chain(WITHOUT_EFFECT).map(|word| (*word).to_owned());
    let own = ["bind", "rbind", "remount", "tmpcopyup", "idmap", "ridmap"].map(str::to_owned);
    let mut words: Vec<String> = plain.chain(recursive).chain(propagation).chain(others).chain(own).collect();
    words.sort();
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Options {
        Options::parse(&text.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn words_go_where_they_belong() {
        let o = parse("nosuid rbind ro rnoexec rslave mode=755 size=64k sync");
        assert_eq!(o.attributes.set, attr::NOSUID | attr::RDONLY);
        assert_eq!(o.recursive.set, attr::NOEXEC);
        assert_eq!(o.propagation, [(propagation::SLAVE, true)]);
        assert_eq!(o.bind, Some(true));
        let key = |k: &str, v: &str| (k.to_owned(), Some(v.to_owned()));
        assert_eq!(o.data, [key("mode", "755"), key("size", "64k"), ("sync".to_owned(), None)]);
    }

    #[test]
    fn the_last_of_contradicting_words_wins() {
        assert_eq!(parse("ro rw").attributes, Change { set: 0, clear: attr::RDONLY, propagation: 0 });
        assert_eq!(parse("rw ro").attributes.set, attr::RDONLY);
        assert_eq!(parse("noatime strictatime").attributes.set, attr::STRICTATIME);
    }

    #[test]
    fn rw_is_not_a_recursive_w_and_rprivate_not_an_attribute() {
        assert_eq!(parse("rw").recursive, Change::default());
        assert_eq!(parse("rro").recursive.set, attr::RDONLY);
        assert_eq!(propagation_of("rprivate"), Some((propagation::PRIVATE, true)));
        assert_eq!(propagation_of("ro"), None);
    }
}
