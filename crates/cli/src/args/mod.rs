//! The command line's grammar.

mod listing;
mod run;

pub(crate) use listing::{ImagesArgs, InspectArgs, PsArgs};
pub(crate) use run::{PullPolicy, RunArgs, environment};

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Containers that you can see into: images, containers and what is done to the kernel for them, without a daemon.
#[derive(Debug, Parser)]
#[command(name = "carboy", version, propagate_version = true, disable_help_subcommand = true, max_term_width = 120)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// Folder of images and containers [default: /var/lib/carboy, or $XDG_DATA_HOME/carboy]
    #[arg(long, env = "CARBOY_ROOT", hide_env_values = true, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
    /// Folder of what a reboot may take [default: /run/carboy, or $XDG_RUNTIME_DIR/carboy]
    #[arg(long, env = "CARBOY_RUNROOT", hide_env_values = true, value_name = "DIR")]
    pub(crate) runroot: Option<PathBuf>,
    /// Another OCI runtime, by path or name
    #[arg(long, env = "CARBOY_RUNTIME", hide_env_values = true, value_name = "PROGRAM")]
    pub(crate) runtime: Option<String>,
    /// How layers are kept: auto, erofs or overlay
    #[arg(long, env = "CARBOY_SNAPSHOTTER", hide_env_values = true, value_name = "NAME")]
    pub(crate) snapshotter: Option<String>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a container and run a program in it
    Run(Box<RunArgs>),
    /// Make a container without starting it
    Create(Box<RunArgs>),
    /// Start containers
    Start(StartArgs),
    /// Run another program in a running container
    Exec(ExecArgs),
    /// List containers
    #[command(visible_alias = "list")]
    Ps(PsArgs),
    /// Print what a container wrote
    Logs(LogsArgs),
    /// Stop containers: their stop signal first, SIGKILL after a while
    Stop(StopArgs),
    /// Stop and start containers
    Restart(StopArgs),
    /// Send a signal to containers
    Kill(KillArgs),
    /// Remove containers
    Rm(RmArgs),
    /// Give a container another name
    Rename(RenameArgs),
    /// Print everything known of containers or images, as JSON
    Inspect(InspectArgs),
    /// Wait until containers end, and print their exit codes
    Wait(Names),
    /// Connect to a running container's input and output
    Attach(AttachArgs),
    /// Get an image from a registry
    Pull(PullArgs),
    /// Take images from a docker-archive or oci-archive file
    Load(LoadArgs),
    /// List images
    Images(ImagesArgs),
    /// Remove images
    Rmi(RmiArgs),
    /// Show what a command would do to the kernel, without doing it
    Explain(ExplainArgs),
    /// Print versions
    Version(FormatArgs),
    /// Print where things are and what this machine offers
    Info(FormatArgs),
    /// Container commands, under Docker's longer names
    #[command(subcommand)]
    Container(ContainerCommand),
    /// Image commands, under Docker's longer names
    #[command(subcommand)]
    Image(ImageCommand),
    /// Work that an ordinary user's engine does within its user namespace
    #[command(subcommand, hide = true)]
    Internal(InternalCommand),
}

impl Command {
    /// Exit code of an error of the engine's: 125 where a program's own code would be expected otherwise.
    pub(crate) fn error_code(&self) -> i32 {
        match self {
            Command::Run(_) | Command::Container(ContainerCommand::Run(_)) => 125,
            _ => 1,
        }
    }
}

/// `explain`.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: ExplainCommand,
}

/// `explain …`.
#[derive(Debug, Subcommand)]
pub(crate) enum ExplainCommand {
    /// What `run` with the same arguments would do
    Run(Box<RunArgs>),
}

/// `container …`.
#[derive(Debug, Subcommand)]
pub(crate) enum ContainerCommand {
    /// Make a container and run a program in it
    Run(Box<RunArgs>),
    /// Make a container without starting it
    Create(Box<RunArgs>),
    /// Start containers
    Start(StartArgs),
    /// Run another program in a running container
    Exec(ExecArgs),
    /// List containers
    #[command(visible_aliases = ["list", "ps"])]
    Ls(PsArgs),
    /// Print what a container wrote
    Logs(LogsArgs),
    /// Stop containers
    Stop(StopArgs),
    /// Stop and start containers
    Restart(StopArgs),
    /// Send a signal to containers
    Kill(KillArgs),
    /// Remove containers
    #[command(visible_alias = "remove")]
    Rm(RmArgs),
    /// Give a container another name
    Rename(RenameArgs),
    /// Print everything known of containers
    Inspect(InspectArgs),
    /// Wait until containers end
    Wait(Names),
    /// Connect to a running container
    Attach(AttachArgs),
}

