//! The user namespace of an ordinary user: which IDs it may map, from /etc/subuid and /etc/subgid (subuid(5)).

use carboy_wire::monitor::UserNamespace;
use std::path::Path;

/// The maps for this user: root inside is the user, and the subordinate ranges follow; only the user's own ID if there are none or
/// newuidmap(1) is missing.
pub(crate) fn user_namespace(uid: u32, gid: u32) -> UserNamespace {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let name = user_name(&read("/etc/passwd"), uid);
    let uids = ranges(&read("/etc/subuid"), uid, name.as_deref());
    let gids = ranges(&read("/etc/subgid"), uid, name.as_deref());
    let helpers = has_program("newuidmap") && has_program("newgidmap");
    if uids.is_empty() || gids.is_empty() || !helpers {
        return UserNamespace { uid_map: vec![(0, uid, 1)], gid_map: vec![(0, gid, 1)], setuid_helpers: false };
    }
    UserNamespace { uid_map: map(uid, &uids), gid_map: map(gid, &gids), setuid_helpers: true }
}

/// Whether a namespace maps only its owner.
pub(crate) fn is_single(namespace: &UserNamespace) -> bool {
    !namespace.setuid_helpers
}

/// The user's name; looked up in /etc/passwd only, as a static program has no other name service.
fn user_name(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (number.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

fn ranges(text: &str, uid: u32, name: Option<&str>) -> Vec<(u32, u32)> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.trim().split(':');
            let (owner, start, count) = (fields.next()?, fields.next()?, fields.next()?);
            let mine = Some(owner) == name || owner.parse() == Ok(uid);
            mine.then_some((start.parse().ok()?, count.parse().ok()?))
        })
        .filter(|(_, count)| *count > 0)
        .collect()
}

fn map(own: u32, ranges: &[(u32, u32)]) -> Vec<(u32, u32, u32)> {
    let mut list = vec![(0, own, 1)];
    let mut next = 1u32;
    for (start, count) in ranges {
        list.push((next, *start, *count));
        next = next.saturating_add(*count);
    }
    list
}

fn has_program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let fixed = ["/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin", "/sbin"];
    std::env::split_paths(&path).chain(fixed.iter().map(Into::into)).any(|dir| is_executable(&dir.join(name)))
}

fn is_executable(path: &Path) -> bool {
    rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_the_user_follow_its_own_id() {
        let subuid = "other:1:2\nann:100000:65536\n1000:300000:10\nann:5:0\nbroken\n";
        let found = ranges(subuid, 1000, Some("ann"));
        assert_eq!(map(1000, &found), [(0, 1000, 1), (1, 100_000, 65536), (65537, 300_000, 10)]);
        assert!(ranges(subuid, 7, Some("bob")).is_empty());
        assert_eq!(user_name("root:x:0:0\nann:x:1000:1000\n", 1000).as_deref(), Some("ann"));
    }
}
