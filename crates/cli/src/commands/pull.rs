//! `pull`, and the pull within `run`.

use crate::args::{Global, PullArgs};
use crate::failure::{Failure, Outcome, usage};
use crate::progress::{PullDisplay, closing_lines};
use crate::{output, settings};
use anyhow::Context;
use carboy_distribution::{Client, Credential, Credentials, Proxies, Settings};
use carboy_engine::Engine;
use carboy_image::ImageError;
use carboy_image::pull::{PullOptions, Wanted};
use carboy_oci::Reference;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

pub(super) fn pull(global: &Global, args: &PullArgs) -> Outcome {
    let reference = Reference::parse(&args.image).map_err(ImageError::from)?;
    let wanted = platform(args.platform.as_deref())?;
    let credentials = args.creds.as_deref().map(credentials).transpose()?;
    let engine = settings::engine(global)?;
    if let Some(code) = within_user_namespace(&engine)? {
        return Ok(code);
    }
    if engine.is_embedded(&args.image) {
        return Err(usage(format!("{} is the image embedded in this program: it need not be pulled", args.image)));
    }
    // An image is named by its ID on standard output; everything else is for people and goes there only where docker's does.
    let display = PullDisplay::new(io::stdout(), args.quiet).context("look at standard output")?;
    let options = PullOptions { platform: wanted, parallel: None };
    let client = client(args.tls_verify, credentials);
    let pulled = carboy_image::pull::pull(engine.images()?, &client, &reference, &options, &display);
    display.finish();
    let pulled = pulled.map_err(|e| Failure::Other(e.into()))?;
    if args.quiet {
        output::line(&reference.to_string())?;
        return Ok(0);
    }
    for line in closing_lines(&pulled.digest, &reference.familiar(), pulled.is_new) {
        output::line(&line)?;
    }
    output::line(&reference.to_string())?;
    Ok(0)
}

/// Pulls for `run`: everything is said on standard error, as standard output is the program's.
pub(super) fn for_run(
    global: &Global,
    engine: &Engine,
    name: &str,
    platform_text: Option<&str>,
    tls_verify: Option<bool>,
) -> Result<(), Failure> {
    let reference = Reference::parse(name).map_err(ImageError::from)?;
    let wanted = platform(platform_text)?;
    if engine.user_namespace().is_some() {
        let mut words: Vec<OsString> = vec!["pull".into()];
        words.extend(platform_text.map(|text| format!("--platform={text}").into()));
        words.extend(tls_verify.map(|verify| format!("--tls-verify={verify}").into()));
        words.extend(["--".into(), name.into()]);
        let mut command = own_command(global, engine, words)?;
        // The child's standard output is our standard error.
        command.stdout(io::stderr());
        let status = command.status().context("start the pull")?;
        return if status.success() { Ok(()) } else { Err(usage(format!("{name} could not be pulled"))) };
    }
    let display = PullDisplay::new(io::stderr(), false).context("look at standard error")?;
    let options = PullOptions { platform: wanted, parallel: None };
    let pulled = carboy_image::pull::pull(engine.images()?, &client(tls_verify, None), &reference, &options, &display);
    display.finish();
    pulled.map(drop).map_err(|e| Failure::Other(e.into()))
}

fn platform(text: Option<&str>) -> Result<Option<Wanted>, Failure> {
    text.map(|text| text.parse().map_err(|e: carboy_image::pull::ParsePlatformError| usage(e.to_string()))).transpose()
}

fn credentials(text: &str) -> Result<Credentials, Failure> {
    match text.split_once(':') {
        Some((user, password)) if !user.is_empty() => {
            Ok(Credentials::given(Credential::Basic { user: user.to_owned(), password: password.to_owned() }))
        }
        _ => Err(usage("invalid --creds: USER:PASSWORD")),
    }
}

fn client(tls_verify: Option<bool>, given: Option<Credentials>) -> Client {
    carboy_sys::resolver::limit_to_files_and_dns();
    let standard = || Credentials::in_files(Credentials::standard_files(|name| std::env::var_os(name)));
    Client::new(Settings {
        credentials: given.unwrap_or_else(standard),
        tls_verify: tls_verify.unwrap_or(true),
        proxies: Proxies::from_variables(|name| std::env::var(name).ok()),
        ..Settings::default()
    })
}

/// For an ordinary user: runs this very command again within the user namespace, where the IDs of an image's files can be given to
/// them, and answers its exit code. `None` for root, and within the namespace.
pub(super) fn within_user_namespace(engine: &Engine) -> Result<Option<i32>, Failure> {
    if engine.user_namespace().is_none() {
        return Ok(None);
    }
    let own = std::env::current_exe().context("find this program")?;
    let mut words: Vec<OsString> = vec![own.into()];
    words.extend(std::env::args_os().skip(1));
    let mut command = mapped_command(engine, words)?;
    let status = command.status().context("start this program in a user namespace")?;
    Ok(Some(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))))
}

/// This program with other arguments, within the user namespace.
fn own_command(global: &Global, engine: &Engine, args: Vec<OsString>) -> Result<Command, Failure> {
    let mut words: Vec<OsString> = vec![std::env::current_exe().context("find this program")?.into()];
    words.extend(global.snapshotter.iter().map(|name| format!("--snapshotter={name}").into()));
    words.extend(args);
    mapped_command(engine, words)
}

/// The folders are given in the environment, as the user there is root and would get root's.
fn mapped_command(engine: &Engine, words: Vec<OsString>) -> Result<Command, Failure> {
    let words = engine.mapped(words)?;
    let mut words = words.into_iter();
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words).env(settings::IN_NAMESPACE, "1");
    command.env("CARBOY_ROOT", engine.root()).env("CARBOY_RUNROOT", engine.runroot());
    Ok(command)
}