/// `image …`.
#[derive(Debug, Subcommand)]
pub(crate) enum ImageCommand {
    /// List images
    #[command(visible_alias = "list")]
    Ls(ImagesArgs),
    /// Get an image from a registry
    Pull(PullArgs),
    /// Take images from an archive
    Load(LoadArgs),
    /// Remove images
    #[command(visible_alias = "remove")]
    Rm(RmiArgs),
    /// Print everything known of images
    Inspect(InspectArgs),
}

/// `internal …`.
#[derive(Debug, Subcommand)]
pub(crate) enum InternalCommand {
    /// Removes a tree
    RemoveTree { path: PathBuf },
    /// Puts the embedded image into the store
    ImportHello,
    /// Copies a folder of an image into a volume: DESTINATION in the image, TARGET, then the layers, topmost first
    CopyUp { destination: String, target: PathBuf, lower: Vec<PathBuf> },
}

/// Containers by name or ID.
#[derive(Debug, Args)]
pub(crate) struct Names {
    /// Names, IDs, or beginnings of IDs
    #[arg(required = true, value_name = "CONTAINER")]
    pub(crate) containers: Vec<String>,
}

/// `start`.
#[derive(Debug, Args)]
pub(crate) struct StartArgs {
    /// Connect to output, forward signals, and end with the program's exit code
    #[arg(short, long)]
    pub(crate) attach: bool,
    /// Connect to standard input too
    #[arg(short, long)]
    pub(crate) interactive: bool,
    /// Keys that detach
    #[arg(long, default_value = "ctrl-p,ctrl-q", value_name = "KEYS")]
    pub(crate) detach_keys: String,
    #[command(flatten)]
    pub(crate) names: Names,
}

/// `attach`.
#[derive(Debug, Args)]
pub(crate) struct AttachArgs {
    /// Do not connect to standard input
    #[arg(long)]
    pub(crate) no_stdin: bool,
    /// Forward signals to the program
    #[arg(long, default_value_t = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub(crate) sig_proxy: bool,
    /// Keys that detach
    #[arg(long, default_value = "ctrl-p,ctrl-q", value_name = "KEYS")]
    pub(crate) detach_keys: String,
    /// Name, ID, or beginning of an ID
    pub(crate) container: String,
}

/// `exec`.
#[derive(Debug, Args)]
pub(crate) struct ExecArgs {
    /// Do not wait for the program
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// Connect to standard input
    #[arg(short, long)]
    pub(crate) interactive: bool,
    /// Give the program a terminal
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// Set a variable; without a value, this environment's
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<String>,
    /// Read variables from a file
    #[arg(long, value_name = "FILE")]
    pub(crate) env_file: Vec<PathBuf>,
    /// User, and group
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub(crate) user: Option<String>,
    /// Working directory
    #[arg(short, long, value_name = "DIR")]
    pub(crate) workdir: Option<String>,
    /// All capabilities
    #[arg(long)]
    pub(crate) privileged: bool,
    /// Container, program and arguments
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "CONTAINER COMMAND [ARG]"
    )]
    pub(crate) words: Vec<String>,
}

/// `logs`.
#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// Wait for more until the container ends
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Number of lines from the end, or all
    #[arg(short = 'n', long, default_value = "all", value_name = "N")]
    pub(crate) tail: String,
    /// Print the time before each line
    #[arg(short, long)]
    pub(crate) timestamps: bool,
    /// Only from this time on: RFC 3339, seconds since the epoch, or a duration back from now
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Only before this time
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// Name, ID, or beginning of an ID
    pub(crate) container: String,
}

/// `stop`, `restart`.
#[derive(Debug, Args)]
pub(crate) struct StopArgs {
    /// Seconds to wait before SIGKILL [default: the container's, or 10]
    #[arg(short = 't', long, visible_alias = "timeout", value_name = "SECONDS")]
    pub(crate) time: Option<u32>,
    #[command(flatten)]
    pub(crate) names: Names,
}

