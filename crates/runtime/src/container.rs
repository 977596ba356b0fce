//! A container on record: `<root>/<id>/`.
//!
//! ```text
//! <root>/<id>/             made exclusively: claims the ID; flocked while `create` is under way
//!   creating.json          Record, written before anything is taken; gone once the container is created
//!   state.json             Record with the init process, in place as a whole once that is born
//!   config.json            the configuration as it was given
//!   start.sock             exists while the container waits for `start`
//! ```

use crate::cgroups;
use crate::error::{Context, Error, Result};
use carboy_oci::runtime::Spec;
use carboy_oci::state::{State, Status};
use carboy_state::file::read_json;
use carboy_state::process::ProcessRef;
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

const CREATING: &str = "creating.json";
const STATE: &str = "state.json";
/// Becomes state.json; only the lock's holder writes it.
const NEW_STATE: &str = ".state.json";
const CONFIG: &str = "config.json";
const SOCKET: &str = "start.sock";

/// `state.json`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Record {
    /// Version of the runtime-spec that the configuration names.
    pub oci_version: String,
    /// The ID.
    pub id: String,
    /// Absolute path of the bundle.
    pub bundle: String,
    /// Absolute path of the root file system.
    pub rootfs: String,
    /// RFC 3339.
    pub created: String,
    /// User ID of the creator.
    pub owner: u32,
    /// The init process; absent while it is being made.
    pub init: Option<ProcessRef>,
    /// Bits of the namespaces that the container does not share with the runtime.
    pub namespaces: u64,
    /// Its cgroup, recorded before it is made.
    pub cgroup: cgroups::Record,
    /// Whether the configuration has poststop hooks, for which it must be read again at the end.
    pub poststop: bool,
    /// Whether its programs keep the session keyring of whoever starts them.
    pub no_new_keyring: bool,
    /// Annotations of the configuration.
    pub annotations: BTreeMap<String, String>,
}

/// A container by its folder.
#[derive(Debug, Clone)]
pub struct Container {
    /// `<root>/<id>`.
    pub folder: PathBuf,
    /// What is on record.
    pub record: Record,
}

/// Checks an ID as runc does: it becomes a file name.
pub fn check_id(id: &str) -> Result<()> {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '-' | '.');
    if id.is_empty() || id == "." || id == ".." || !id.chars().all(fine) || id.len() > 1024 {
        return Err(Error::Usage("invalid container ID format".into()));
    }
    Ok(())
}

impl Container {
    /// Claims the ID. The returned descriptor holds the folder's lock: as long as it is held the container is being created.
    pub fn claim(root: &Path, record: Record) -> Result<(Container, OwnedFd)> {
        check_id(&record.id)?;
        let folder = root.join(&record.id);
        if let Err(e) = rustix::fs::mkdir(&folder, Mode::RWXU) {
            match e {
                Errno::NOENT => make_root(root)?,
                Errno::EXIST => return Err(Error::Exists),
                e => return Err(e).context(|| format!("mkdir {}", folder.display())),
            }
            match rustix::fs::mkdir(&folder, Mode::RWXU) {
                Err(Errno::EXIST) => return Err(Error::Exists),
                result => result.context(|| format!("mkdir {}", folder.display()))?,
            }
        }
        let lock = open_folder(&folder)?;
        flock(&lock, FlockOperation::LockExclusive).context(|| format!("lock {}", folder.display()))?;
        let container = Container { folder, record };
        let path = container.folder.join(CREATING);
        let text = serde_json::to_vec(&container.record).map_err(|e| Error::Other(format!("encode: {e}")))?;
        std::fs::write(&path, text).context(|| format!("write {}", path.display()))?;
        Ok((container, lock))
    }

    /// Opens one that exists.
    pub fn open(root: &Path, id: &str) -> Result<Container> {
        check_id(id)?;
        let folder = root.join(id);
        // In the order in which they come to be, the later one first; a second look finds what was replaced between two.
        for name in [STATE, CREATING, STATE] {
            match read_json(&folder.join(name)) {
                Ok(record) => return Ok(Container { folder, record }),
                Err(e) if e.is_not_found() => {}
                // Killed while it was being written: nothing has been taken.
                Err(_) if name == CREATING => break,
                Err(e) => return Err(e.into()),
            }
        }
        if !folder.is_dir() {
            return Err(Error::NotFound);
        }
        // Killed between claim and record: nothing has been taken.
        Ok(Container { folder, record: Record { id: id.to_owned(), ..Record::default() } })
    }

    /// Writes the record, with the init process: readers find all of it or none, those that are no runtime, too.
    pub fn save(&self) -> Result<()> {
        let (new, path) = (self.folder.join(NEW_STATE), self.folder.join(STATE));
        let text = serde_json::to_vec(&self.record).map_err(|e| Error::Other(format!("encode: {e}")))?;
        std::fs::write(&new, text).context(|| format!("write {}", new.display()))?;
        std::fs::rename(&new, &path).context(|| format!("rename to {}", path.display()))
    }

    /// It is created, or its program runs, which others see by themselves ([`ProcessRef::has_executed`]).
    pub fn is_ready(&self) -> Result<()> {
        self.remove_file(CREATING)
    }

