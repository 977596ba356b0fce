//! The process: arguments, environment, working directory, credentials, limits.

use super::Inputs;
use crate::error::{Error, Result};
use crate::request::{RunRequest, Ulimit};
use carboy_oci::image::ContainerConfig;
use carboy_oci::runtime::{Capabilities, Process, Rlimit, User};

/// Docker's PATH for images that set none.
const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(super) fn process(inputs: &Inputs<'_>, capabilities: Vec<String>) -> Result<Process> {
    let request = inputs.request;
    let cwd = request.workdir.as_deref().unwrap_or(&inputs.image.working_dir);
    let cwd = if cwd.is_empty() { "/" } else { cwd };
    if !cwd.starts_with('/') {
        return Err(Error::Invalid(format!(
            "the working directory '{cwd}' is invalid, it needs to be an absolute path"
        )));
    }
    // Inheritable and ambient stay empty (CVE-2022-24769); the kernel clears the effective set for a user other than root.
    let capabilities = Capabilities {
        bounding: capabilities.clone(),
        effective: capabilities.clone(),
        permitted: capabilities,
        ..Capabilities::default()
    };
    Ok(Process {
        terminal: request.terminal,
        user: User {
            uid: inputs.user.uid,
            gid: inputs.user.gid,
            additional_gids: if inputs.host.single_id { Vec::new() } else { inputs.user.additional.clone() },
            ..User::default()
        },
        args: arguments(request, inputs.image)?,
        env: environment(request, inputs.image, inputs.hostname, &inputs.user.home),
        cwd: crate::volumes::clean(cwd),
        capabilities: Some(capabilities),
        rlimits: request.ulimits.iter().map(rlimit).collect::<Result<_>>()?,
        no_new_privileges: request.no_new_privileges,
        oom_score_adj: request.oom_score_adj,
        ..Process::default()
    })
}

/// Entrypoint and command, as Docker combines those of the request and the image.
///
/// # Errors
/// [`Error::Invalid`] if nothing is left to run.
fn arguments(request: &RunRequest, image: &ContainerConfig) -> Result<Vec<String>> {
    let mut args = match &request.entrypoint {
        Some(entrypoint) => entrypoint.clone(),
        None => image.entrypoint.clone().unwrap_or_default(),
    };
    if !request.command.is_empty() {
        args.extend(request.command.iter().cloned());
    } else if request.entrypoint.is_none() {
        args.extend(image.cmd.iter().flatten().cloned());
    }
    match args.first().map(String::as_str) {
        None => Err(Error::Invalid("no command specified".into())),
        Some("") => Err(Error::Invalid("the program's name is empty".into())),
        Some(_) => Ok(args),
    }
}

/// Docker's order: defaults, the image's, the request's; later wins. A bare `NAME` in the request removes the variable.
pub(crate) fn environment(request: &RunRequest, image: &ContainerConfig, hostname: &str, home: &str) -> Vec<String> {
    let mut env: Vec<String> = vec![DEFAULT_PATH.into(), format!("HOSTNAME={hostname}")];
    if request.terminal {
        env.push("TERM=xterm".into());
    }
    for entry in image.env.iter().chain(&request.env) {
        let name = entry.split('=').next().unwrap_or_default();
        let place = env.iter().position(|e| e.split('=').next() == Some(name));
        match (entry.contains('='), place) {
            (true, Some(place)) => env[place].clone_from(entry),
            (true, None) => env.push(entry.clone()),
            (false, Some(place)) => drop(env.remove(place)),
            (false, None) => {}
        }
    }
    if !env.iter().any(|e| e.starts_with("HOME=")) {
        env.push(format!("HOME={home}"));
    }
    env
}

const ULIMITS: [&str; 16] = [
    "as",
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

fn rlimit(ulimit: &Ulimit) -> Result<Rlimit> {
    if !ULIMITS.contains(&ulimit.name.as_str()) {
        return Err(Error::Invalid(format!("invalid ulimit type: {}", ulimit.name)));
    }
    if ulimit.soft > ulimit.hard {
        return Err(Error::Invalid(format!(
            "ulimit {}: soft limit must be less than or equal to hard limit: {} > {}",
            ulimit.name, ulimit.soft, ulimit.hard
        )));
    }
    let kind = format!("RLIMIT_{}", ulimit.name.to_ascii_uppercase());
    Ok(Rlimit { kind, soft: ulimit.soft, hard: ulimit.hard })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(list: &[&str]) -> Vec<String> {
        list.iter().map(|s| (*s).to_owned()).collect()
    }

    #[test]
    fn entrypoint_and_command_combine_as_in_docker() {
        let image = ContainerConfig {
            entrypoint: Some(strings(&["/entry"])),
            cmd: Some(strings(&["a", "b"])),
            ..ContainerConfig::default()
        };
        let args = |entrypoint: Option<&[&str]>, command: &[&str]| {
            let request =
                RunRequest { entrypoint: entrypoint.map(strings), command: strings(command), ..RunRequest::default() };
            arguments(&request, &image).map_err(|e| e.to_string())
        };
        assert_eq!(args(None, &[]).unwrap(), ["/entry", "a", "b"]);
        assert_eq!(args(None, &["x"]).unwrap(), ["/entry", "x"]);
        assert_eq!(args(Some(&["/sh"]), &[]).unwrap(), ["/sh"]);
        assert_eq!(args(Some(&["/sh"]), &["-c"]).unwrap(), ["/sh", "-c"]);
        assert_eq!(args(Some(&[]), &["x"]).unwrap(), ["x"]);
        assert_eq!(args(Some(&[]), &[]).unwrap_err(), "no command specified");
    }

    #[test]
    fn environment_keeps_order_and_lets_later_win() {
        let image = ContainerConfig { env: strings(&["PATH=/p", "A=1"]), ..ContainerConfig::default() };
        let request = RunRequest { env: strings(&["A=2", "B=", "HOSTNAME"]), terminal: true, ..RunRequest::default() };
        let env = environment(&request, &image, "h", "/root");
        assert_eq!(env, ["PATH=/p", "TERM=xterm", "A=2", "B=", "HOME=/root"]);
    }

    #[test]
    fn ulimits_are_checked() {
        let ulimit = |name: &str, soft, hard| rlimit(&Ulimit { name: name.into(), soft, hard });
        assert_eq!(ulimit("nofile", 1, 2).unwrap().kind, "RLIMIT_NOFILE");
        assert!(ulimit("nofile", 3, 2).is_err());
        assert!(ulimit("bogus", 1, 2).is_err());
    }
}
