//! A container on paper: from a request and an image to records, configuration and steps. Used by `create`, which executes the
//! steps, and by `explain`, which prints them.

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::plan::{Action, Step};
use crate::record::{CONFIG, ImageUse, MountPoint, RECORD, Record, Resolved, VERSION};
use crate::request::{Network, RunRequest};
use crate::spec::{self, BoundVolume, Inputs, ResolvedUser};
use crate::volumes::VolumeSource;
use crate::{id, images, signal, union};
use carboy_oci::image::ContainerConfig;
use carboy_oci::runtime::Spec;
use carboy_state::file::Durability;
use std::path::PathBuf;

/// Longest /etc/passwd or /etc/group of an image that is read, in bytes.
const DATABASE_LIMIT: u64 = 4 << 20;

/// What a container is made of, before anything of it exists.
pub(crate) struct Draft {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) hostname: String,
    pub(crate) created_ns: u64,
    /// Rows and columns of the terminal that it is started from, if that is now.
    pub(crate) terminal_size: Option<(u16, u16)>,
}

/// The finished description.
pub(crate) struct Design {
    pub(crate) record: Record,
    pub(crate) spec: Spec,
    pub(crate) steps: Vec<Step>,
}

impl Draft {
    pub(crate) fn new(request: &RunRequest) -> Result<Self> {
        let id = id::new_id()?;
        let name = match &request.name {
            Some(name) => id::check_name(name)?.to_owned(),
            None => id::new_name()?,
        };
        let hostname = match (&request.hostname, request.network) {
            (Some(hostname), _) => check_hostname(hostname)?.to_owned(),
            (None, Network::Host) => rustix::system::uname().nodename().to_string_lossy().into_owned(),
            (None, Network::None) => id[..12].to_owned(),
        };
        Ok(Draft { id, name, hostname, created_ns: now_ns(), terminal_size: None })
    }

    /// Everything that can be told of a request before its image is there, so that a mistake costs no pull.
    pub(crate) fn check(&self, engine: &Engine, request: &RunRequest) -> Result<()> {
        let image = ContainerConfig { cmd: Some(vec!["/".into()]), ..ContainerConfig::default() };
        if let Some(signal) = &request.stop_signal {
            signal::parse_signal(signal)?;
        }
        spec::generate(&Inputs {
            id: &self.id,
            request: &RunRequest { entrypoint: None, ..request.clone() },
            image: &image,
            hostname: &self.hostname,
            container_dir: &engine.folders.root,
            rootfs: &engine.folders.root,
            user: &ResolvedUser::default(),
            volumes: &[],
            devices: &spec::host_devices(request, engine.is_rootless())?,
            host: engine.host(),
        })?;
        Ok(())
    }

    /// The container's folder, and the claim of its name.
    pub(crate) fn folder_step(&self, engine: &Engine) -> Step {
        let path = engine.folders.container(&self.id);
        Step::new(
            Action::Folder { of: "container", path, mode: 0o711, existing: false },
            "everything that lasts of a container is in one folder",
            "always",
        )
    }

    pub(crate) fn claim_step(&self, engine: &Engine, request: &RunRequest) -> Step {
        let from = if request.name.is_some() { "--name" } else { "a made-up name" };
        let action =
            Action::Claim { name: self.name.clone(), link: engine.folders.name(&self.name), id: self.id.clone() };
        Step::new(action, "a name belongs to one container; the link is made exclusively, in one system call", from)
    }