    /// Keeps the configuration.
    pub fn save_config(&self, text: &[u8]) -> Result<()> {
        let path = self.folder.join(CONFIG);
        std::fs::write(&path, text).context(|| format!("write {}", path.display()))
    }

    /// The configuration as it was given.
    pub fn config(&self) -> Result<Spec> {
        let path = self.folder.join(CONFIG);
        let text = std::fs::read(&path).context(|| format!("open {}", path.display()))?;
        crate::config::parse(&text, &path).map(|(spec, _)| spec)
    }

    /// Where it is in its life.
    pub fn status(&self) -> Status {
        match self.record.init {
            None if self.is_locked() => Status::Creating,
            Some(init) if init.is_alive() => {
                if self.folder.join(CREATING).exists() && self.is_locked() && !ProcessRef::has_executed(init.pid) {
                    Status::Creating
                } else if self.socket().exists() {
                    Status::Created
                } else if self.record.cgroup.is_frozen() {
                    Status::Paused
                } else {
                    Status::Running
                }
            }
            _ => Status::Stopped,
        }
    }

    /// Where `start` knocks.
    pub fn socket(&self) -> PathBuf {
        self.folder.join(SOCKET)
    }

    /// What `state` prints.
    pub fn state(&self) -> State {
        self.state_as(self.status())
    }

    /// The same for a caller who knows the status.
    pub fn state_as(&self, status: Status) -> State {
        let record = &self.record;
        let pid = if status == Status::Stopped { 0 } else { record.init.map_or(0, |init| init.pid) };
        State {
            oci_version: record.oci_version.clone(),
            id: record.id.clone(),
            status,
            pid,
            bundle: record.bundle.clone(),
            rootfs: Some(record.rootfs.clone()),
            created: Some(record.created.clone()),
            annotations: record.annotations.clone(),
            owner: Some(String::new()),
        }
    }

    fn is_locked(&self) -> bool {
        let Ok(fd) = open_folder(&self.folder) else { return false };
        flock(&fd, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK)
    }

    /// Removes the folder: the last thing to go.
    pub fn forget(&self) -> Result<()> {
        // What is there usually; the rest, after a crash or without a start, is found by looking.
        for name in [CONFIG, STATE] {
            self.remove_file(name)?;
        }
        match std::fs::remove_dir(&self.folder) {
            Err(e) if e.kind() == std::io::ErrorKind::DirectoryNotEmpty => std::fs::remove_dir_all(&self.folder),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
        .context(|| format!("remove {}", self.folder.display()))
    }

    fn remove_file(&self, name: &str) -> Result<()> {
        match std::fs::remove_file(self.folder.join(name)) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
            result => result.context(|| format!("remove {}", self.folder.join(name).display())),
        }
    }
}

fn open_folder(folder: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(folder, flags, Mode::empty()).context(|| format!("open {}", folder.display()))
}

fn make_root(root: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o711).create(root).context(|| format!("mkdir {}", root.display()))
}

/// Now, as RFC 3339 in UTC with nanoseconds.
pub fn now() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let (days, second) = ((now.as_secs() / 86_400) as i64, now.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:09}Z", now.subsec_nanos())
}

/// Year, month and day of a day counted from 1970-01-01 (H. Hinnant, "chrono-compatible low-level date algorithms").
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_dates() {
        for (days, date) in [(0, (1970, 1, 1)), (19_782, (2024, 2, 29)), (20_778, (2026, 11, 21)), (-1, (1969, 12, 31))]
        {
            assert_eq!(civil(days), date);
        }
    }

    #[test]
    fn a_record_that_is_half_written_is_not_relied_on() {
        let root = tempfile::tempdir().unwrap();
        let record = Record { id: "a".into(), owner: 7, ..Record::default() };
        let (mut container, _lock) = Container::claim(root.path(), record).unwrap();
        let found = || Container::open(root.path(), "a").map(|found| found.record.owner);
        for half in ["", "{\"ociVersion\":\"1"] {
            std::fs::write(container.folder.join(NEW_STATE), half).unwrap();
            assert_eq!(found().unwrap(), 7);
        }
        container.save().unwrap();
        container.is_ready().unwrap();
        assert_eq!(found().unwrap(), 7);
        let state = container.folder.join(STATE);
        let (mut reader, mut text) = (std::fs::File::open(&state).unwrap(), String::new());
        container.record.owner = 8;
        container.save().unwrap();
        std::io::Read::read_to_string(&mut reader, &mut text).unwrap();
        assert!(text.contains("\"owner\":7") && found().unwrap() == 8, "what is read is one record: {text}");
        std::fs::write(state, "{").unwrap();
        assert!(found().unwrap_err().to_string().contains("state.json"));
    }

    #[test]
    fn an_id_is_claimed_once() {
        let root = tempfile::tempdir().unwrap();
        let record = || Record { id: "a".into(), ..Record::default() };
        let (container, lock) = Container::claim(root.path(), record()).unwrap();
        assert_eq!(container.status(), Status::Creating);
        assert!(matches!(Container::claim(root.path(), record()), Err(Error::Exists)));
        drop(lock);
        assert_eq!(container.status(), Status::Stopped);
        container.forget().unwrap();
        assert!(matches!(Container::open(root.path(), "a"), Err(Error::NotFound)));
        for bad in ["", "..", "a/b", "a b"] {
            assert!(check_id(bad).is_err());
        }
    }
}
