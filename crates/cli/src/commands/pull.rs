//! `pull`, and the pull within `run`.

use crate::args::{Global, PlatformChoice, PullArgs, PullPolicy, RegistryArgs};
use crate::failure::{Failure, Outcome, usage};
use crate::progress::{Display, status_line};
use crate::{output, registry, settings};
use anyhow::Context;
use carboy_distribution::{Client, Target};
use carboy_engine::Engine;
use carboy_image::ImageError;
use carboy_image::pull::{PullErrorKind, PullOptions, Pulled, Wanted};
use carboy_oci::Reference;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

pub(super) fn pull(global: &Global, args: &PullArgs) -> Outcome {
    let wanted = wanted(&args.platform)?;
    let meant = args.images.iter().map(|name| candidates(name, args)).collect::<Result<Vec<_>, Failure>>()?;
    let engine = settings::engine(global)?;
    if let Some(code) = within_user_namespace(&engine)? {
        return Ok(code);
    }
    let client = registry::client(&args.registry)?;
    let options =
        PullOptions { platform: wanted, drop_blobs: args.drop_blobs.then_some(true), ..PullOptions::default() };
    let job = Job { engine: &engine, client: &client, args, options };
    for (name, meant) in args.images.iter().zip(&meant) {
        if engine.is_embedded(name) {
            return Err(usage(format!("{name} is the image embedded in this program: it need not be pulled")));
        }
        if let Some(here) = job.here(meant)? {
            output::line(&here)?;
            continue;
        }
        if !args.quiet && !args.all_tags && !has_tag(name) {
            output::line("Using default tag: latest")?;
        }
        first_of(meant, |reference| if args.all_tags { job.all_tags(reference) } else { job.one(reference) })?;
    }
    Ok(0)
}

/// Does something with the first candidate that is there. If none is, it is said of each why not; of one that is found instead, nothing is.
fn first_of<T>(meant: &[Reference], mut act: impl FnMut(&Reference) -> Result<T, Failure>) -> Result<T, Failure> {
    let (last, others) = meant.split_last().ok_or_else(|| usage("no image name"))?;
    let mut failed = Vec::new();
    for reference in others {
        match act(reference) {
            Err(Failure::BrokenPipe) => return Err(Failure::BrokenPipe),
            Err(failure) => failed.push(failure.to_string()),
            done => return done,
        }
    }
    act(last).inspect_err(|_| failed.iter().for_each(|text| output::error_line(text)))
}

/// What a name as it is typed may mean, without the transport that Podman's may begin with.
fn candidates(name: &str, args: &PullArgs) -> Result<Vec<Reference>, Failure> {
    let (bare, given) = match name.strip_prefix("docker://") {
        Some(bare) => (bare, true),
        None => (name, false),
    };
    let meant =
        if given { vec![Reference::parse(bare).map_err(ImageError::from)?] } else { registry::candidates(bare)? };
    if args.all_tags && has_tag(bare) {
        return Err(usage("tag can't be used with --all-tags/-a"));
    }
    Ok(meant)
}

/// Whether a name as it is typed ends in a tag or a digest.
pub(super) fn has_tag(name: &str) -> bool {
    name.rsplit('/').next().is_some_and(|last| last.contains([':', '@']))
}

struct Job<'j> {
    engine: &'j Engine,
    client: &'j Client,
    args: &'j PullArgs,
    options: PullOptions,
}

impl Job<'_> {
    /// The name of what is here, if the policy is content with that.
    fn here(&self, meant: &[Reference]) -> Result<Option<String>, Failure> {
        if self.args.all_tags || !matches!(self.args.policy, PullPolicy::Missing | PullPolicy::Never) {
            return Ok(None);
        }
        for name in meant.iter().map(Reference::to_string) {
            if self.engine.find_image(&name)?.is_some() {
                return Ok(Some(name));
            }
        }
        match self.args.policy {
            PullPolicy::Never => Err(ImageError::NotFound(meant[0].familiar()).into()),
            _ => Ok(None),
        }
    }

    fn all_tags(&self, reference: &Reference) -> Result<(), Failure> {
        let tags = self.client.repository(reference).tags(None).map_err(|e| Failure::Other(e.into()))?;
        if tags.is_empty() {
            return Err(Failure::Other(anyhow::anyhow!("{} has no tags", reference.familiar_repository())));
        }
        let mut is_new = false;
        for tag in tags {
            let tagged = reference.with_tag(&tag).map_err(ImageError::from)?;
            is_new |= self.take(&tagged)?.is_some_and(|pulled| pulled.is_new);
        }
        self.close(&reference.familiar_repository(), &reference.repository(), Some(is_new))
    }

    fn one(&self, reference: &Reference) -> Result<(), Failure> {
        let pulled = self.take(reference)?;
        let name = match &pulled {
            // Nothing else tells the digest then. It is a name still, and of this very image.
            Some(pulled) if self.args.quiet && reference.digest().is_none() => format!("{reference}@{}", pulled.digest),
            _ => reference.to_string(),
        };
        self.close(&reference.familiar(), &name, pulled.map(|pulled| pulled.is_new))
    }

    /// Pulls, and says the digest. `None`: nothing newer can be had, and what is here is kept.
    fn take(&self, reference: &Reference) -> Result<Option<Pulled>, Failure> {
        let is_known =
            self.args.policy == PullPolicy::Newer && self.engine.find_image(&reference.to_string())?.is_some();
        // An image is named on standard output; everything else is for people and goes there only where docker's does.
        let display = Display::new(io::stdout(), self.args.quiet).context("look at standard output")?;
        let result = carboy_image::pull::pull(self.engine.images()?, self.client, reference, &self.options, &display);
        display.finish();
        match result {
            Ok(pulled) => {
                if !self.args.quiet {
                    output::line(&format!("Digest: {}", pulled.digest))?;
                }
                Ok(Some(pulled))
            }
            Err(error) if is_known && matches!(error.kind(), PullErrorKind::Unavailable | PullErrorKind::NotFound) => {
                output::error_line(&format!("{}; the image that is here is kept", Failure::Other(error.into())));
                Ok(None)
            }
            Err(error) => Err(Failure::Other(error.into())),
        }
    }

    /// The last lines: what has changed, if anybody knows, and the name.
    fn close(&self, familiar: &str, name: &str, is_new: Option<bool>) -> Result<(), Failure> {
        if let Some(is_new) = is_new.filter(|_| !self.args.quiet) {
            output::line(&status_line(familiar, is_new))?;
        }
        Ok(output::line(name)?)
    }
}

