//! `-u user:group` against the image's own /etc/passwd and /etc/group. Parsing only; who reads the files is elsewhere.

use crate::error::{Error, Result};

/// The image's user and group files, as text; empty where there is none.
#[derive(Debug, Clone, Default)]
pub(crate) struct Databases {
    pub(crate) passwd: String,
    pub(crate) group: String,
}

/// Credentials of the program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ResolvedUser {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) additional: Vec<u32>,
    pub(crate) home: String,
}

struct PasswdEntry<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

struct GroupEntry<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

fn passwd(text: &str) -> impl Iterator<Item = PasswdEntry<'_>> {
    text.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let (name, _, uid, gid) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let home = fields.nth(1).unwrap_or("/");
        Some(PasswdEntry { name, uid: uid.parse().ok()?, gid: gid.parse().ok()?, home })
    })
}

fn groups(text: &str) -> impl Iterator<Item = GroupEntry<'_>> {
    text.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let (name, _, gid) = (fields.next()?, fields.next()?, fields.next()?);
        Some(GroupEntry { name, gid: gid.parse().ok()?, members: fields.next().unwrap_or("") })
    })
}

/// Resolves `user[:group]` as Docker does: a name must exist; a number need not; without a group the user's own and those it is a
/// member of. An empty text means user 0.
///
/// # Errors
/// [`Error::Invalid`] for an unknown name or a number out of range.
pub(crate) fn resolve_user(text: &str, group_add: &[String], databases: &Databases) -> Result<ResolvedUser> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|g| !g.is_empty())),
        None => (text, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let number = user.parse::<u32>().ok();
    // What looks like a number is never a name, or an image could call root `1000`, or 4294967296 (CVE-2024-40635, CVE-2026-46680).
    let named = |e: &PasswdEntry<'_>| if is_number(user) { Some(e.uid) == number } else { e.name == user };
    let entry = passwd(&databases.passwd).find(named);
    let (uid, mut gid, home, name) = match (&entry, number) {
        (Some(e), _) => (e.uid, e.gid, e.home, e.name),
        (None, Some(uid)) => (uid, 0, if uid == 0 { "/root" } else { "/" }, ""),
        (None, None) if is_number(user) => return Err(out_of_range(user)),
        (None, None) => {
            return Err(Error::Invalid(format!("unable to find user {user}: no matching entries in passwd file")));
        }
    };
    if uid > i32::MAX as u32 {
        return Err(out_of_range(user));
    }
    let mut additional = Vec::new();
    match group {
        Some(group) => gid = group_id(group, databases)?,
        None if !name.is_empty() => {
            let member = |e: &GroupEntry<'_>| e.gid != gid && e.members.split(',').any(|m| m == name);
            additional.extend(groups(&databases.group).filter(member).map(|e| e.gid));
        }
        None => {}
    }
    for group in group_add {
        additional.push(group_id(group, databases)?);
    }
    // The primary group too, or a program could drop it and so pass what a group is denied (CVE-2022-36109).
    additional.push(gid);
    additional.sort_unstable();
    additional.dedup();
    let home = if home.is_empty() { "/" } else { home };
    Ok(ResolvedUser { uid, gid, additional, home: home.to_owned() })
}

fn group_id(group: &str, databases: &Databases) -> Result<u32> {
    let number = group.parse::<u32>().ok().filter(|n| *n <= i32::MAX as u32);
    let named = |e: &GroupEntry<'_>| if is_number(group) { Some(e.gid) == number } else { e.name == group };
    let entry = groups(&databases.group).find(named);
    match (entry, number) {
        (Some(entry), _) => Ok(entry.gid),
        (None, Some(number)) => Ok(number),
        (None, None) if is_number(group) => Err(out_of_range(group)),
        (None, None) => Err(Error::Invalid(format!("unable to find group {group}: no matching entries in group file"))),
    }
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

fn out_of_range(text: &str) -> Error {
    Error::Invalid(format!("uids and gids must be in range 0-2147483647: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn databases() -> Databases {
        Databases {
            passwd: "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34:Web:/var/www:/bin/false\nbroken\n7:x:70:71::/seven:\n"
                .into(),
            group: "root:x:0:\nadm:x:4:web,other\nweb:x:34:web\ndocker:x:99:x,web\n".into(),
        }
    }

    #[test]
    fn users_resolve_as_docker_does() {
        let user = |text: &str| {
            resolve_user(text, &[], &databases())
                .map(|u| (u.uid, u.gid, u.additional, u.home))
                .map_err(|e| e.to_string())
        };
        assert_eq!(user("").unwrap(), (0, 0, vec![0], "/root".into()));
        assert_eq!(user("web").unwrap(), (33, 34, vec![4, 34, 99], "/var/www".into()));
        assert_eq!(user("33").unwrap(), (33, 34, vec![4, 34, 99], "/var/www".into()));
        assert_eq!(user("web:adm").unwrap(), (33, 4, vec![4], "/var/www".into()));
        assert_eq!(user("web:").unwrap().1, 34);
        assert_eq!(user("1000").unwrap(), (1000, 0, vec![0], "/".into()));
        assert_eq!(user("1000:1000").unwrap(), (1000, 1000, vec![1000], "/".into()));
        assert_eq!(user(":adm").unwrap().1, 4);
        assert_eq!(user("nobody").unwrap_err(), "unable to find user nobody: no matching entries in passwd file");
        assert_eq!(user("web:none").unwrap_err(), "unable to find group none: no matching entries in group file");
        assert!(user("4294967295").is_err() && user("99999999999").is_err() && user("0:99999999999").is_err());
    }

    #[test]
    fn no_name_looks_like_a_number() {
        let evil = Databases {
            passwd: "1000:x:0:0::/:\n4294967296:x:0:0::/:\n-1:x:0:0::/:\n".into(),
            group: "1000:x:0:\n99999999999:x:0:\n".into(),
        };
        let user = |text: &str| resolve_user(text, &[], &evil);
        assert_eq!(user("1000").unwrap().uid, 1000);
        assert_eq!(user("1000:1000").unwrap().gid, 1000);
        for bad in ["4294967296", "-1", "1:99999999999"] {
            assert!(user(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn added_groups_are_resolved_too() {
        let user = resolve_user("1000", &["adm".into(), "50".into()], &databases()).unwrap();
        assert_eq!(user.additional, [0, 4, 50]);
    }
}