/// `kill`.
#[derive(Debug, Args)]
pub(crate) struct KillArgs {
    /// Name or number
    #[arg(short, long, default_value = "KILL", value_name = "SIGNAL")]
    pub(crate) signal: String,
    #[command(flatten)]
    pub(crate) names: Names,
}

/// `rm`.
#[derive(Debug, Args)]
pub(crate) struct RmArgs {
    /// Kill running containers; ignore missing ones
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Remove anonymous volumes too
    #[arg(short, long)]
    pub(crate) volumes: bool,
    #[command(flatten)]
    pub(crate) names: Names,
}

/// `rename`.
#[derive(Debug, Args)]
pub(crate) struct RenameArgs {
    /// Name, ID, or beginning of an ID
    pub(crate) container: String,
    /// The new name
    pub(crate) name: String,
}

/// `pull`.
#[derive(Debug, Args)]
pub(crate) struct PullArgs {
    /// Platform to choose from a manifest list, os/arch[/variant]
    #[arg(long, value_name = "PLATFORM")]
    pub(crate) platform: Option<String>,
    /// Require HTTPS with a valid certificate [default: yes, but for loopback addresses]
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub(crate) tls_verify: Option<bool>,
    /// Credentials, instead of those in the files that docker and podman log in to
    #[arg(long, value_name = "USER:PASSWORD")]
    pub(crate) creds: Option<String>,
    /// Only print the image's name
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Image name
    #[arg(value_name = "IMAGE")]
    pub(crate) image: String,
}

/// `load`.
#[derive(Debug, Args)]
pub(crate) struct LoadArgs {
    /// Archive [default: standard input]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,
    /// Print nothing but the names of the images
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// `rmi`.
#[derive(Debug, Args)]
pub(crate) struct RmiArgs {
    /// Remove even if a stopped container uses it or it has several names
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Names, IDs, or beginnings of IDs
    #[arg(required = true, value_name = "IMAGE")]
    pub(crate) images: Vec<String>,
}

/// `version`, `info`.
#[derive(Debug, Args)]
pub(crate) struct FormatArgs {
    /// json, or a template such as {{.Version}}
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
}

/// `carboy run`, as far as the arguments name commands: for the hint after a mistake.
pub(crate) fn command_words() -> String {
    use clap::CommandFactory;
    let mut words = vec!["carboy".to_owned()];
    let mut command = Cli::command();
    // Not `args`, which panics on what is no UTF-8.
    for arg in
        std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned()).filter(|arg| !arg.starts_with('-'))
    {
        let Some(found) = command.find_subcommand(&arg).cloned() else { break };
        words.push(found.get_name().to_owned());
        command = found;
    }
    words.join(" ")
}

/// The command with switches that may be given a value, `--switch=false`, in any of the forms of Go's `strconv.ParseBool`.
pub(crate) fn with_switch_values(command: clap::Command) -> clap::Command {
    let boolean = |text: &str| match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("a truth value is wanted: true or false"),
    };
    command
        .mut_args(|arg| match arg.get_action() {
            clap::ArgAction::SetTrue => arg
                .action(clap::ArgAction::Set)
                .num_args(0..=1)
                .require_equals(true)
                .default_value("false")
                .default_missing_value("true")
                .value_parser(boolean),
            _ => arg,
        })
        .mut_subcommands(with_switch_values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_grammar_is_consistent() {
        Cli::command().debug_assert();
        with_switch_values(Cli::command()).debug_assert();
    }

    #[test]
    fn switches_take_values() {
        let all = |word: &str| {
            let matches = with_switch_values(Cli::command()).try_get_matches_from(["carboy", "ps", word]).ok()?;
            matches.subcommand()?.1.get_one::<bool>("all").copied()
        };
        for (word, want) in [
            ("--all", Some(true)),
            ("--all=true", Some(true)),
            ("-a=1", Some(true)),
            ("--all=false", Some(false)),
            ("-q", Some(false)),
            ("--all=x", None),
        ] {
            assert_eq!(all(word), want, "{word}");
        }
    }
}
