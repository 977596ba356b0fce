//! `exec`: another program in a running container.

use super::create::{check_preserved, connect_to, non_empty};
use crate::args::{Arg, Globals, Parser, number, switch, text};
use crate::cgroups::Placement;
use crate::container::Container;
use crate::error::{Context, Error, Result};
use crate::foreground::{Foreground, block_signals, own_size};
use crate::launch::{Launch, Stage, launch};
use crate::plan::{Running, plan_exec, session_keyring};
use carboy_oci::runtime::{Capabilities, Linux, Process};
use carboy_oci::state::Status;
use carboy_state::file::{Durability, write_atomic};
use std::os::fd::AsFd;
use std::path::PathBuf;

/// Options of `exec`.
#[derive(Debug, Default)]
struct Options {
    id: String,
    args: Vec<String>,
    console_socket: Option<PathBuf>,
    pidfd_socket: Option<PathBuf>,
    pid_file: Option<PathBuf>,
    process: Option<PathBuf>,
    cwd: Option<String>,
    env: Vec<String>,
    tty: bool,
    user: Option<String>,
    additional_gids: Vec<u32>,
    detach: bool,
    process_label: Option<String>,
    apparmor: Option<String>,
    no_new_privs: bool,
    cap: Vec<String>,
    preserve_fds: u32,
    cgroup: Vec<String>,
    ignore_paused: bool,
}

/// `exec`.
pub fn main(globals: &Globals, parser: &mut Parser) -> Result<u8> {
    let options = parse(parser)?;
    let container = Container::open(&globals.root, &options.id)?;
    match container.status() {
        Status::Running | Status::Created => {}
        Status::Paused if options.ignore_paused => {}
        Status::Paused => {
            return Err(Error::State("cannot exec in a paused container (use --ignore-paused to override)".into()));
        }
        Status::Stopped | Status::Creating => return Err(Error::State("cannot exec in a stopped container".into())),
    }
    exec(globals, &options, &container).map_err(|e| Error::Step { step: "exec failed".into(), source: Box::new(e) })
}

fn parse(parser: &mut Parser) -> Result<Options> {
    let mut options = Options::default();
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Value(id) => {
                options.id = text(id)?;
                // The rest is the program's, whatever it looks like; a `--` before it is not.
                let mut rest = parser.raw_args()?.map(text).collect::<Result<Vec<_>>>()?;
                if rest.first().is_some_and(|first| first == "--") {
                    rest.remove(0);
                }
                options.args = rest;
            }
            Arg::Long("console-socket") => options.console_socket = non_empty(parser)?,
            Arg::Long("pidfd-socket") => options.pidfd_socket = non_empty(parser)?,
            Arg::Long("pid-file") => options.pid_file = non_empty(parser)?,
            Arg::Long("process") | Arg::Short('p') => options.process = non_empty(parser)?,
            Arg::Long("cwd") => options.cwd = Some(text(parser.value()?)?),
            Arg::Long("env") | Arg::Short('e') => options.env.push(text(parser.value()?)?),
            Arg::Long("tty") | Arg::Short('t') => options.tty = switch(parser)?,
            Arg::Long("user") | Arg::Short('u') => options.user = Some(text(parser.value()?)?),
            Arg::Long("additional-gids") | Arg::Short('g') => options.additional_gids.push(number(parser.value()?)?),
            Arg::Long("detach") | Arg::Short('d') => options.detach = switch(parser)?,
            Arg::Long("process-label") => options.process_label = Some(text(parser.value()?)?),
            Arg::Long("apparmor") => options.apparmor = Some(text(parser.value()?)?),
            Arg::Long("no-new-privs") => options.no_new_privs = switch(parser)?,
            Arg::Long("cap") | Arg::Short('c') => options.cap.push(text(parser.value()?)?),
            Arg::Long("preserve-fds") => options.preserve_fds = number(parser.value()?)?,
            Arg::Long("cgroup") => options.cgroup.push(text(parser.value()?)?),
            Arg::Long("ignore-paused") => options.ignore_paused = switch(parser)?,
            other => return Err(other.unexpected().into()),
        }
    }
    if options.id.is_empty() {
        return Err(Error::Usage("a container ID is needed".into()));
    }
    if options.args.is_empty() && options.process.is_none() {
        return Err(Error::Usage("process args cannot be empty".into()));
    }
    Ok(options)
}

