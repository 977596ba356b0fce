//! What `--help` prints. (podman asks `checkpoint --help` to find out what a runtime can do: a command that is not here has none.)

/// Of the program.
pub const ALL: &str = "\
Usage: carboy-runtime [GLOBAL OPTIONS] COMMAND [OPTIONS] [ARGUMENTS]

An OCI runtime with runc's command line.

Commands:
  create ID     create a container from a bundle; it waits for start
  start ID      start a created container
  run ID        create and start a container, wait for it and delete it
  state ID      print a container's state
  kill ID [SIG] send a signal to a container's init process (default: TERM)
  delete ID     delete a stopped container (--force: kill it first)
  exec ID CMD   run another program in a running container
  list          list containers
  ps ID         list a container's processes
  pause ID      freeze a container
  resume ID     thaw it again
  update ID     change a container's limits
  events ID     print what a container uses
  checkpoint ID have CRIU write a container's processes to files
  restore ID    have CRIU make them anew
  spec          write a config.json to start from
  features      print what this runtime can do
  explain       print what `run` would do, step by step, without doing it

Global options:
  --root DIR           where containers are recorded
  --log FILE           write messages there
  --log-format FORMAT  text or json
  --debug              more messages
  --systemd-cgroup     cgroups by systemd
  --cgroup-manager M   the same as a word: cgroupfs or systemd
  --rootless MODE      auto, true or false
  --version, --help
";

const CREATE: &str = "  -b, --bundle DIR         folder with config.json and the root file system (default: .)
  -f, --config FILE        another file than the bundle's config.json
      --console-socket S   socket that receives the terminal's master
      --pidfd-socket S     socket that receives a pidfd of the container's first process
      --pid-file FILE      write its PID there
      --no-pivot           move and chroot instead of pivot_root, for an initramfs: less safe
      --no-new-keyring     keep the session keyring
      --no-subreaper       do not adopt what the program leaves behind
      --preserve-fds N     descriptors after 2 for the program, beside those of LISTEN_FDS
";
const RUN: &str = "  -d, --detach             do not wait for the program
      --keep               keep the container when it has ended
      --trace FILE         write the steps there, with the time that each took
";
const EXEC: &str = "  -c, --cap CAP            a further capability
  -d, --detach             do not wait for the program
  -e, --env NAME=VALUE     a further variable of its environment
  -g, --additional-gids N  a further group
  -p, --process FILE       the process as JSON, instead of the options below
  -t, --tty                with a terminal
  -u, --user UID[:GID]     another user
      --apparmor PROFILE   another AppArmor profile
      --cgroup PATH        in a cgroup below the container's, as [CONTROLLER,...:]PATH
      --console-socket S   socket that receives the terminal's master
      --cwd DIR            another working directory
      --ignore-paused      also in a paused container
      --no-new-privs       without a chance to gain privileges
      --pid-file FILE      write the program's PID there
      --pidfd-socket S     socket that receives a pidfd of the program
      --preserve-fds N     descriptors after 2 for the program
      --process-label L    another SELinux label
";
const UPDATE: &str =
    "  -r, --resources FILE         the limits as JSON (-: from standard input); other options are then ignored
      --blkio-weight N         10 to 1000
      --cpu-period N           microseconds
      --cpu-quota N            microseconds in each period
      --cpu-burst N            microseconds that may be saved up
      --cpu-share N            relative weight
      --cpu-rt-period N        microseconds
      --cpu-rt-runtime N       microseconds
      --cpu-idle N             1 for idle scheduling
      --cpuset-cpus LIST       CPUs
      --cpuset-mems LIST       memory nodes
      --memory N               bytes; k, m, g and t are understood
      --memory-reservation N   bytes
      --memory-swap N          bytes of memory and swap together; -1 for no limit
      --pids-limit N           processes and threads
";

const SNAPSHOT: &str = "      --image-path DIR          the images (default: ./checkpoint)
      --work-path DIR           logs and statistics (default: in the container's folder)
      --tcp-established         connections too
      --tcp-close               without connections
      --ext-unix-sk             Unix sockets whose other end is outside
      --shell-job               a session that began outside
      --file-locks              file locks too
      --auto-dedup              each page once in a series of images
      --empty-ns network        without the network's configuration
      --manage-cgroups-mode M   soft, full, strict or ignore
      --lazy-pages              memory is moved later, when it is used (by `criu lazy-pages`)
";
const CHECKPOINT: &str = "      --leave-running           do not end the container
      --pre-dump                memory only, for a checkpoint with --parent-path that follows
      --parent-path DIR         images of a --pre-dump, relative to --image-path
      --page-server HOST:PORT   send the memory there; with --lazy-pages, where it is asked for
      --status-fd N             write a null byte there when --lazy-pages can be served
      --tcp-skip-in-flight      without connections that are being made
      --link-remap              files that have been deleted too
";
const RESTORE: &str = "  -b, --bundle DIR              folder with config.json and the root file system (default: .)
  -d, --detach                  do not wait for the program
      --pid-file FILE           write its PID there
      --no-subreaper            do not adopt what the program leaves behind
      --lsm-profile TYPE:NAME   another profile
      --lsm-mount-context C     another context of mounts
";

/// Command, arguments, options.
const COMMANDS: &[(&str, &str, &[&str])] = &[
    ("create", "ID", &[CREATE]),
    ("start", "ID", &[]),
    ("run", "ID", &[CREATE, RUN]),
    ("state", "ID", &[]),
    (
        "kill",
        "ID [SIGNAL]",
        &[
            "  -a, --all    to all processes of the container\n  -r, --regex  ID is a regular expression: to all containers that match\n",
        ],
    ),
    (
        "delete",
        "ID",
        &[
            "  -f, --force  kill it first if it runs; be content if there is none\n  -r, --regex  ID is a regular expression: all containers that match\n",
        ],
    ),
    ("exec", "ID COMMAND [ARGUMENT...]", &[EXEC]),
    ("list", "", &["  -f, --format F  table or json\n  -q, --quiet     IDs only\n"]),
    ("ps", "ID [PS OPTIONS]", &["  -f, --format F  table or json\n"]),
    ("pause", "ID", &[]),
    ("resume", "ID", &[]),
    ("update", "ID", &[UPDATE]),
    (
        "events",
        "ID",
        &["      --interval D  time between two lines, such as 5s\n      --stats       one line, then end\n"],
    ),
    ("checkpoint", "ID", &[CHECKPOINT, SNAPSHOT]),
    ("restore", "ID", &[RESTORE, SNAPSHOT]),
    (
        "spec",
        "",
        &[
            "  -b, --bundle DIR  where to write it\n  -f, --file FILE   another name than config.json\n      --rootless    for an ordinary user\n",
        ],
    ),
    ("features", "", &[]),
    (
        "explain",
        "[ID]",
        &[
            "  -b, --bundle DIR   folder with config.json (default: .)\n      --config FILE  another file (-: standard input)\n      --json         as JSON\n",
        ],
    ),
];

/// Of a command.
pub fn of(verb: &str) -> Option<String> {
    let (_, arguments, options) = COMMANDS.iter().find(|(name, ..)| *name == verb)?;
    let head = format!("Usage: carboy-runtime {verb} [OPTIONS] {arguments}");
    let mut text = format!("{}\n", head.trim_end());
    if !options.is_empty() {
        text.push_str("\nOptions:\n");
        text.extend(options.iter().copied());
    }
    Some(text)
}

/// What `--usage` prints: the first line of the help.
pub fn usage(verb: &str) -> Option<String> {
    of(verb)?.split_inclusive('\n').next().map(str::to_owned)
}
