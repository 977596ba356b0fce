//! Which capabilities a container keeps.

use crate::error::{Error, Result};
use crate::request::RunRequest;
use carboy_oci::capabilities::NAMES;

/// What Docker leaves a container (moby, oci/caps/defaults.go).
const DEFAULT: [&str; 14] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];

/// The capabilities of a container, as `CAP_…`, in the order of their numbers.
///
/// `ALL` and `--privileged` mean those the engine itself has in its bounding set, because no process can hand out more.
///
/// # Errors
/// [`Error::Invalid`] for an unknown name.
pub(crate) fn effective(request: &RunRequest) -> Result<Vec<String>> {
    let add = normalize("CapAdd", &request.cap_add)?;
    let drop = normalize("CapDrop", &request.cap_drop)?;
    let all = |list: &[&str]| list.contains(&"ALL");
    let available = if request.privileged || all(&add) { bounding() } else { u64::MAX };
    let mut kept = Vec::new();
    for (number, name) in NAMES.iter().enumerate() {
        let base = match (request.privileged || all(&add), all(&drop)) {
            (true, _) => available & (1 << number) != 0,
            (false, true) => false,
            (false, false) => DEFAULT.contains(name),
        };
        // As in Docker: what is named wins over ALL, and among names dropping wins.
        let wanted = (base || add.contains(name)) && !drop.contains(name);
        if wanted {
            kept.push(format!("CAP_{name}"));
        }
    }
    Ok(kept)
}

fn normalize(what: &str, names: &[String]) -> Result<Vec<&'static str>> {
    let mut found = Vec::with_capacity(names.len());
    for name in names {
        let upper = name.to_ascii_uppercase();
        let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
        match NAMES.iter().find(|known| **known == bare) {
            Some(known) => found.push(*known),
            None if bare == "ALL" => found.push("ALL"),
            None => return Err(Error::Invalid(format!("invalid {what}: unknown capability: \"CAP_{bare}\""))),
        }
    }
    Ok(found)
}

/// Our own bounding set; everything if it cannot be read.
fn bounding() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("CapBnd:"));
    line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(add: &[&str], drop: &[&str]) -> Vec<String> {
        let owned = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect();
        effective(&RunRequest { cap_add: owned(add), cap_drop: owned(drop), ..RunRequest::default() }).unwrap()
    }

    #[test]
    fn docker_default_has_fourteen() {
        assert_eq!(kept(&[], &[]).len(), 14);
    }

    #[test]
    fn adding_and_dropping() {
        assert_eq!(kept(&["net_admin"], &["ALL"]), ["CAP_NET_ADMIN"]);
        assert!(kept(&[], &["CAP_CHOWN"]).iter().all(|c| c != "CAP_CHOWN"));
        let all = kept(&["ALL"], &["SYS_ADMIN"]);
        assert!(all.len() > 14 && !all.contains(&"CAP_SYS_ADMIN".to_owned()));
        assert!(kept(&[], &["ALL"]).is_empty());
    }

    #[test]
    fn unknown_names_are_refused() {
        let request = RunRequest { cap_add: vec!["FLY".into()], ..RunRequest::default() };
        assert_eq!(effective(&request).unwrap_err().to_string(), "invalid CapAdd: unknown capability: \"CAP_FLY\"");
    }
}
