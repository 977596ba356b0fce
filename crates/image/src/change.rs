//! `--change` of `import` (and of whatever else makes an image without a Dockerfile): single instructions in a Dockerfile's words.

mod health;

use carboy_oci::image::ContainerConfig;
use serde_json::json;

/// Why an instruction cannot be applied.
#[derive(Debug, thiserror::Error)]
#[error("invalid change {instruction:?}: {why}")]
pub struct ChangeError {
    instruction: String,
    why: &'static str,
}

/// Applies `CMD`, `ENTRYPOINT`, `ENV`, `EXPOSE`, `HEALTHCHECK`, `LABEL`, `ONBUILD`, `SHELL`, `STOPSIGNAL`, `USER`, `VOLUME` or `WORKDIR`.
///
/// # Errors
/// If it is another instruction, or lacks what it needs.
pub fn apply_change(config: &mut ContainerConfig, instruction: &str) -> Result<(), ChangeError> {
    let fail = |why| ChangeError { instruction: instruction.to_owned(), why };
    let text = instruction.trim();
    // Podman's `KEY=VALUE` is understood too.
    let (word, rest) = text.split_once(|c: char| c.is_whitespace() || c == '=').unwrap_or((text, ""));
    let rest = rest.trim();
    if rest.is_empty() {
        return Err(fail("an instruction and its argument are wanted, such as CMD [\"sh\"]"));
    }
    match word.to_ascii_uppercase().as_str() {
        "CMD" => config.cmd = Some(command(rest)),
        "ENTRYPOINT" => config.entrypoint = Some(command(rest)),
        "ENV" => {
            for (name, value) in pairs(rest).ok_or_else(|| fail("NAME=VALUE is wanted"))? {
                config.env.retain(|known| known.split('=').next() != Some(&name));
                config.env.push(format!("{name}={value}"));
            }
        }
        "LABEL" => config.labels.extend(pairs(rest).ok_or_else(|| fail("NAME=VALUE is wanted"))?),
        "EXPOSE" => {
            for port in rest.split_whitespace() {
                let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
                let is_number = |text: &str| text.parse::<u16>().is_ok();
                let is_port = number.split('-').all(is_number) && number.split('-').count() <= 2;
                if !is_port || !matches!(protocol, "tcp" | "udp" | "sctp") {
                    return Err(fail("PORT[-PORT][/tcp|/udp|/sctp] is wanted"));
                }
                config.exposed_ports.insert(format!("{number}/{protocol}"), json!({}));
            }
        }
        "VOLUME" => {
            let paths = list(rest).unwrap_or_else(|| rest.split_whitespace().map(str::to_owned).collect());
            config.volumes.extend(paths.into_iter().map(|path| (path, json!({}))));
        }
        "HEALTHCHECK" => config.healthcheck = Some(health::check(rest).map_err(fail)?),
        "ONBUILD" => config.on_build.push(rest.to_owned()),
        "SHELL" => config.shell = Some(list(rest).ok_or_else(|| fail("a JSON list is wanted"))?),
        "STOPSIGNAL" => config.stop_signal = Some(rest.to_owned()),
        "USER" => config.user = rest.to_owned(),
        "WORKDIR" => config.working_dir = workdir(&config.working_dir, rest),
        _ => {
            return Err(fail(
                "it is none of CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, SHELL, STOPSIGNAL, USER, VOLUME, WORKDIR",
            ));
        }
    }
    Ok(())
}

/// A JSON list, or else what a shell is given.
fn command(text: &str) -> Vec<String> {
    list(text).unwrap_or_else(|| vec!["/bin/sh".to_owned(), "-c".to_owned(), text.to_owned()])
}

fn list(text: &str) -> Option<Vec<String>> {
    serde_json::from_str(text).ok()
}

/// A relative folder is below the one before.
fn workdir(before: &str, path: &str) -> String {
    if path.starts_with('/') {
        return path.to_owned();
    }
    format!("{}/{path}", before.trim_end_matches('/'))
}

/// `NAME=VALUE …` with a shell's quotes, or the old form `NAME VALUE`.
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let first = text.split_whitespace().next()?;
    if !first.contains('=') {
        let (name, value) = text.split_once(char::is_whitespace)?;
        return Some(vec![(name.to_owned(), value.trim().to_owned())]);
    }
    let split = |word: String| {
        let (name, value) = word.split_once('=')?;
        (!name.is_empty()).then(|| (name.to_owned(), value.to_owned()))
    };
    words(text)?.into_iter().map(split).collect()
}

/// Words as a shell splits them: quotes and backslashes, and nothing else.
fn words(text: &str) -> Option<Vec<String>> {
    let (mut words, mut word) = (Vec::new(), None::<String>);
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (Some(open), _) if open == c => quote = None,
            (None | Some('"'), '\\') => word.get_or_insert_default().push(chars.next()?),
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions() {
        let mut config = ContainerConfig::default();
        for change in [
            "CMD [\"a\", \"b\"]",
            "ENTRYPOINT run me",
            "ENV A=1 B=\"x y\"",
            "env A 2 3",
            "ENV=C=4",
            "EXPOSE 80 53/udp",
            "LABEL a.b='c d' e=f",
            "VOLUME /data /more",
            "VOLUME [\"/j\"]",
            "WORKDIR /a",
            "WORKDIR b",
            "USER app:staff",
            "STOPSIGNAL SIGINT",
            "ONBUILD RUN x",
            "HEALTHCHECK --retries=2 CMD [\"ok\"]",
        ] {
            apply_change(&mut config, change).unwrap();
        }
        let expected = json!({
            "User": "app:staff",
            "ExposedPorts": {"53/udp": {}, "80/tcp": {}},
            "Env": ["B=x y", "A=2 3", "C=4"],
            "Entrypoint": ["/bin/sh", "-c", "run me"],
            "Cmd": ["a", "b"],
            "Volumes": {"/data": {}, "/j": {}, "/more": {}},
            "WorkingDir": "/a/b",
            "Labels": {"a.b": "c d", "e": "f"},
            "StopSignal": "SIGINT",
            "OnBuild": ["RUN x"],
            "Healthcheck": {"Test": ["CMD", "ok"], "Retries": 2},
        });
        assert_eq!(serde_json::to_value(&config).unwrap(), expected);
        for bad in ["", "CMD", "RUN x", "EXPOSE x", "EXPOSE 1/icmp", "ENV A", "LABEL a=\"b", "SHELL x", "HEALTHCHECK x"]
        {
            assert!(apply_change(&mut config, bad).is_err(), "{bad}");
        }
    }
}
