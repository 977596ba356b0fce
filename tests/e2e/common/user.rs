//! The two ordinary users that `dev/test` makes.

/// A line of /etc/passwd.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) name: &'static str,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl User {
    /// One with ranges in /etc/subuid and /etc/subgid.
    pub(crate) fn with_subordinate_ids() -> User {
        let user = find("carboy-test-ids");
        let ranges = std::fs::read_to_string("/etc/subuid").unwrap_or_default();
        assert!(
            ranges.lines().any(|line| line.starts_with("carboy-test-ids:")),
            "no range in /etc/subuid; see dev/test"
        );
        user
    }

    /// One without.
    pub(crate) fn without_subordinate_ids() -> User {
        let user = find("carboy-test-noids");
        let ranges = std::fs::read_to_string("/etc/subuid").unwrap_or_default();
        assert!(
            !ranges.lines().any(|line| line.starts_with("carboy-test-noids:")),
            "a range in /etc/subuid; see dev/test"
        );
        user
    }
}

fn find(name: &'static str) -> User {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
    let line = passwd.lines().find(|line| line.split(':').next() == Some(name));
    let line = line.unwrap_or_else(|| panic!("there is no user {name}: dev/test makes it for the time of the tests"));
    let fields: Vec<&str> = line.split(':').collect();
    User { name, uid: fields[2].parse().unwrap(), gid: fields[3].parse().unwrap() }
}
