//! Credential helpers: `docker-credential-NAME get`, the host on standard input, JSON on standard output (docker-credential-helpers).

use crate::credentials::{Credential, CredentialsError};
use serde::Deserialize;
use std::ffi::OsStr;
use std::io::Write;
use std::process::{Command, Stdio};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    username: String,
    secret: String,
}

/// Asks the helper called `name`, found through `PATH`, for the credential of `key`.
pub(crate) fn get(name: &str, key: &str) -> Result<Option<Credential>, CredentialsError> {
    if name.is_empty() || name.contains('/') {
        return Err(CredentialsError::HelperName(name.to_owned()));
    }
    let program = format!("docker-credential-{name}");
    run(&program, &program, key)
}

pub(crate) fn run(path: impl AsRef<OsStr>, program: &str, key: &str) -> Result<Option<Credential>, CredentialsError> {
    let failed = |source| CredentialsError::HelperRun { program: program.to_owned(), source };
    let mut command = Command::new(path);
    command.arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that answers without reading is none of our concern.
        let _ = writeln!(stdin, "{key}");
    }
    let output = child.wait_with_output().map_err(failed)?;
    if !output.status.success() {
        let said = if output.stdout.is_empty() { &output.stderr } else { &output.stdout };
        let message = String::from_utf8_lossy(said).trim().to_owned();
        if message.contains("credentials not found") {
            return Ok(None);
        }
        return Err(CredentialsError::HelperFailed { program: program.to_owned(), message });
    }
    let answer: Answer = serde_json::from_slice(&output.stdout)
        .map_err(|source| CredentialsError::HelperAnswer { program: program.to_owned(), source })?;
    Ok(Some(match answer.username.as_str() {
        "<token>" => Credential::IdentityToken(answer.secret),
        _ => Credential::Basic { user: answer.username, password: answer.secret },
    }))
}
