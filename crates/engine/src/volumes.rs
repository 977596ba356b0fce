//! Volumes: the `-v` and `--tmpfs` forms, and named volumes at `<root>/volumes/<name>/_data`.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// One bind mount or volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeRequest {
    /// Where it comes from.
    pub source: VolumeSource,
    /// Absolute path in the container.
    pub destination: String,
    /// Whether it is read-only.
    pub read_only: bool,
    /// Further mount options, such as `rshared` or `noexec`.
    pub options: Vec<String>,
    /// Whether an empty named volume stays empty instead of receiving what the image has at the destination.
    pub no_copy: bool,
}

/// Where a volume comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VolumeSource {
    /// A path of the host; made as a directory if it does not exist, as Docker does for `-v`.
    Host(PathBuf),
    /// A named volume, made when first used.
    Named(String),
    /// A volume of a made-up name, removed with the container.
    Anonymous,
}

const PROPAGATION: [&str; 6] = ["shared", "slave", "private", "rshared", "rslave", "rprivate"];
const MOUNT_FLAGS: [&str; 9] = ["exec", "noexec", "suid", "nosuid", "dev", "nodev", "rbind", "bind", "nosymfollow"];

impl VolumeRequest {
    /// Parses `[source:]destination[:options]`.
    ///
    /// # Errors
    /// [`Error::Invalid`] with Docker's wording.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = |why: &str| Error::Invalid(format!("invalid volume specification: '{text}': {why}"));
        let parts: Vec<&str> = text.split(':').collect();
        let (source, destination, options) = match parts[..] {
            [destination] => (None, destination, ""),
            [source, destination] if destination.starts_with('/') => (Some(source), destination, ""),
            [destination, options] if destination.starts_with('/') && !options.starts_with('/') => {
                (None, destination, options)
            }
            [source, destination, options] => (Some(source), destination, options),
            _ => return Err(bad("expected [source:]destination[:options]")),
        };
        if !destination.starts_with('/') {
            return Err(bad("mount path must be absolute"));
        }
        let destination = clean(destination);
        if destination == "/" {
            return Err(bad("destination can't be '/'"));
        }
        let source = match source {
            None => VolumeSource::Anonymous,
            Some("") => return Err(bad("empty source")),
            Some(path) if path.starts_with('/') => VolumeSource::Host(path.into()),
            Some(path) if path.starts_with("./") || path.starts_with("../") || path == "." || path == ".." => {
                VolumeSource::Host(std::path::absolute(path).map_err(|e| bad(&e.to_string()))?)
            }
            Some(name) => {
                check_volume_name(name)?;
                VolumeSource::Named(name.to_owned())
            }
        };
        let mut request = VolumeRequest { source, destination, read_only: false, options: Vec::new(), no_copy: false };
        for option in options.split(',').filter(|o| !o.is_empty()) {
            request.apply(option).map_err(|why| bad(&why))?;
        }
        Ok(request)
    }

    fn apply(&mut self, option: &str) -> std::result::Result<(), String> {
        match option {
            "ro" | "readonly" => self.read_only = true,
            "rw" => self.read_only = false,
            "nocopy" => self.no_copy = true,
            // Labels are SELinux's; where it is off they mean nothing, as in Docker and Podman.
            "z" | "Z" if !Path::new("/sys/fs/selinux/enforce").exists() => {}
            "z" | "Z" => return Err("SELinux relabelling is not supported yet".into()),
            "U" => return Err("changing the owner (U) is not supported".into()),
            _ if PROPAGATION.contains(&option) || MOUNT_FLAGS.contains(&option) => {
                if PROPAGATION.contains(&option) && !matches!(self.source, VolumeSource::Host(_)) {
                    return Err(format!("invalid mode: {option}: only for paths of the host"));
                }
                self.options.push(option.to_owned());
            }
            _ => return Err(format!("invalid mode: {option}")),
        }
        Ok(())
    }

    /// The form of Docker's `HostConfig.Binds`.
    pub fn bind_text(&self) -> String {
        let source = match &self.source {
            VolumeSource::Host(path) => path.display().to_string(),
            VolumeSource::Named(name) => name.clone(),
            VolumeSource::Anonymous => return self.destination.clone(),
        };
        let mut options: Vec<&str> = self.options.iter().map(String::as_str).collect();
        if self.read_only {
            options.insert(0, "ro");
        }
        if self.no_copy {
            options.push("nocopy");
        }
        match options.is_empty() {
            true => format!("{source}:{}", self.destination),
            false => format!("{source}:{}:{}", self.destination, options.join(",")),
        }
    }
}

