//! `run` and `create`: flags, and their translation into the engine's request.

use crate::failure::{Failure, usage};
use crate::units::{parse_cpus, parse_size, parse_size_or_unlimited};
use carboy_engine::{
    DeviceRequest, Limits, LogRequest, Network, RunRequest, SeccompRequest, TmpfsRequest, Ulimit, VolumeRequest,
    parse_signal,
};
use clap::{Args, ValueEnum};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// When the image is pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PullPolicy {
    /// Before every run.
    Always,
    /// If it is not in the store.
    Missing,
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
    /// Set a variable; without a value, this environment's
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Read variables from a file
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Set a label
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    label: Vec<String>,
    /// Working directory
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// User, and group, by name or number
    #[arg(short, long, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// Further group
    #[arg(long, value_name = "GROUP")]
    group_add: Vec<String>,
    /// Bind a folder or a volume
    #[arg(short, long, value_name = "[SOURCE:]DIR[:OPTIONS]")]
    volume: Vec<String>,
    /// Mount a tmpfs
    #[arg(long, value_name = "DIR[:OPTIONS]")]
    tmpfs: Vec<String>,
    /// Program instead of the image's entrypoint; empty for none
    #[arg(long, value_name = "PROGRAM")]
    entrypoint: Option<String>,
    /// Host name
    #[arg(short = 'h', long, value_name = "NAME")]
    hostname: Option<String>,
    /// NIS domain name
    #[arg(long, value_name = "NAME")]
    domainname: Option<String>,
    /// none (a loopback interface only) or host [default: none]
    #[arg(long, visible_alias = "net", value_name = "NETWORK")]
    network: Option<String>,
    /// Share the host's processes
    #[arg(long, value_name = "host")]
    pid: Option<String>,
    /// Share the host's System V IPC and message queues, or not
    #[arg(long, value_name = "host|private")]
    ipc: Option<String>,
    /// Share the host's name
    #[arg(long, value_name = "host")]
    uts: Option<String>,
    /// Share the host's cgroup namespace, or not
    #[arg(long, value_name = "host|private")]
    cgroupns: Option<String>,
    /// Memory limit, such as 64m
    #[arg(short, long, value_name = "BYTES", value_parser = parse_size)]
    memory: Option<u64>,
    /// Memory and swap together; -1 for no limit
    #[arg(long, value_name = "BYTES", value_parser = parse_size_or_unlimited, allow_negative_numbers = true)]
    memory_swap: Option<i64>,
    /// Soft memory limit
    #[arg(long, value_name = "BYTES", value_parser = parse_size)]
    memory_reservation: Option<u64>,
    /// Number of CPUs, such as 1.5
    #[arg(long, value_name = "N", value_parser = parse_cpus)]
    cpus: Option<i64>,
    /// Relative weight
    #[arg(short, long, value_name = "N")]
    cpu_shares: Option<u64>,
    /// CPU period in microseconds
    #[arg(long, value_name = "N")]
    cpu_period: Option<u64>,
    /// CPU microseconds in each period
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    cpu_quota: Option<i64>,
    /// CPUs to use, such as 0-3,5
    #[arg(long, value_name = "CPUS")]
    cpuset_cpus: Option<String>,
    /// Memory nodes to use
    #[arg(long, value_name = "NODES")]
    cpuset_mems: Option<String>,
    /// Number of tasks; -1 for no limit
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pids_limit: Option<i64>,
    /// Mount the root file system read-only
    #[arg(long)]
    read_only: bool,
    /// Full access to the host's devices and kernel
    #[arg(long)]
    privileged: bool,
    /// Add a capability, or ALL
    #[arg(long, value_name = "CAPABILITY")]
    cap_add: Vec<String>,
    /// Drop a capability, or ALL
    #[arg(long, value_name = "CAPABILITY")]
    cap_drop: Vec<String>,
    /// seccomp=FILE, seccomp=unconfined or no-new-privileges
    #[arg(long, value_name = "OPTION")]
    security_opt: Vec<String>,
    /// Give a device of the host
    #[arg(long, value_name = "DEVICE[:PATH[:rwm]]")]
    device: Vec<String>,
    /// Limit a resource of the process, such as nofile=1024:4096
    #[arg(long, value_name = "NAME=SOFT[:HARD]")]
    ulimit: Vec<String>,
    /// Set a kernel parameter of the container's namespaces
    #[arg(long, value_name = "NAME=VALUE")]
    sysctl: Vec<String>,
    /// Size of /dev/shm
    #[arg(long, value_name = "BYTES", value_parser = parse_size)]
    shm_size: Option<u64>,
    /// Signal that asks the program to end
    #[arg(long, value_name = "SIGNAL")]
    stop_signal: Option<String>,
    /// Seconds between that signal and SIGKILL
    #[arg(long, value_name = "SECONDS")]
    stop_timeout: Option<u32>,
    /// Add a line to /etc/hosts
    #[arg(long, value_name = "NAME:ADDRESS")]
    add_host: Vec<String>,
    /// Name server instead of the host's
    #[arg(long, value_name = "ADDRESS")]
    dns: Vec<String>,
    /// json-file or none
    #[arg(long, default_value = "json-file", value_name = "DRIVER")]
    log_driver: String,
    /// max-size=BYTES or max-file=N
    #[arg(long, value_name = "NAME=VALUE")]
    log_opt: Vec<String>,
    /// Adjust the OOM killer's choice, -1000 to 1000
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    oom_score_adj: Option<i32>,
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
    /// Use a folder as the root file system, and no image
    #[arg(long, value_name = "DIR")]
    rootfs: Option<PathBuf>,
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
        let (seccomp, no_new_privileges) = self.security()?;
        if let Some(signal) = &self.stop_signal {
            parse_signal(signal)?;
        }
        Ok(RunRequest {
            image,
            rootfs: self.rootfs.clone(),
            platform: self.platform.clone(),
            name: self.name.clone(),
            entrypoint: self.entrypoint.as_ref().map(|e| if e.is_empty() { Vec::new() } else { vec![e.clone()] }),
            command,
            env: environment(&self.env_file, &self.env)?,
            labels: self.labels()?,
            workdir: self.workdir.clone(),
            user: self.user.clone(),
            group_add: self.group_add.clone(),
            hostname: self.hostname.clone(),
            domainname: self.domainname.clone(),
            terminal: self.tty,
            stdin_open: self.interactive,
            stdin_once: self.interactive && !self.detach,
            remove: self.rm,
            network: self.network()?,
            host_namespaces: self.host_namespaces()?,
            volumes: self.volume.iter().map(|v| VolumeRequest::parse(v)).collect::<Result<_, _>>()?,
            tmpfs: self.tmpfs.iter().map(|t| TmpfsRequest::parse(t)).collect::<Result<_, _>>()?,
            read_only: self.read_only,
            privileged: self.privileged,
            cap_add: split_commas(&self.cap_add),
            cap_drop: split_commas(&self.cap_drop),
            seccomp,
            no_new_privileges,
            limits: self.limits(),
            devices: self.device.iter().map(|d| device(d)).collect::<Result<_, _>>()?,
            ulimits: self.ulimit.iter().map(|u| ulimit(u)).collect::<Result<_, _>>()?,
            sysctls: self.sysctl.iter().map(|s| pair("sysctl", s)).collect::<Result<_, _>>()?,
            shm_size: self.shm_size,
            stop_signal: self.stop_signal.clone(),
            stop_timeout: self.stop_timeout,
            add_hosts: self.add_host.iter().map(|h| add_host(h)).collect::<Result<_, _>>()?,
            dns: self.dns.iter().map(|d| name_server(d)).collect::<Result<_, _>>()?,
            log: self.log()?,
            oom_score_adj: self.oom_score_adj,
        })
    }

    fn image_and_command(&self) -> Result<(Option<String>, Vec<String>), Failure> {
        match (&self.rootfs, self.words.split_first()) {
            (Some(_), _) => Ok((None, self.words.clone())),
            (None, Some((image, command))) if !image.starts_with('-') => Ok((Some(image.clone()), command.to_vec())),
            (None, Some((flag, _))) => Err(usage(format!("unexpected argument '{flag}'; see 'carboy run --help'"))),
            (None, None) => Err(usage("an image is needed: carboy run [OPTIONS] IMAGE [COMMAND] [ARG…]")),
        }
    }

    fn network(&self) -> Result<Network, Failure> {
        match self.network.as_deref() {
            None | Some("none") => Ok(Network::None),
            Some("host") => Ok(Network::Host),
            Some(other) => Err(usage(format!("network {other:?} is not supported: none or host"))),
        }
    }

    fn host_namespaces(&self) -> Result<Vec<String>, Failure> {
        let mut list = Vec::new();
        for (kind, value) in [("pid", &self.pid), ("ipc", &self.ipc), ("uts", &self.uts), ("cgroup", &self.cgroupns)] {
            match value.as_deref() {
                None | Some("" | "private") => {}
                Some("host") => list.push(kind.to_owned()),
                Some(other) => return Err(usage(format!("--{kind} {other:?} is not supported: host or private"))),
            }
        }
        if list.iter().any(|k| k == "uts") && (self.hostname.is_some() || self.domainname.is_some()) {
            return Err(usage("conflicting options: hostname and the UTS mode"));
        }
        Ok(list)
    }

    fn limits(&self) -> Limits {
        let signed = |n: Option<u64>| n.map(|n| n as i64).filter(|n| *n != 0);
        Limits {
            memory: signed(self.memory),
            memory_swap: self.memory_swap.filter(|n| *n != 0),
            memory_reservation: signed(self.memory_reservation),
            nano_cpus: self.cpus.filter(|n| *n != 0),
            cpu_shares: self.cpu_shares,
            cpu_period: self.cpu_period,
            cpu_quota: self.cpu_quota,
            cpuset_cpus: self.cpuset_cpus.clone(),
            cpuset_mems: self.cpuset_mems.clone(),
            pids: self.pids_limit.filter(|n| *n != 0),
        }
    }

    fn labels(&self) -> Result<BTreeMap<String, String>, Failure> {
        let mut labels = BTreeMap::new();
        for label in &self.label {
            let (name, value) = label.split_once('=').unwrap_or((label, ""));
            if name.is_empty() {
                return Err(usage(format!("invalid label {label:?}: its name is empty")));
            }
            labels.insert(name.to_owned(), value.to_owned());
        }
        Ok(labels)
    }

    fn security(&self) -> Result<(SeccompRequest, bool), Failure> {
        let (mut seccomp, mut no_new_privileges) = (SeccompRequest::Default, false);
        for option in &self.security_opt {
            let (name, value) = option.split_once(['=', ':']).unwrap_or((option, ""));
            match (name, value) {
                ("no-new-privileges", "" | "true") => no_new_privileges = true,
                ("no-new-privileges", "false") => no_new_privileges = false,
                ("seccomp", "unconfined") => seccomp = SeccompRequest::Unconfined,
                ("seccomp", "builtin" | "default") => seccomp = SeccompRequest::Default,
                ("seccomp", path) if !path.is_empty() => {
                    let text = std::fs::read_to_string(path)
                        .map_err(|e| usage(format!("opening seccomp profile ({path}) failed: {e}")))?;
                    seccomp = SeccompRequest::Profile(text);
                }
                ("apparmor", "unconfined") if !Path::new("/sys/module/apparmor/parameters/enabled").exists() => {}
                ("label", "disable") if !Path::new("/sys/fs/selinux/enforce").exists() => {}
                _ => return Err(usage(format!("invalid or unsupported --security-opt: {option:?}"))),
            }
        }
        Ok((seccomp, no_new_privileges))
    }

    fn log(&self) -> Result<LogRequest, Failure> {
        let (mut max_size, mut max_files) = (None, 1);
        for option in &self.log_opt {
            match option.split_once('=') {
                Some(("max-size", "-1")) => max_size = None,
                Some(("max-size", value)) => max_size = Some(parse_size(value).map_err(usage)?),
                Some(("max-file", value)) => {
                    max_files = value.parse().ok().filter(|n| *n > 0).ok_or_else(|| {
                        usage(format!("invalid value for max-file: {value:?} (expected a number of at least 1)"))
                    })?;
                }
                _ => return Err(usage(format!("unknown log opt {option:?} for {} log driver", self.log_driver))),
            }
        }
        match self.log_driver.as_str() {
            "json-file" => Ok(LogRequest::JsonFile { max_size, max_files }),
            "none" if self.log_opt.is_empty() => Ok(LogRequest::None),
            "none" => Err(usage("the log driver none takes no --log-opt")),
            other => Err(usage(format!("log driver {other:?} is not supported: json-file or none"))),
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

/// Files first, then flags. A flag without a value takes it from our own environment, or is left out if it is not set there.
pub(crate) fn environment(files: &[PathBuf], flags: &[String]) -> Result<Vec<String>, Failure> {
    let mut list = Vec::new();
    for path in files {
        let text = std::fs::read_to_string(path)
            .map_err(|e| usage(format!("open environment file {}: {e}", path.display())))?;
        for line in text.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            add_variable(&mut list, line)?;
        }
    }
    for flag in flags {
        add_variable(&mut list, flag)?;
    }
    Ok(list)
}

fn add_variable(list: &mut Vec<String>, entry: &str) -> Result<(), Failure> {
    let name = entry.split('=').next().unwrap_or_default();
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err(usage(format!("invalid environment variable: {entry:?}")));
    }
    if entry.contains('=') {
        list.push(entry.to_owned());
    } else if let Ok(value) = std::env::var(name) {
        list.push(format!("{name}={value}"));
    }
    Ok(())
}