fn exec(globals: &Globals, options: &Options, container: &Container) -> Result<u8> {
    let spec = container.config()?;
    let linux = spec.linux.unwrap_or_default();
    let mut process = process(options, spec.process.unwrap_or_default())?;
    match (process.terminal, options.console_socket.is_some(), options.detach) {
        (true, false, true) => {
            return Err(Error::Usage("cannot allocate tty if runc will detach without setting console socket".into()));
        }
        (false, true, _) | (true, true, false) => {
            return Err(Error::Usage("cannot use console socket if runc will not detach or allocate tty".into()));
        }
        _ => {}
    }
    if process.terminal && !options.detach {
        process.console_size = own_size().or(process.console_size.take());
    }
    check_preserved(options.preserve_fds)?;
    let stopped = || Error::State("cannot exec in a stopped container".into());
    let init = container.record.init.ok_or_else(stopped)?;
    let pidfd = init.pidfd().ok_or_else(stopped)?;
    let record = &container.record;
    let keyring = (!record.no_new_keyring).then(|| session_keyring(&record.id));
    let running = Running { init, own: record.namespaces, keyring };
    let cgroup = container.record.cgroup.below(&options.cgroup)?;
    let placement = Placement::existing(&cgroup, linux.resources.as_deref());
    let linux = Linux {
        seccomp: linux.seccomp,
        personality: linux.personality,
        memory_policy: linux.memory_policy,
        ..Linux::default()
    };
    let facts = crate::host::facts(Some(&process), None);
    let plan = plan_exec(&process, &linux, &facts, running, placement, options.preserve_fds)?;
    for warning in &plan.warnings {
        globals.log.write("warning", warning);
    }
    globals.log.steps(&plan.steps);
    if !options.detach {
        block_signals()?;
    }
    let console_socket = options.console_socket.as_deref().map(connect_to).transpose()?;
    let mut record = |stage, pid: i32| match &options.pid_file {
        Some(path) if stage == Stage::Ready => {
            Ok(write_atomic(path, pid.to_string().as_bytes(), 0o644, Durability::Process)?)
        }
        _ => Ok(()),
    };
    let state = container.state_as(Status::Running);
    let launched = launch(Launch {
        plan: &plan,
        state,
        console_socket,
        container: Some(pidfd),
        start_socket: None,
        record: &mut record,
        trace: false,
    })?;
    if let Some(path) = &options.pidfd_socket {
        let socket = connect_to(path)?;
        crate::channel::send_with_fds(socket.as_fd(), b"pidfd", &[launched.pidfd.as_fd()])
            .context(|| format!("send the pidfd to {}", path.display()))?;
    }
    if options.detach {
        return Ok(0);
    }
    Foreground::new(launched.pidfd, launched.console)?.wait()
}

/// The process: from a file, or the container's own with what the options change.
fn process(options: &Options, base: Box<Process>) -> Result<Box<Process>> {
    if let Some(path) = &options.process {
        let text = std::fs::read(path).context(|| format!("read {}", path.display()))?;
        return Ok(crate::config::parse_part(&text, path)?.0);
    }
    let mut process = base;
    process.args.clone_from(&options.args);
    process.terminal = options.tty;
    process.console_size = None;
    if let Some(cwd) = &options.cwd {
        process.cwd = cwd.clone();
    }
    process.env.extend(options.env.iter().cloned());
    process.no_new_privileges |= options.no_new_privs;
    if let Some(profile) = &options.apparmor {
        process.apparmor_profile = Some(profile.clone());
    }
    if let Some(label) = &options.process_label {
        process.selinux_label = Some(label.clone());
    }
    if let Some(user) = &options.user {
        let bad = || Error::Usage(format!("--user {user:?}: UID[:GID] is needed"));
        let (uid, gid) = user.split_once(':').map_or((user.as_str(), None), |(uid, gid)| (uid, Some(gid)));
        process.user.uid = uid.parse().map_err(|_| bad())?;
        if let Some(gid) = gid {
            process.user.gid = gid.parse().map_err(|_| bad())?;
        }
    }
    process.user.additional_gids.extend(&options.additional_gids);
    if !options.cap.is_empty() {
        let sets = process.capabilities.get_or_insert_with(Capabilities::default);
        for set in [&mut sets.bounding, &mut sets.effective, &mut sets.permitted] {
            set.extend(options.cap.iter().cloned());
        }
        // As runc: they only become ambient if the program's user would lose them otherwise.
        sets.inheritable.clear();
        sets.ambient.clear();
    }
    Ok(process)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Options> {
        parse(&mut Parser::from_args(line.split(' ')))
    }

    #[test]
    fn what_follows_the_id_is_the_programs() {
        let o = parsed("-t -e A=1 --user 1:2 id ls -t --user x").unwrap();
        assert_eq!(o.args, ["ls", "-t", "--user", "x"]);
        assert!(o.tty);
        let p = process(&o, Box::default()).unwrap();
        assert_eq!((p.user.uid, p.user.gid, p.env.len()), (1, 2, 1));
        assert_eq!(parsed("id -- ls").unwrap().args, ["ls"]);
        assert!(parsed("id").is_err());
        assert!(process(&parsed("-u bob id ls").unwrap(), Box::default()).is_err());
    }
}
