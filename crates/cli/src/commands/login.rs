//! `login` and `logout`, in docker's words; both docker's and podman's files are known.

use crate::args::{LoginArgs, LogoutArgs, RegistryArgs};
use crate::failure::{Failure, Outcome, usage};
use crate::{output, registry, terminal};
use anyhow::Context;
use carboy_distribution::{AuthFile, Credential, Credentials, Kept};
use std::io::{self, Read, Write};
use std::path::PathBuf;

const HUB: &str = "docker.io";

pub(super) fn login(args: &LoginArgs) -> Outcome {
    let name = registry_name(args.registry.as_deref());
    if args.get_login {
        return get_login(args, &name);
    }
    if args.password_stdin && args.username.is_none() {
        return Err(usage("Must provide --username with --password-stdin"));
    }
    let options =
        RegistryArgs { tls_verify: args.tls_verify, cert_dir: args.cert_dir.clone(), ..RegistryArgs::default() };
    let client = registry::client(&options)?;
    let file = file_for(args, &name)?;
    if let Some((credential, user)) = known(args, &name)? {
        output::line(&format!("Authenticating with existing credentials... [Username: {user}]"))?;
        match client.log_in(&name, &credential) {
            Ok(_) => return succeeded(),
            Err(error) => output::error_line(&Failure::Other(error.into()).to_string()),
        }
    }
    let (user, password) = ask(args)?;
    let credential = Credential::Basic { user: user.clone(), password };
    let kept = client.log_in(&name, &credential).map_err(|e| Failure::Other(e.into()))?;
    match file.keep(&name, &user, &kept).map_err(|e| Failure::Other(e.into()))? {
        Kept::File(path) => warn(&format!(
            "Your credentials are stored unencrypted in '{}'. A credential helper (credsStore) would keep them better.",
            path.display()
        )),
        Kept::Helper(name) if args.verbose => output::line(&format!("Kept by docker-credential-{name}"))?,
        Kept::Helper(_) => {}
    }
    if args.verbose {
        output::line(&format!("Used: {}", file.path().display()))?;
    }
    succeeded()
}

fn succeeded() -> Outcome {
    output::line("Login Succeeded")?;
    Ok(0)
}

fn warn(text: &str) {
    let _ = writeln!(io::stderr(), "WARNING! {text}");
}

pub(super) fn logout(args: &LogoutArgs) -> Outcome {
    let files = files(args.authfile.as_ref());
    let failed = |e: carboy_distribution::CredentialsError| Failure::Other(e.into());
    if args.all {
        for file in &files {
            for name in file.registries().map_err(failed)? {
                file.forget(&name).map_err(failed)?;
            }
        }
        output::line("Removed login credentials for all registries")?;
        return Ok(0);
    }
    let name = registry_name(args.registry.as_deref());
    let mut some = false;
    for file in &files {
        some |= file.forget(&name).map_err(failed)?;
    }
    let word = if some { "Removing login credentials for" } else { "Not logged in to" };
    output::line(&format!("{word} {}", shown(&name)))?;
    Ok(0)
}

/// The registry's name in references: without a scheme, and Docker Hub under its one name.
fn registry_name(given: Option<&str>) -> String {
    let Some(given) = given else { return HUB.to_owned() };
    let name = match given.split_once("://") {
        // Of an address only the host counts, as for docker.
        Some((_, rest)) => rest.split('/').next().unwrap_or(rest),
        None => given.trim_end_matches('/'),
    };
    match name {
        "index.docker.io" | "registry-1.docker.io" | "index.docker.io/v1" => HUB.to_owned(),
        name => name.to_owned(),
    }
}

fn shown(name: &str) -> &str {
    if name == HUB { "https://index.docker.io/v1/" } else { name }
}

/// All files that a login may be in.
fn files(given: Option<&PathBuf>) -> Vec<AuthFile> {
    let paths = match given {
        Some(path) => vec![path.clone()],
        None => Credentials::standard_files(|name| std::env::var_os(name)),
    };
    paths.into_iter().map(AuthFile::new).collect()
}

/// Where a login is kept: the file that has one for this registry, as it would go before the others; else docker's.
fn file_for(args: &LoginArgs, name: &str) -> Result<AuthFile, Failure> {
    let files = files(args.authfile.as_ref());
    for file in &files {
        if file.names(name).map_err(|e| Failure::Other(e.into()))? {
            return Ok(file.clone());
        }
    }
    let last = files.last().cloned();
    last.ok_or_else(|| usage("neither --authfile, DOCKER_CONFIG nor HOME says where to keep credentials"))
}

/// What is kept for this registry, unless the flags say whose login is wanted.
fn known(args: &LoginArgs, name: &str) -> Result<Option<(Credential, String)>, Failure> {
    if args.username.is_some() || args.password.is_some() || args.password_stdin {
        return Ok(None);
    }
    let paths = files(args.authfile.as_ref()).iter().map(|file| file.path().to_owned()).collect();
    let (domain, path) = name.split_once('/').unwrap_or((name, ""));
    let found = Credentials::in_files(paths).find(domain, path).map_err(|e| Failure::Other(e.into()))?;
    Ok(found.map(|credential| {
        let user = match &credential {
            Credential::Basic { user, .. } => user.clone(),
            Credential::IdentityToken(_) => "<token>".to_owned(),
        };
        (credential, user)
    }))
}

fn get_login(args: &LoginArgs, name: &str) -> Outcome {
    match known(args, name)? {
        Some((_, user)) => output::line(&user)?,
        None => return Err(Failure::Other(anyhow::anyhow!("not logged into {}", shown(name))).with_code(125)),
    }
    Ok(0)
}

fn ask(args: &LoginArgs) -> Result<(String, String), Failure> {
    let may_ask = terminal::stdin_is_terminal();
    let not_a_terminal =
        || Failure::Other(anyhow::anyhow!("Cannot perform an interactive login from a non TTY device"));
    let user = match &args.username {
        Some(user) => user.clone(),
        None if may_ask => terminal::ask_line("Username: ").context("read the user name")?,
        None => return Err(not_a_terminal()),
    };
    if user.is_empty() {
        return Err(usage("username is empty"));
    }
    let password = if args.password_stdin {
        let mut text = String::new();
        io::stdin().lock().take(1 << 20).read_to_string(&mut text).context("read the password")?;
        text.trim_end_matches(['\n', '\r']).to_owned()
    } else if let Some(password) = &args.password {
        warn("Using --password via the CLI is insecure. Use --password-stdin.");
        password.clone()
    } else if may_ask {
        terminal::ask_hidden("Password: ").context("read the password")?
    } else {
        return Err(not_a_terminal());
    };
    if password.is_empty() {
        return Err(usage("password is empty"));
    }
    Ok((user, password))
}