fn device(text: &str) -> Result<DeviceRequest, Failure> {
    let parts: Vec<&str> = text.split(':').collect();
    let is_mode = |s: &str| !s.is_empty() && s.bytes().all(|b| b"rwm".contains(&b));
    let (host, container, permissions) = match parts[..] {
        [host] => (host, host, "rwm"),
        [host, mode] if is_mode(mode) => (host, host, mode),
        [host, container] => (host, container, "rwm"),
        [host, container, mode] if is_mode(mode) => (host, container, mode),
        _ => return Err(usage(format!("bad format for device {text:?}: DEVICE[:PATH[:rwm]]"))),
    };
    if !host.starts_with('/') || !container.starts_with('/') {
        return Err(usage(format!("bad format for device {text:?}: its paths must be absolute")));
    }
    Ok(DeviceRequest { host: host.into(), container: container.to_owned(), permissions: permissions.to_owned() })
}

fn ulimit(text: &str) -> Result<Ulimit, Failure> {
    let bad = || usage(format!("invalid ulimit argument: {text:?} (NAME=SOFT[:HARD])"));
    let (name, values) = text.split_once('=').ok_or_else(bad)?;
    let (soft, hard) = values.split_once(':').unwrap_or((values, values));
    let number = |text: &str| match text {
        "-1" | "unlimited" => Ok(u64::MAX),
        _ => text.parse().map_err(|_| bad()),
    };
    Ok(Ulimit { name: name.to_owned(), soft: number(soft)?, hard: number(hard)? })
}