/// A tmpfs mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TmpfsRequest {
    /// Absolute path in the container.
    pub destination: String,
    /// Options over Docker's `noexec,nosuid,nodev`.
    pub options: Vec<String>,
}

impl TmpfsRequest {
    /// Parses `destination[:options]`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a relative path or an unknown option.
    pub fn parse(text: &str) -> Result<Self> {
        let (destination, options) = text.split_once(':').unwrap_or((text, ""));
        if !destination.starts_with('/') || clean(destination) == "/" {
            return Err(Error::Invalid(format!("invalid tmpfs mount {text:?}: the path must be absolute and not /")));
        }
        let options: Vec<String> = options.split(',').filter(|o| !o.is_empty()).map(str::to_owned).collect();
        for option in &options {
            let name = option.split('=').next().unwrap_or_default();
            let valued = ["size", "mode", "uid", "gid", "nr_inodes", "nr_blocks"].contains(&name);
            let flag = ["ro", "rw", "noatime", "relatime", "strictatime"].contains(&name);
            if !(valued && option.contains('=') || flag || MOUNT_FLAGS[..6].contains(&name)) {
                return Err(Error::Invalid(format!("invalid tmpfs option {option:?}")));
            }
        }
        Ok(TmpfsRequest { destination: clean(destination), options })
    }
}

/// Refuses a volume name outside Docker's grammar; what passes is safe as a path component.
///
/// # Errors
/// [`Error::Invalid`].
pub(crate) fn check_volume_name(name: &str) -> Result<()> {
    if crate::id::is_name(name) {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "create {name}: \"{name}\" includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are \
         allowed. If you intended to pass a host directory, use absolute path"
    )))
}

/// Removes `.`, `..`, and repeated or trailing slashes of an absolute path, as text.
pub(crate) fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_parse_as_docker_reads_them() {
        for (text, source, destination, read_only) in [
            ("/a:/b", VolumeSource::Host("/a".into()), "/b", false),
            ("/a:/b/../c/:ro", VolumeSource::Host("/a".into()), "/c", true),
            ("data:/var/lib/x", VolumeSource::Named("data".into()), "/var/lib/x", false),
            ("/var/cache", VolumeSource::Anonymous, "/var/cache", false),
            ("/a:/b:rw,z", VolumeSource::Host("/a".into()), "/b", false),
        ] {
            let request = VolumeRequest::parse(text).unwrap();
            assert_eq!(
                (request.source, request.destination.as_str(), request.read_only),
                (source, destination, read_only)
            );
        }
        for bad in ["", "a", "/a:b", "/a:/", "/a:/b:bogus", "a/b:/c", ":/a", "/a:/b:ro:x", "x:/a:rshared"] {
            assert!(VolumeRequest::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn binds_print_as_they_were_given() {
        for text in ["/a:/b", "/a:/b:ro,rshared", "v:/x:nocopy", "/anon"] {
            assert_eq!(VolumeRequest::parse(text).unwrap().bind_text(), text);
        }
    }

    #[test]
    fn tmpfs_options_are_checked() {
        assert_eq!(TmpfsRequest::parse("/run:size=64m,exec").unwrap().options, ["size=64m", "exec"]);
        for bad in ["run", "/", "/x:bogus", "/x:size"] {
            assert!(TmpfsRequest::parse(bad).is_err(), "{bad}");
        }
    }
}