    /// The rest, once the root file system's layers can be read. `lower` is empty if they cannot (`explain`).
    pub(crate) fn design(
        &self,
        engine: &Engine,
        request: &RunRequest,
        image: Option<(&ImageUse, &ContainerConfig)>,
        lower: &[PathBuf],
    ) -> Result<Design> {
        let empty = ContainerConfig::default();
        let config = image.map_or(&empty, |(_, config)| config);
        let container_dir = engine.folders.container(&self.id);
        let rootfs = engine.folders.run(&self.id).join(carboy_wire::monitor::file::ROOTFS);
        let user_text = request.user.clone().unwrap_or_else(|| config.user.clone());
        let user = look_up_user(&user_text, request, lower)?;
        check_mapped(engine, &user)?;
        let (mounts, mut steps) = self.mounts(engine, request, config)?;
        let devices = spec::host_devices(request, engine.is_rootless())?;
        let volumes: Vec<BoundVolume> = mounts.iter().map(bound).collect();
        let mut spec = spec::generate(&Inputs {
            id: &self.id,
            request,
            image: config,
            hostname: &self.hostname,
            container_dir: &container_dir,
            rootfs: &rootfs,
            user: &user,
            volumes: &volumes,
            devices: &devices,
            host: engine.host(),
        })?;
        let variable = images::report_variable(config, request, &spec, engine.is_rootless());
        if let Some(process) = &mut spec.process {
            process.env.extend(variable);
            process.console_size = self.terminal_size.filter(|_| request.terminal).map(crate::start::console_size);
        }
        let record = self.record(engine, request, image, &spec, user_text, mounts)?;
        steps.extend(self.file_steps(engine, &record, &spec)?);
        Ok(Design { record, spec, steps })
    }

    fn record(
        &self,
        engine: &Engine,
        request: &RunRequest,
        image: Option<(&ImageUse, &ContainerConfig)>,
        spec: &Spec,
        user: String,
        mounts: Vec<MountPoint>,
    ) -> Result<Record> {
        let empty = ContainerConfig::default();
        let config = image.map_or(&empty, |(_, config)| config);
        let process = spec.process.clone().unwrap_or_default();
        let mut labels = config.labels.clone();
        labels.extend(request.labels.clone());
        let entrypoint = request.entrypoint.as_ref().or(config.entrypoint.as_ref());
        let stop = request.stop_signal.as_ref().or(config.stop_signal.as_ref());
        Ok(Record {
            version: VERSION,
            id: self.id.clone(),
            name: self.name.clone(),
            created_ns: self.created_ns,
            image: image.map(|(image, _)| image.clone()),
            request: request.clone(),
            resolved: Resolved {
                args: process.args,
                entrypoint_len: entrypoint.map_or(0, Vec::len),
                env: process.env,
                cwd: process.cwd,
                user,
                hostname: self.hostname.clone(),
                labels,
                stop_signal: stop.map_or(Ok(15), |text| signal::parse_signal(text))?,
                mounts,
                capabilities: spec::effective_capabilities(request)?,
            },
            runtime: engine.runtime()?,
            user_namespace: engine.user_namespace.clone(),
        })
    }

    /// The mount points of volumes, and the steps that make what does not exist yet.
    fn mounts(
        &self,
        engine: &Engine,
        request: &RunRequest,
        image: &ContainerConfig,
    ) -> Result<(Vec<MountPoint>, Vec<Step>)> {
        let (mut points, mut steps) = (Vec::new(), Vec::new());
        for volume in &request.volumes {
            let (name, source) = match &volume.source {
                VolumeSource::Host(path) => (None, path.clone()),
                VolumeSource::Named(name) => (Some(name.clone()), PathBuf::new()),
                VolumeSource::Anonymous => (Some(id::new_id()?), PathBuf::new()),
            };
            points.push(MountPoint {
                volume: name,
                anonymous: volume.source == VolumeSource::Anonymous,
                source,
                destination: volume.destination.clone(),
                read_only: volume.read_only,
                options: volume.options.clone(),
            });
        }
        for destination in image.volumes.keys().map(|path| crate::volumes::clean(path)) {
            let covered = points.iter().any(|p| p.destination == destination)
                || request.tmpfs.iter().any(|t| t.destination == destination);
            if !covered && destination != "/" {
                let volume = Some(id::new_id()?);
                let (source, options) = (PathBuf::new(), Vec::new());
                points.push(MountPoint { volume, anonymous: true, source, destination, read_only: false, options });
            }
        }
        for point in &mut points {
            steps.extend(volume_steps(engine, point)?);
        }
        Ok((points, steps))
    }