fn add_host(text: &str) -> Result<(String, String), Failure> {
    let bad = || usage(format!("bad format for add-host: {text:?} (NAME:ADDRESS)"));
    let (name, address) = text.split_once(':').filter(|(name, _)| !name.is_empty()).ok_or_else(bad)?;
    let bare = address.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<std::net::IpAddr>().map_err(|_| usage(format!("invalid IP address in add-host: {address:?}")))?;
    Ok((name.to_owned(), bare.to_owned()))
}

fn name_server(text: &str) -> Result<String, Failure> {
    text.parse::<std::net::IpAddr>().map_err(|_| usage(format!("{text} is not an ip address")))?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use crate::args::{Cli, Command};
    use carboy_engine::{Network, RunRequest};
    use clap::Parser;

    fn request(line: &str) -> Result<RunRequest, String> {
        let words = std::iter::once("carboy").chain(line.split_whitespace());
        let cli = Cli::try_parse_from(words).map_err(|e| e.to_string())?;
        let Command::Run(args) = cli.command else { panic!("not run") };
        args.request().map_err(|e| e.to_string())
    }

    #[test]
    fn everything_after_the_image_is_the_program() {
        let request = request("run -it --rm -m 64m --cpus 1.5 busybox ls -l --rm").unwrap();
        assert_eq!(request.image.as_deref(), Some("busybox"));
        assert_eq!(request.command, ["ls", "-l", "--rm"]);
        assert!(request.terminal && request.stdin_open && request.stdin_once && request.remove);
        assert_eq!(request.limits.memory, Some(64 << 20));
        assert_eq!(request.limits.nano_cpus, Some(1_500_000_000));
    }

    #[test]
    fn options_are_translated() {
        let request = request(
            "run -e A=1 --network host --cap-drop ALL --cap-add net_admin,chown -v /a:/b:ro --tmpfs /run --ulimit nofile=1:2 \
             --security-opt no-new-privileges --security-opt seccomp=unconfined -h box --device /dev/null:/dev/x:r \
             --pids-limit -1 --entrypoint= --rootfs /r -- prog -x",
        )
        .unwrap();
        assert_eq!((request.image, request.command), (None, vec!["prog".to_owned(), "-x".into()]));
        assert_eq!(request.network, Network::Host);
        assert_eq!(request.cap_add, ["net_admin", "chown"]);
        assert_eq!(request.entrypoint, Some(vec![]));
        assert_eq!(request.limits.pids, Some(-1));
        assert_eq!(request.devices[0].permissions, "r");
        assert_eq!(request.ulimits[0].hard, 2);
        assert!(request.no_new_privileges);
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        for line in [
            "run",
            "run --network bridge x",
            "run --bogus x",
            "run --init x",
            "run -m 1x x",
            "run --pid container:1 x",
            "run --log-driver syslog x",
            "run --log-opt a=b x",
            "run --security-opt apparmor=x x",
            "run --device null x",
            "run --ulimit nofile x",
            "run --add-host x x",
            "run --dns x x",
            "run -v a:b x",
            "run --stop-signal NOPE x",
            "run --pull sometimes x",
        ] {
            assert!(request(line).is_err(), "{line}");
        }
    }
}
