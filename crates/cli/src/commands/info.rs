//! `version`, `info`.

use crate::args::{FormatArgs, Global};
use crate::failure::{Failure, Outcome};
use crate::format::Format;
use crate::{output, settings};
use carboy_engine::{Engine, Status};
use serde_json::{Value, json};

pub(super) fn version(args: &FormatArgs) -> Outcome {
    let facts = json!({
        "Version": env!("CARGO_PKG_VERSION"),
        "OciVersion": carboy_oci::runtime::VERSION,
        "Os": "linux",
        "Arch": architecture(),
        "KernelVersion": rustix::system::uname().release().to_string_lossy(),
    });
    match &args.format {
        // There is no daemon, but scripts ask for `{{.Server.Version}}`.
        Some(format) => print(&json!({ "Client": facts, "Server": facts }), Some(format)),
        None => print(&facts, None),
    }
}

pub(super) fn info(global: &Global, args: &FormatArgs) -> Outcome {
    let engine = settings::engine(global)?;
    print(&facts(&engine)?, args.format.as_deref())
}

fn facts(engine: &Engine) -> Result<Value, Failure> {
    let containers = engine.list()?;
    let count = |status: Status| containers.iter().filter(|c| c.status == status).count();
    let images = engine.images()?;
    let maps = engine.user_namespace().map(|maps| json!({"uid": maps.uid_map, "gid": maps.gid_map}));
    Ok(json!({
        "ServerVersion": env!("CARGO_PKG_VERSION"),
        "Root": engine.root().display().to_string(),
        "RunRoot": engine.runroot().display().to_string(),
        "Containers": containers.len(),
        "ContainersRunning": count(Status::Running),
        "ContainersStopped": containers.len() - count(Status::Running),
        "Images": images.list()?.len(),
        "Snapshotter": images.snapshotter().to_string(),
        "CgroupVersion": if engine.has_cgroup2() { "2" } else { "1" },
        "Rootless": engine.is_rootless(),
        "IdMaps": maps,
        "Name": rustix::system::uname().nodename().to_string_lossy(),
        "OperatingSystem": operating_system(),
        "OSType": "linux",
        "NCPU": std::thread::available_parallelism().map_or(1, usize::from),
        "MemTotal": memory(),
        "KernelVersion": rustix::system::uname().release().to_string_lossy(),
        "Architecture": std::env::consts::ARCH,
        "DefaultNetwork": "none",
    }))
}

fn print(value: &Value, format: Option<&str>) -> Outcome {
    match format {
        Some(format) => output::line(&Format::parse(format)?.render(value)?)?,
        None => {
            for (name, value) in value.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                output::line(&format!("{name}: {text}"))?;
            }
        }
    }
    Ok(0)
}

/// The distribution's name for people (os-release(5)); empty where it does not say.
fn operating_system() -> String {
    let text = std::fs::read_to_string("/etc/os-release").or_else(|_| std::fs::read_to_string("/usr/lib/os-release"));
    let text = text.unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.unwrap_or_default().trim_matches(['"', '\'']).to_owned()
}

/// Bytes of this machine's memory.
fn memory() -> u64 {
    let info = rustix::system::sysinfo();
    // The unit is not 1 where the sum would not fit a C long (sysinfo(2)).
    (info.totalram as u64).saturating_mul(info.mem_unit.into())
}

/// GOARCH's name.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
