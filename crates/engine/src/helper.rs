//! Calls of the runtime and, for ordinary users, of our own programs within the user namespace that their containers have.

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::record::Container;
use carboy_wire::monitor::{RuntimeCommand, UserNamespace};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

impl Engine {
    /// The program and arguments that run `command` with the IDs an ordinary user may map: in a new user namespace with the same maps
    /// as its containers'. For root, the command itself.
    ///
    /// # Errors
    /// If the monitor is not where it belongs.
    pub fn mapped(&self, command: Vec<OsString>) -> Result<Vec<OsString>> {
        let Some(maps) = &self.user_namespace else { return Ok(command) };
        let mut words: Vec<OsString> = vec![self.monitor()?.into(), "userns".into()];
        words.extend(map_arguments(maps));
        words.push("--".into());
        words.extend(command);
        Ok(words)
    }

    /// The words of a runtime call: direct for root; within the monitor's namespaces for an ordinary user's live container.
    pub(crate) fn runtime_words(&self, container: &Container, args: &[&str]) -> Result<Vec<OsString>> {
        let command = runtime_command(&container.record.runtime, args);
        let Some(started) = container.started.as_ref().filter(|_| container.record.user_namespace.is_some()) else {
            return Ok(command);
        };
        let mut words: Vec<OsString> =
            vec![self.monitor()?.into(), "enter".into(), started.monitor_pid.to_string().into()];
        words.push("--".into());
        words.extend(command);
        Ok(words)
    }

    /// Runs `runtime delete --force` for what a dead monitor left.
    pub(crate) fn runtime_delete(&self, container: &Container) -> Result<()> {
        let command = runtime_command(&container.record.runtime, &["delete", "--force", &container.record.id]);
        run_helper(&self.mapped(command)?)
    }

    /// Removes a tree, whoever its files belong to. What is not there is removed already.
    pub(crate) fn remove_tree(&self, path: &Path) -> Result<()> {
        match carboy_state::tree::remove_tree(path).map_err(|e| e.source) {
            // Files of mapped users, and overlayfs' work folder, yield only to root of the user namespace.
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied && self.user_namespace.is_some() => {
                let words: Vec<OsString> =
                    vec![self.own_program()?.into(), "internal".into(), "remove-tree".into(), path.into()];
                run_helper(&self.mapped(words)?)
            }
            result => result.map_err(Error::at("remove", path)),
        }
    }

    /// `carboy` itself, for work within a user namespace.
    pub(crate) fn own_program(&self) -> Result<PathBuf> {
        Ok(self.monitor()?.with_file_name("carboy"))
    }
}

pub(crate) fn runtime_command(runtime: &RuntimeCommand, args: &[&str]) -> Vec<OsString> {
    let mut words: Vec<OsString> = vec![runtime.path.clone().into()];
    words.extend(runtime.global_args.iter().map(OsString::from));
    words.extend(args.iter().map(OsString::from));
    words
}

fn map_arguments(maps: &UserNamespace) -> Vec<OsString> {
    let text = |map: &[(u32, u32, u32)]| {
        let ranges: Vec<String> = map.iter().map(|(inside, outside, n)| format!("{inside}:{outside}:{n}")).collect();
        OsString::from(ranges.join(","))
    };
    let mut words = vec!["--uid-map".into(), text(&maps.uid_map), "--gid-map".into(), text(&maps.gid_map)];
    if maps.setuid_helpers {
        words.push("--setuid-helpers".into());
    }
    words
}

/// Runs a program without input to its end; what it says on standard error becomes the error.
pub(crate) fn run_helper(words: &[OsString]) -> Result<()> {
    let Some((program, args)) = words.split_first() else { return Ok(()) };
    let path = Path::new(program);
    let output = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .map_err(Error::at("start", path))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let message = if last.is_empty() { output.status.to_string() } else { last.trim().to_owned() };
    Err(Error::Helper { program: path.file_name().unwrap_or_default().to_string_lossy().into_owned(), message })
}
