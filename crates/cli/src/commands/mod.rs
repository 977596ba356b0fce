//! One file per command, or per few that are alike.

mod copy;
mod exec;
mod explain;
mod export;
mod image;
mod info;
mod inspect;
mod internal;
mod lifecycle;
mod login;
mod logs;
mod manifest;
mod ps;
mod pull;
mod push;
mod run;
mod search;
mod system;

#[cfg(feature = "fuzz")]
pub use copy::fuzz_sync_yaml;

use crate::args::{Cli, Command, ContainerCommand, ContainerVerb, ExplainCommand, Global, ImageCommand, ImageVerb};
use crate::failure::{Failure, Outcome};
use crate::output;

/// Runs the command and answers its exit code.
pub(crate) fn dispatch(cli: Cli) -> Outcome {
    let global = &cli.global;
    match cli.command {
        Command::ContainerVerb(verb) => container(global, verb),
        Command::Container(ContainerCommand::Verb(verb)) => container(global, verb),
        Command::Ps(args) | Command::Container(ContainerCommand::Ls(args)) => ps::ps(global, &args),
        Command::Container(ContainerCommand::Exists(args)) => lifecycle::exists(global, &args),
        Command::Container(ContainerCommand::Inspect(args)) => inspect::inspect(global, &args, Some("container")),
        Command::Inspect(args) => inspect::inspect(global, &args, None),
        Command::ImageVerb(verb) => image_verb(global, verb),
        Command::Images(args) => image::images(global, &args),
        Command::Rmi(args) => image::rmi(global, &args),
        Command::Image(command) => image_group(global, command),
        Command::Login(args) => login::login(&args),
        Command::Logout(args) => login::logout(&args),
        Command::Search(args) => search::search(&args),
        Command::Copy(args) => copy::copy(global, &args),
        Command::ListTags(args) => copy::list_tags(&args),
        Command::Delete(args) => copy::delete(global, &args),
        Command::Sync(args) => copy::sync(global, &args),
        Command::Manifest(command) => manifest::manifest(global, command),
        Command::Explain(explain) => {
            let ExplainCommand::Run(args) = explain.command;
            explain::run(global, &args, explain.json)
        }
        Command::Version(args) => info::version(&args),
        Command::Info(args) => info::info(global, &args),
        Command::System(command) => system::system(global, command),
        Command::Internal(command) => internal::internal(global, command),
    }
}

fn container(global: &Global, verb: ContainerVerb) -> Outcome {
    match verb {
        ContainerVerb::Run(args) => run::run(global, &args),
        ContainerVerb::Create(args) => run::create(global, &args),
        ContainerVerb::Start(args) => run::start(global, &args),
        ContainerVerb::Exec(args) => exec::exec(global, &args),
        ContainerVerb::Logs(args) => logs::logs(global, &args),
        ContainerVerb::Stop(args) => lifecycle::stop(global, &args),
        ContainerVerb::Restart(args) => lifecycle::restart(global, &args),
        ContainerVerb::Kill(args) => lifecycle::kill(global, &args),
        ContainerVerb::Rm(args) => lifecycle::rm(global, &args),
        ContainerVerb::Rename(args) => lifecycle::rename(global, &args),
        ContainerVerb::Wait(args) => lifecycle::wait(global, &args),
        ContainerVerb::Export(args) => export::export(global, &args),
        ContainerVerb::Attach(args) => run::attach(global, &args),
    }
}

fn image_verb(global: &Global, verb: ImageVerb) -> Outcome {
    match verb {
        ImageVerb::Pull(args) => pull::pull(global, &args),
        ImageVerb::Push(args) => push::push(global, &args),
        ImageVerb::Load(args) => image::load(global, &args),
        ImageVerb::Save(args) => copy::save(global, &args),
        ImageVerb::Import(args) => image::import(global, &args),
        ImageVerb::Tag(args) => image::tag(global, &args),
        ImageVerb::Untag(args) => image::untag(global, &args),
        ImageVerb::History(args) => image::history(global, &args),
    }
}

fn image_group(global: &Global, command: ImageCommand) -> Outcome {
    match command {
        ImageCommand::Verb(verb) => image_verb(global, verb),
        ImageCommand::Ls(args) => image::images(global, &args),
        ImageCommand::Rm(args) => image::rmi(global, &args),
        ImageCommand::Inspect(args) => inspect::inspect(global, &args, Some("image")),
        ImageCommand::Prune(args) => system::prune_images(global, &args),
        ImageCommand::Exists(args) => image::exists(global, &args),
        ImageCommand::Mount(args) => image::mount(global, &args),
        ImageCommand::Unmount(args) => image::unmount(global, &args),
        ImageCommand::Diff(args) => image::diff(global, &args),
        ImageCommand::Tree(args) => image::tree(global, &args),
    }
}

/// Does the same to each name, prints what it answers, goes on past errors, and ends with 1 if there was one.
fn for_each(names: &[String], mut act: impl FnMut(&str) -> Result<Option<String>, Failure>) -> Outcome {
    let mut code = 0;
    for name in names {
        match act(name) {
            Ok(Some(text)) => output::line(&text)?,
            Ok(None) => {}
            Err(Failure::BrokenPipe) => return Err(Failure::BrokenPipe),
            Err(failure) => {
                output::error_line(&failure.to_string());
                code = 1;
            }
        }
    }
    Ok(code)
}
