//! `inspect`: records in the shape that scripts know from Docker.

use super::ps::status_text;
use crate::args::{Global, InspectArgs};
use crate::failure::{Failure, Outcome, usage};
use crate::format::Format;
use crate::logtime::format_ns;
use crate::{output, settings};
use anyhow::Context;
use carboy_engine::{Container, Engine, Error, LogRequest, MountPoint, RunRequest, SeccompRequest, Status};
use carboy_transport::Location;
use serde::Serialize as _;
use serde_json::{Map, Value, json};

/// Docker's word for "not yet".
const NEVER: &str = "0001-01-01T00:00:00Z";

pub(super) fn inspect(global: &Global, args: &InspectArgs, kind: Option<&str>) -> Outcome {
    let kind = args.kind.as_deref().or(kind);
    if let Some(other) = kind.filter(|kind| !["container", "image"].contains(kind)) {
        return Err(usage(format!("--type {other:?} is not supported: container or image")));
    }
    if let Some(place) = args.names.iter().find(|name| Location::has_transport(name))
        && !is_image(global, place)
    {
        if args.names.len() > 1 || kind.is_some_and(|kind| kind != "image") {
            return Err(usage("an image in another place is inspected alone: carboy inspect TRANSPORT:IMAGE"));
        }
        return super::copy::inspect(global, args, place);
    }
    if args.raw || args.config || args.no_tags {
        return Err(usage("--raw, --config and --no-tags are for images in other places, such as docker://NAME"));
    }
    let format = args.format.as_deref().map(Format::parse).transpose()?;
    let engine = settings::engine(global)?;
    let (mut found, mut code) = (Vec::new(), 0);
    for name in &args.names {
        match one(&engine, name, kind, args.size) {
            Ok(value) => found.push(value),
            Err(failure) => {
                output::error_line(&failure.to_string());
                code = 1;
            }
        }
    }
    match format {
        None => {
            let mut text = Vec::new();
            let indent = serde_json::ser::PrettyFormatter::with_indent(b"    ");
            found.serialize(&mut serde_json::Serializer::with_formatter(&mut text, indent)).context("encode")?;
            output::line(&String::from_utf8_lossy(&text))?;
        }
        Some(Format::Json) => output::line(&Value::Array(found).to_string())?,
        Some(template) => {
            for value in &found {
                output::line(&template.render(value)?)?;
            }
        }
    }
    Ok(code)
}

/// Whether `oci:1` is an image's name after all.
fn is_image(global: &Global, name: &str) -> bool {
    let is_name = carboy_oci::Reference::parse(name).is_ok();
    is_name
        && settings::engine(global)
            .is_ok_and(|engine| engine.images().is_ok_and(|i| matches!(i.find(name), Ok(Some(_)))))
}

fn one(engine: &Engine, name: &str, kind: Option<&str>, with_size: bool) -> Result<Value, Failure> {
    if kind != Some("image") {
        match engine.container(name) {
            Ok(container) => {
                let mut value = container_json(&container);
                if let Some(object) = value.as_object_mut().filter(|_| with_size) {
                    let (own, whole) = engine.sizes(&container)?;
                    object.insert("SizeRw".into(), own.into());
                    object.insert("SizeRootFs".into(), whole.into());
                }
                return Ok(value);
            }
            Err(Error::NoSuchContainer(_)) if kind.is_none() => {}
            Err(e) => return Err(e.into()),
        }
    }
    let given = crate::registry::local_name(engine.images()?, name)?;
    match engine.images()?.find(&given) {
        Ok(Some(image)) => Ok(super::image::image_json(engine.images()?, &image)?),
        Ok(None) | Err(carboy_image::ImageError::Reference(_)) if kind.is_none() => {
            Err(usage(format!("No such object: {name}")).with_code(1))
        }
        Ok(None) => Err(Error::NoSuchImage(name.to_owned()).into()),
        Err(e) => Err(e.into()),
    }
}

fn container_json(container: &Container) -> Value {
    let record = &container.record;
    let (path, args) = record.resolved.args.split_first().map_or(("", &[][..]), |(p, a)| (p.as_str(), a));
    json!({
        "Id": record.id,
        "Created": format_ns(record.created_ns),
        "Path": path,
        "Args": args,
        "State": state_json(container),
        "Image": record.image.as_ref().map_or(String::new(), |image| image.id.to_string()),
        "ResolvConfPath": container.dir.join("resolv.conf"),
        "HostnamePath": container.dir.join("hostname"),
        "HostsPath": container.dir.join("hosts"),
        "LogPath": container.log_path().unwrap_or_default(),
        "Name": format!("/{}", record.name),
        "RestartCount": 0,
        "Driver": "overlay",
        "Platform": "linux",
        "HostConfig": host_config_json(&record.request, container),
        "GraphDriver": { "Name": "overlay", "Data": { "UpperDir": container.dir.join("upper"), "WorkDir": container.dir.join("work") } },
        "Mounts": record.resolved.mounts.iter().map(mount_json).collect::<Vec<_>>(),
        "Config": config_json(container),
        "NetworkSettings": { "Networks": { record.request.network.as_str(): {} } },
        "Runtime": record.runtime.path,
        "BundlePath": container.dir,
        "RunPath": container.run_dir,
    })
}

fn state_json(container: &Container) -> Value {
    let started = container.started.as_ref();
    let exit = container.exit.as_ref();
    let running = container.status == Status::Running;
    json!({
        "Status": container.status.as_str(),
        "Running": running,
        "Paused": false,
        "Restarting": false,
        "OOMKilled": exit.is_some_and(|exit| exit.oom_killed),
        "Dead": false,
        "Pid": started.filter(|_| running).map_or(0, |started| started.pid),
        "ExitCode": exit.map_or(0, |exit| exit.code),
        "Error": exit.and_then(|exit| exit.error.clone()).unwrap_or_default(),
        "StartedAt": started.map_or(NEVER.to_owned(), |started| format_ns(started.at_ns)),
        "FinishedAt": exit.map_or(NEVER.to_owned(), |exit| format_ns(exit.at_ns)),
        "MonitorPid": started.filter(|_| running).map_or(0, |started| started.monitor_pid),
        "Description": status_text(container),
    })
}

