//! `exec --cgroup`: cgroups below the container's, which somebody in it has made.

use super::Record;
use crate::error::{Error, Result};
use std::path::PathBuf;

impl Record {
    /// The record with other directories, as `[CONTROLLER,...:]PATH` says. Without a controller it is all of them.
    pub fn below(&self, arguments: &[String]) -> Result<Record> {
        let mut record = self.clone();
        if !arguments.is_empty() {
            // It is no scope of systemd's.
            record.scope = None;
        }
        let mut seen: Vec<&str> = Vec::new();
        for argument in arguments {
            let bad = |reason: &str| Error::Usage(format!("invalid --cgroup argument: {argument} ({reason})"));
            let (controllers, path) = argument.split_once(':').map_or((None, argument.as_str()), |(c, p)| (Some(c), p));
            if path.split('/').any(|part| part == "..") {
                return Err(bad("it is not below the container's cgroup"));
            }
            let path = path.trim_matches('/');
            let Some(controllers) = controllers else {
                if arguments.len() > 1 {
                    return Err(bad("missing <controller>: prefix"));
                }
                record.directories_mut().for_each(|own| own.push(path));
                continue;
            };
            for controller in controllers.split(',') {
                if seen.contains(&controller) {
                    return Err(bad("a controller is named twice"));
                }
                seen.push(controller);
                let found = record.v1.iter_mut().find(|(names, ..)| names.iter().any(|name| name == controller));
                found.ok_or_else(|| bad("there is no hierarchy with this controller"))?.2.push(path);
            }
        }
        Ok(record)
    }

    fn directories_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        self.v1.iter_mut().map(|(_, _, own)| own).chain(self.unified.iter_mut().map(|(_, own)| own))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn below(arguments: &[&str]) -> Result<Vec<String>> {
        let v1 =
            |names: &[&str], own: &str| (names.iter().map(|n| (*n).to_owned()).collect(), PathBuf::new(), own.into());
        let record = Record {
            v1: vec![v1(&["cpu", "cpuacct"], "/cpu/c"), v1(&["memory"], "/memory/c")],
            unified: Some((PathBuf::new(), "/unified/c".into())),
            ..Record::default()
        };
        let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
        let record = record.below(&arguments)?;
        Ok(record.directories().map(|path| path.display().to_string()).collect())
    }

    #[test]
    fn paths_are_below_the_container_s() {
        assert_eq!(below(&["a/b"]).unwrap(), ["/cpu/c/a/b", "/memory/c/a/b", "/unified/c/a/b"]);
        assert_eq!(below(&["cpu:/x", "memory:y"]).unwrap(), ["/cpu/c/x", "/memory/c/y", "/unified/c"]);
        for bad in [&["../x"][..], &["a", "b"], &["pids:x"], &["cpu:x", "cpuacct,cpu:y"]] {
            assert!(below(bad).is_err(), "{bad:?}");
        }
    }
}