    fn file_steps(&self, engine: &Engine, record: &Record, spec: &Spec) -> Result<Vec<Step>> {
        let dir = engine.folders.container(&self.id);
        let of_host = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let file = |name: &str, content: Vec<u8>, durability, why, from: &str| {
            Step::new(Action::File { path: dir.join(name), content, durability }, why, from)
        };
        let request = &record.request;
        // What --rm removes again needs not survive a power cut; half a creation is recognised by its missing record.
        let durability = if request.remove { Durability::Process } else { Durability::Machine };
        let bound = "bound into the container";
        Ok(vec![
            file("hostname", format!("{}\n", self.hostname).into_bytes(), Durability::Process, bound, "--hostname"),
            file(
                "hosts",
                spec::hosts_file(request, &self.hostname, &of_host("/etc/hosts")).into_bytes(),
                Durability::Process,
                bound,
                "--network, --add-host",
            ),
            file(
                "resolv.conf",
                spec::resolv_conf(request, &of_host("/etc/resolv.conf")).into_bytes(),
                Durability::Process,
                bound,
                "--dns, or the host's",
            ),
            file(
                CONFIG,
                json("config.json", spec)?,
                Durability::Process,
                "what the runtime is to do",
                "the OCI bundle",
            ),
            file(
                RECORD,
                json("container.json", record)?,
                durability,
                "from here on the container exists",
                "the request",
            ),
        ])
    }
}

pub(crate) fn json<T: serde::Serialize>(what: &'static str, value: &T) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec(value).map_err(|source| Error::Json { what, source })?;
    text.push(b'\n');
    Ok(text)
}

pub(crate) fn now_ns() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |duration| duration.as_nanos() as u64)
}

fn bound(point: &MountPoint) -> BoundVolume {
    BoundVolume {
        source: point.source.clone(),
        destination: point.destination.clone(),
        read_only: point.read_only,
        options: point.options.clone(),
    }
}

fn volume_steps(engine: &Engine, point: &mut MountPoint) -> Result<Vec<Step>> {
    let Some(name) = &point.volume else {
        if point.source.exists() {
            return Ok(Vec::new());
        }
        // As Docker does for -v: the missing folder is made.
        let missing: Vec<PathBuf> =
            point.source.ancestors().take_while(|path| !path.exists()).map(PathBuf::from).collect();
        let make = |path: &PathBuf| {
            let action = Action::Folder { of: "bind mount", path: path.clone(), mode: 0o755, existing: true };
            Step::new(action, "the folder to bind does not exist", format!("-v {}", point.source.display()))
        };
        return Ok(missing.iter().rev().map(make).collect());
    };
    let folder = engine.folders.volume(name);
    point.source = folder.join("_data");
    if point.source.exists() {
        return Ok(Vec::new());
    }
    let make = |path: PathBuf, mode: u32| {
        Step::new(
            Action::Folder { of: "volume", path, mode, existing: true },
            "the volume does not exist yet",
            format!("-v {name}"),
        )
    };
    Ok(vec![make(engine.folders.volumes(), 0o711), make(folder, 0o711), make(point.source.clone(), 0o755)])
}

fn look_up_user(text: &str, request: &RunRequest, lower: &[PathBuf]) -> Result<ResolvedUser> {
    let mut databases = spec::Databases::default();
    if !lower.is_empty() {
        let files = union::Union::open(lower)?;
        databases.passwd = files.read("/etc/passwd", DATABASE_LIMIT)?;
        databases.group = files.read("/etc/group", DATABASE_LIMIT)?;
    }
    spec::resolve_user(text, &request.group_add, &databases)
}

fn check_mapped(engine: &Engine, user: &ResolvedUser) -> Result<()> {
    let Some(maps) = engine.user_namespace() else { return Ok(()) };
    let mapped = |map: &[(u32, u32, u32)], id: u32| map.iter().any(|(first, _, n)| id >= *first && id - first < *n);
    if mapped(&maps.uid_map, user.uid) && mapped(&maps.gid_map, user.gid) {
        return Ok(());
    }
    Err(Error::Unavailable(format!(
        "user {}:{} is not among the IDs this user may map; add ranges to /etc/subuid and /etc/subgid (usermod --add-subuids), and \
         install newuidmap (package uidmap)",
        user.uid, user.gid
    )))
}

fn check_hostname(name: &str) -> Result<&str> {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    if !name.is_empty() && name.len() <= 64 && name.bytes().all(good) && !name.starts_with(['-', '.']) {
        return Ok(name);
    }
    Err(Error::Invalid(format!("invalid hostname format: {name}")))
}