fn config_json(container: &Container) -> Value {
    let (record, request) = (&container.record, &container.record.request);
    let resolved = &record.resolved;
    let (entrypoint, cmd) = resolved.args.split_at(resolved.entrypoint_len.min(resolved.args.len()));
    json!({
        "Hostname": resolved.hostname,
        "Domainname": request.domainname.clone().unwrap_or_default(),
        "User": resolved.user,
        "AttachStdin": request.stdin_once,
        "Tty": request.terminal,
        "OpenStdin": request.stdin_open,
        "StdinOnce": request.stdin_once,
        "Env": resolved.env,
        "Cmd": cmd,
        "Image": record.image.as_ref().map_or("", |image| image.name.as_str()),
        "WorkingDir": resolved.cwd,
        "Entrypoint": if entrypoint.is_empty() { Value::Null } else { json!(entrypoint) },
        "Labels": resolved.labels,
        "StopSignal": resolved.stop_signal.to_string(),
        "StopTimeout": request.stop_timeout,
    })
}

fn host_config_json(request: &RunRequest, container: &Container) -> Value {
    let limits = &request.limits;
    let shared = |kind: &str| if request.host_namespaces.iter().any(|k| k == kind) { "host" } else { "" };
    let mut security: Vec<String> = Vec::new();
    if request.no_new_privileges {
        security.push("no-new-privileges".into());
    }
    match &request.seccomp {
        SeccompRequest::Default => {}
        SeccompRequest::Unconfined => security.push("seccomp=unconfined".into()),
        SeccompRequest::Profile(text) => security.push(format!("seccomp={text}")),
    }
    let (log, log_options) = match &request.log {
        LogRequest::None => ("none", Map::new()),
        LogRequest::JsonFile { max_size, max_files } => {
            let mut options = Map::new();
            if let Some(size) = max_size {
                options.insert("max-size".into(), size.to_string().into());
                options.insert("max-file".into(), max_files.to_string().into());
            }
            ("json-file", options)
        }
    };
    let tmpfs: Map<String, Value> =
        request.tmpfs.iter().map(|t| (t.destination.clone(), t.options.join(",").into())).collect();
    json!({
        "Binds": request.volumes.iter().map(|v| v.bind_text()).collect::<Vec<_>>(),
        "Tmpfs": tmpfs,
        "LogConfig": { "Type": log, "Config": log_options },
        "NetworkMode": request.network.as_str(),
        "AutoRemove": request.remove,
        "CapAdd": request.cap_add,
        "CapDrop": request.cap_drop,
        "EffectiveCaps": container.record.resolved.capabilities,
        "Dns": request.dns,
        "ExtraHosts": request.add_hosts.iter().map(|(name, address)| format!("{name}:{address}")).collect::<Vec<_>>(),
        "GroupAdd": request.group_add,
        "IpcMode": if shared("ipc") == "host" { "host" } else { "private" },
        "PidMode": shared("pid"),
        "UTSMode": shared("uts"),
        "CgroupParent": request.cgroup_parent.as_deref().unwrap_or_default(),
        "OomScoreAdj": request.oom_score_adj.unwrap_or(0),
        "Privileged": request.privileged,
        "ReadonlyRootfs": request.read_only,
        "SecurityOpt": security,
        "ShmSize": request.shm_size.unwrap_or(64 << 20),
        "Sysctls": request.sysctls,
        "Runtime": container.record.runtime.path.file_name().map(|name| name.to_string_lossy().into_owned()),
        "CpuShares": limits.cpu_shares.unwrap_or(0),
        "Memory": limits.memory.unwrap_or(0),
        "NanoCpus": limits.nano_cpus.unwrap_or(0),
        "CpuPeriod": limits.cpu_period.unwrap_or(0),
        "CpuQuota": limits.cpu_quota.unwrap_or(0),
        "CpusetCpus": limits.cpuset_cpus.clone().unwrap_or_default(),
        "CpusetMems": limits.cpuset_mems.clone().unwrap_or_default(),
        "MemoryReservation": limits.memory_reservation.unwrap_or(0),
        "MemorySwap": limits.memory_swap.unwrap_or(0),
        "PidsLimit": limits.pids,
        "Devices": request.devices.iter().map(|d| json!({
            "PathOnHost": d.host, "PathInContainer": d.container, "CgroupPermissions": d.permissions,
        })).collect::<Vec<_>>(),
        "Ulimits": request.ulimits.iter().map(|u| json!({ "Name": u.name, "Soft": u.soft, "Hard": u.hard })).collect::<Vec<_>>(),
    })
}

fn mount_json(mount: &MountPoint) -> Value {
    let propagation = mount.options.iter().find(|o| o.trim_start_matches('r').starts_with(['s', 'p']));
    let mut value = json!({
        "Type": if mount.volume.is_some() { "volume" } else { "bind" },
        "Source": mount.source,
        "Destination": mount.destination,
        "Mode": mount.options.join(","),
        "RW": !mount.read_only,
        "Propagation": propagation.cloned().unwrap_or_else(|| "rprivate".into()),
    });
    if let (Some(name), Some(object)) = (&mount.volume, value.as_object_mut()) {
        object.insert("Name".into(), name.clone().into());
        object.insert("Driver".into(), "local".into());
    }
    value
}