fn wanted(args: &PlatformChoice) -> Result<Option<Wanted>, Failure> {
    if let Some(text) = &args.platform {
        return platform(Some(text));
    }
    if args.os.is_none() && args.arch.is_none() && args.variant.is_none() {
        return Ok(None);
    }
    let host = Wanted::host().to_string();
    let mut own = host.split('/');
    let (own_os, own_arch) = (own.next().unwrap_or("linux"), own.next().unwrap_or_default());
    let (os, arch) = (args.os.as_deref().unwrap_or(own_os), args.arch.as_deref().unwrap_or(own_arch));
    let variant = args.variant.as_ref().map_or(String::new(), |variant| format!("/{variant}"));
    platform(Some(&format!("{os}/{arch}{variant}")))
}

/// Pulls for `run`: everything is said on standard error, as standard output is the program's. Answers the name of what was pulled.
pub(super) fn for_run(
    global: &Global,
    engine: &Engine,
    name: &str,
    platform_text: Option<&str>,
    tls_verify: Option<bool>,
) -> Result<String, Failure> {
    let wanted = platform(platform_text)?;
    let meant = registry::candidates(name)?;
    if engine.user_namespace().is_some() {
        let mut words: Vec<OsString> = vec!["pull".into()];
        words.extend(platform_text.map(|text| format!("--platform={text}").into()));
        words.extend(tls_verify.map(|verify| format!("--tls-verify={verify}").into()));
        return first_of(&meant, |reference| {
            let words = words.iter().cloned().chain(["--".into(), reference.to_string().into()]).collect();
            let mut command = own_command(global, engine, words)?;
            // The child's standard output is our standard error.
            command.stdout(io::stderr());
            let status = command.status().context("start the pull")?;
            if status.success() { Ok(reference.to_string()) } else { Err(usage(format!("{name} could not be pulled"))) }
        });
    }
    let client = registry::client(&RegistryArgs { tls_verify, ..RegistryArgs::default() })?;
    let options = PullOptions { platform: wanted, ..PullOptions::default() };
    first_of(&meant, |reference| {
        let display = Display::new(io::stderr(), false).context("look at standard error")?;
        let pulled = carboy_image::pull::pull(engine.images()?, &client, reference, &options, &display);
        display.finish();
        pulled.map(|_| reference.to_string()).map_err(|e| Failure::Other(e.into()))
    })
}

/// `--pull=newer`: whether the registry has something else under this name than what is here. A registry that does not say so has nothing newer.
pub(super) fn is_outdated(engine: &Engine, name: &str, tls_verify: Option<bool>) -> Result<bool, Failure> {
    let reference = Reference::parse(name).map_err(ImageError::from)?;
    if reference.digest().is_some() {
        return Ok(false);
    }
    let client = registry::client(&RegistryArgs { tls_verify, ..RegistryArgs::default() })?;
    let Ok(Some(head)) = client.repository(&reference).manifest_head(&Target::of(&reference)) else { return Ok(false) };
    let here = engine.images()?.store().get_ref(&reference.with_digest(head.digest)).map_err(ImageError::from)?;
    let named = engine.images()?.store().get_ref(&reference).map_err(ImageError::from)?;
    Ok(here.is_none() || here != named)
}

pub(super) fn platform(text: Option<&str>) -> Result<Option<Wanted>, Failure> {
    text.map(|text| text.parse().map_err(|e: carboy_image::pull::ParsePlatformError| usage(e.to_string()))).transpose()
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
