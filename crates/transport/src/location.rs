//! Names of places, as skopeo writes them: `TRANSPORT:DETAILS`.

use carboy_oci::Reference;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where an image is, or is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// `docker://NAME[:TAG|@DIGEST]`: a registry.
    Registry(Reference),
    /// `oci:FOLDER[:NAME]`: an OCI layout.
    Layout(PathBuf, Option<String>),
    /// `oci-archive:FILE[:NAME]`: an OCI layout in a tar.
    OciArchive(PathBuf, Option<String>),
    /// `docker-archive:FILE[:NAME|:@NUMBER]`: what `docker save` writes.
    DockerArchive(PathBuf, Option<String>),
    /// `dir:FOLDER`: one image's files, side by side.
    Directory(PathBuf),
    /// `carboy:IMAGE`: the store.
    Store(String),
}

/// Why a text names no place.
#[derive(Debug, thiserror::Error)]
pub enum LocationError {
    /// No transport.
    #[error(
        "invalid image name {0:?}: expected TRANSPORT:DETAILS, with one of docker://NAME, oci:FOLDER[:NAME], oci-archive:FILE[:NAME], docker-archive:FILE[:NAME], dir:FOLDER, carboy:IMAGE"
    )]
    Form(String),
    /// A transport of others.
    #[error("transport {name:?} is not supported: {why}")]
    Unsupported {
        /// Which.
        name: String,
        /// What to do instead.
        why: &'static str,
    },
    /// A registry's name is wrong.
    #[error(transparent)]
    Reference(#[from] carboy_oci::ReferenceError),
}

impl Location {
    /// Whether a text begins with a transport, and so cannot be the name of an image or a container alone.
    pub fn has_transport(text: &str) -> bool {
        let known = ["docker:", "oci:", "oci-archive:", "docker-archive:", "dir:", "carboy:", "containers-storage:"];
        text.starts_with("docker://")
            || known[1..].iter().any(|name| text.starts_with(name))
            || text.starts_with("docker-daemon:")
    }
}

impl FromStr for Location {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, LocationError> {
        let form = || LocationError::Form(text.to_owned());
        let (transport, details) = text.split_once(':').ok_or_else(form)?;
        let path = |details: &str| -> Result<(PathBuf, Option<String>), LocationError> {
            let (path, name) = details.split_once(':').map_or((details, None), |(path, name)| (path, Some(name)));
            match (path, name) {
                ("", _) | (_, Some("")) => Err(form()),
                (path, name) => Ok((path.into(), name.map(str::to_owned))),
            }
        };
        let refuse = |why| Err(LocationError::Unsupported { name: transport.to_owned(), why });
        match transport {
            "docker" => {
                let name = details.strip_prefix("//").filter(|name| !name.is_empty()).ok_or_else(form)?;
                Ok(Location::Registry(Reference::parse(name)?))
            }
            "oci" => path(details).map(|(path, name)| Location::Layout(path, name)),
            "oci-archive" => path(details).map(|(path, name)| Location::OciArchive(path, name)),
            "docker-archive" => path(details).map(|(path, name)| Location::DockerArchive(path, name)),
            "dir" if !details.is_empty() => Ok(Location::Directory(details.into())),
            "carboy" if !details.is_empty() => Ok(Location::Store(details.to_owned())),
            "containers-storage" => refuse(
                "podman's own store is read by podman only: podman save, or podman push to an oci: or dir: folder",
            ),
            "docker-daemon" => refuse("use docker save and docker-archive:FILE"),
            "ostree" | "sif" | "tarball" => refuse("no such place is known here"),
            _ => Err(form()),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (transport, path, name) = match self {
            Location::Registry(name) => return write!(f, "docker://{}", name.familiar()),
            Location::Store(name) => return write!(f, "carboy:{name}"),
            Location::Directory(path) => return write!(f, "dir:{}", path.display()),
            Location::Layout(path, name) => ("oci", path, name),
            Location::OciArchive(path, name) => ("oci-archive", path, name),
            Location::DockerArchive(path, name) => ("docker-archive", path, name),
        };
        write!(f, "{transport}:{}", path.display())?;
        name.as_ref().map_or(Ok(()), |name| write!(f, ":{name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        for (text, shown) in [
            ("docker://alpine", "docker://alpine:latest"),
            ("docker://127.0.0.1:5000/a/b:1", "docker://127.0.0.1:5000/a/b:1"),
            ("oci:/a/b", "oci:/a/b"),
            ("oci:a:localhost/x:1", "oci:a:localhost/x:1"),
            ("oci-archive:f.tar:latest", "oci-archive:f.tar:latest"),
            ("docker-archive:f.tar:@0", "docker-archive:f.tar:@0"),
            ("dir:/x:y", "dir:/x:y"),
            ("carboy:busybox", "carboy:busybox"),
        ] {
            assert_eq!(text.parse::<Location>().unwrap().to_string(), shown, "{text}");
            assert!(Location::has_transport(text));
        }
        for (text, words) in [
            ("alpine", "expected TRANSPORT:DETAILS"),
            ("alpine:latest", "expected TRANSPORT:DETAILS"),
            ("docker:alpine", "expected TRANSPORT:DETAILS"),
            ("oci:", "expected TRANSPORT:DETAILS"),
            ("dir:", "expected TRANSPORT:DETAILS"),
            ("containers-storage:x", "is not supported"),
            ("docker-daemon:x", "is not supported"),
            ("docker://Up", "must be lowercase"),
        ] {
            let error = text.parse::<Location>().unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
        assert!(!Location::has_transport("oci") && !Location::has_transport("docker:1"));
    }
}
