//! The lines of /proc/PID/mountinfo, proc_pid_mountinfo(5): `36 35 98:0 /root /mount options optional… - type source super-options`.

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount<'a> {
    /// What of its file system is mounted.
    pub root: String,
    /// Where.
    pub point: String,
    /// The file system's type.
    pub kind: &'a str,
    /// The file system's own options.
    pub options: &'a str,
}

/// The mounts that a text names, in its order.
pub fn parse(text: &str) -> impl Iterator<Item = Mount<'_>> {
    text.lines().filter_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ').skip(3).map(unescape);
        let (root, point) = (left.next()?, left.next()?);
        let mut right = right.split(' ');
        let kind = right.next()?;
        Some(Mount { root, point, kind, options: right.nth(1).unwrap_or_default() })
    })
}

/// Octal escapes: space, tab, newline, backslash.
fn unescape(text: &str) -> String {
    if !text.contains('\\') {
        return text.to_owned();
    }
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_whatever_the_optional_ones() {
        let text = "24 1 0:22 / / rw shared:1 - ext4 /dev/sda1 rw,discard\n\
                    32 25 0:30 /a\\040b /mnt/c\\134d ro - proc none rw\nnonsense\n";
        let mounts: Vec<_> = parse(text).map(|m| (m.root, m.point, m.kind, m.options)).collect();
        let own = |text: &str| text.to_owned();
        assert_eq!(mounts, [(own("/"), own("/"), "ext4", "rw,discard"), (own("/a b"), own("/mnt/c\\d"), "proc", "rw")]);
    }
}
