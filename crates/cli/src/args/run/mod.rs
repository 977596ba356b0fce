//! `run` and `create`: flags, one file for each kind of them, and their translation into the engine's request.

mod files;
mod logging;
mod namespaces;
mod network;
mod program;
mod resources;
mod security;
#[cfg(test)]
mod tests;

pub(crate) use program::environment;

use crate::failure::{Failure, usage};
use carboy_engine::RunRequest;
use clap::{Args, ValueEnum};
use files::FileArgs;
use logging::LogArgs;
use namespaces::NamespaceArgs;
use network::NetworkArgs;
use program::ProgramArgs;
use resources::ResourceArgs;
use security::SecurityArgs;
use std::path::PathBuf;

/// When the image is pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PullPolicy {
    /// Before every run.
    Always,
    /// If it is not in the store.
    #[value(alias = "ifnotpresent")]
    Missing,
    /// If it is not in the store, or the registry has another one under this name.
    #[value(alias = "ifnewer")]
    Newer,
    /// Never.
    Never,
}

/// `run` and `create`.
#[derive(Debug, Clone, Args)]
#[command(
    disable_help_flag = true,
    after_help = "Without --network a container has no network but its own loopback interface (as with --network none): \
                        bridged networks are not there yet, and the host's network is given only when it is asked for."
)]
pub(crate) struct RunArgs {
    /// Print the container's ID and return; the container runs on
    #[arg(short, long)]
    detach: bool,
    /// Keep standard input open
    #[arg(short, long)]
    interactive: bool,
    /// Give the program a terminal
    #[arg(short, long)]
    tty: bool,
    /// Remove the container when its program ends
    #[arg(long)]
    rm: bool,
    /// Name of the container
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    program: ProgramArgs,
    #[command(flatten)]
    files: FileArgs,
    #[command(flatten)]
    network: NetworkArgs,
    #[command(flatten)]
    namespaces: NamespaceArgs,
    #[command(flatten)]
    resources: ResourceArgs,
    #[command(flatten)]
    security: SecurityArgs,
    #[command(flatten)]
    log: LogArgs,
    /// Write the container's ID to a file
    #[arg(long, value_name = "FILE")]
    pub(crate) cidfile: Option<PathBuf>,
    /// Keys that detach
    #[arg(long, default_value = "ctrl-p,ctrl-q", value_name = "KEYS")]
    pub(crate) detach_keys: String,
    /// Forward signals to the program
    #[arg(long, default_value_t = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub(crate) sig_proxy: bool,
    /// When to pull the image
    #[arg(long, default_value = "missing", value_name = "POLICY")]
    pub(crate) pull: PullPolicy,
    /// Platform of the image, os/arch[/variant]
    #[arg(long, value_name = "PLATFORM")]
    pub(crate) platform: Option<String>,
    /// For the pull: require HTTPS with a valid certificate [default: yes, but for loopback addresses]
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub(crate) tls_verify: Option<bool>,
    /// Print every step and the time it took to standard error
    #[arg(long)]
    pub(crate) trace: bool,
    /// With --trace or explain: as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Print help
    #[arg(long, action = clap::ArgAction::Help)]
    help: (),
    /// Image (unless --rootfs), program and arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "IMAGE [COMMAND] [ARG]")]
    words: Vec<String>,
}

impl RunArgs {
    pub(crate) fn is_detached(&self) -> bool {
        self.detach
    }

    /// What the engine is asked for.
    pub(crate) fn request(&self) -> Result<RunRequest, Failure> {
        let (image, command) = self.image_and_command()?;
        let (program, files, network) = (&self.program, &self.files, &self.network);
        let (resources, security) = (&self.resources, &self.security);
        let (seccomp, no_new_privileges) = security.options()?;
        let is_named = network.hostname.is_some() || network.domainname.is_some();
        Ok(RunRequest {
            image,
            rootfs: files.rootfs.clone(),
            platform: self.platform.clone(),
            name: self.name.clone(),
            entrypoint: program.entrypoint(),
            command,
            env: program.environment()?,
            labels: program.labels()?,
            workdir: program.workdir.clone(),
            user: program.user.clone(),
            group_add: program.group_add.clone(),
            hostname: network.hostname.clone(),
            domainname: network.domainname.clone(),
            terminal: self.tty,
            stdin_open: self.interactive,
            stdin_once: self.interactive && !self.detach,
            remove: self.rm,
            network: network.mode()?,
            host_namespaces: self.namespaces.of_host(is_named)?,
            volumes: files.volumes()?,
            tmpfs: files.tmpfs()?,
            read_only: files.read_only,
            privileged: security.privileged,
            cap_add: split_commas(&security.cap_add),
            cap_drop: split_commas(&security.cap_drop),
            seccomp,
            no_new_privileges,
            limits: resources.limits(),
            cgroup_parent: resources.cgroup_parent(),
            devices: security.devices()?,
            ulimits: resources.ulimits()?,
            sysctls: security.sysctls()?,
            shm_size: resources.shm_size,
            stop_signal: program.stop_signal()?,
            stop_timeout: program.stop_timeout,
            add_hosts: network.add_hosts()?,
            dns: network.name_servers()?,
            log: self.log.request()?,
            oom_score_adj: resources.oom_score_adj,
        })
    }

    fn image_and_command(&self) -> Result<(Option<String>, Vec<String>), Failure> {
        match (&self.files.rootfs, self.words.split_first()) {
            (Some(_), _) => Ok((None, self.words.clone())),
            (None, Some((image, command))) if !image.starts_with('-') => Ok((Some(image.clone()), command.to_vec())),
            (None, Some((flag, _))) => Err(usage(format!("unexpected argument '{flag}'; see 'carboy run --help'"))),
            (None, None) => Err(usage("an image is needed: carboy run [OPTIONS] IMAGE [COMMAND] [ARG…]")),
        }
    }
}

fn split_commas(list: &[String]) -> Vec<String> {
    list.iter().flat_map(|item| item.split(',')).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

fn pair(what: &str, text: &str) -> Result<(String, String), Failure> {
    let (name, value) = text.split_once('=').ok_or_else(|| usage(format!("invalid {what} {text:?}: NAME=VALUE")))?;
    Ok((name.to_owned(), value.to_owned()))
}
