//! Credential helpers: `docker-credential-NAME get|store|erase`, the host or JSON on standard input, JSON on standard output (docker-credential-helpers).

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
    let program = program(name)?;
    run(&program, &program, key)
}

/// Gives the helper a credential to keep.
pub(crate) fn store(name: &str, key: &str, credential: &Credential) -> Result<(), CredentialsError> {
    let program = program(name)?;
    let (user, secret) = match credential {
        Credential::Basic { user, password } => (user.as_str(), password),
        Credential::IdentityToken(token) => ("<token>", token),
    };
    let input = serde_json::json!({ "ServerURL": key, "Username": user, "Secret": secret }).to_string();
    call(&program, &program, "store", &input).map(drop)
}

/// Makes the helper forget a credential.
pub(crate) fn erase(name: &str, key: &str) -> Result<(), CredentialsError> {
    let program = program(name)?;
    call(&program, &program, "erase", key).map(drop)
}

fn program(name: &str) -> Result<String, CredentialsError> {
    if name.is_empty() || name.contains('/') {
        return Err(CredentialsError::HelperName(name.to_owned()));
    }
    Ok(format!("docker-credential-{name}"))
}

pub(crate) fn run(path: impl AsRef<OsStr>, program: &str, key: &str) -> Result<Option<Credential>, CredentialsError> {
    let Some(output) = call(path, program, "get", key)? else { return Ok(None) };
    let answer: Answer = serde_json::from_slice(&output)
        .map_err(|source| CredentialsError::HelperAnswer { program: program.to_owned(), source })?;
    Ok(Some(match answer.username.as_str() {
        "<token>" => Credential::IdentityToken(answer.secret),
        _ => Credential::Basic { user: answer.username, password: answer.secret },
    }))
}

/// What the helper printed; `None` if it knows nothing of the host.
fn call(path: impl AsRef<OsStr>, program: &str, verb: &str, input: &str) -> Result<Option<Vec<u8>>, CredentialsError> {
    let failed = |source| CredentialsError::HelperRun { program: program.to_owned(), source };
    let mut command = Command::new(path);
    command.arg(verb).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that answers without reading is none of our concern.
        let _ = writeln!(stdin, "{input}");
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
    Ok(Some(output.stdout))
}
