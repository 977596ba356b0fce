//! One file per command, or per few that are alike.

mod exec;
mod explain;
mod image;
mod info;
mod inspect;
mod internal;
mod lifecycle;
mod load;
mod logs;
mod ps;
mod pull;
mod run;

use crate::args::{Cli, Command, ContainerCommand, ExplainCommand, Global, ImageCommand};
use crate::failure::{Failure, Outcome};
use crate::output;

/// Runs the command and answers its exit code.
pub(crate) fn dispatch(cli: Cli) -> Outcome {
    let global = &cli.global;
    match cli.command {
        Command::Run(args) => run::run(global, &args),
        Command::Create(args) => run::create(global, &args),
        Command::Start(args) => run::start(global, &args),
        Command::Exec(args) => exec::exec(global, &args),
        Command::Ps(args) => ps::ps(global, &args),
        Command::Logs(args) => logs::logs(global, &args),
        Command::Stop(args) => lifecycle::stop(global, &args),
        Command::Restart(args) => lifecycle::restart(global, &args),
        Command::Kill(args) => lifecycle::kill(global, &args),
        Command::Rm(args) => lifecycle::rm(global, &args),
        Command::Rename(args) => lifecycle::rename(global, &args),
        Command::Inspect(args) => inspect::inspect(global, &args, None),
        Command::Wait(args) => lifecycle::wait(global, &args),
        Command::Attach(args) => run::attach(global, &args),
        Command::Pull(args) => pull::pull(global, &args),
        Command::Load(args) => image::load(global, &args),
        Command::Images(args) => image::images(global, &args),
        Command::Rmi(args) => image::rmi(global, &args),
        Command::Explain(explain) => {
            let ExplainCommand::Run(args) = explain.command;
            explain::run(global, &args, explain.json)
        }
        Command::Version(args) => info::version(&args),
        Command::Info(args) => info::info(global, &args),
        Command::Container(command) => container(global, command),
        Command::Image(command) => image_group(global, command),
        Command::Internal(command) => internal::internal(global, command),
    }
}

fn container(global: &Global, command: ContainerCommand) -> Outcome {
    match command {
        ContainerCommand::Run(args) => run::run(global, &args),
        ContainerCommand::Create(args) => run::create(global, &args),
        ContainerCommand::Start(args) => run::start(global, &args),
        ContainerCommand::Exec(args) => exec::exec(global, &args),
        ContainerCommand::Ls(args) => ps::ps(global, &args),
        ContainerCommand::Logs(args) => logs::logs(global, &args),
        ContainerCommand::Stop(args) => lifecycle::stop(global, &args),
        ContainerCommand::Restart(args) => lifecycle::restart(global, &args),
        ContainerCommand::Kill(args) => lifecycle::kill(global, &args),
        ContainerCommand::Rm(args) => lifecycle::rm(global, &args),
        ContainerCommand::Rename(args) => lifecycle::rename(global, &args),
        ContainerCommand::Inspect(args) => inspect::inspect(global, &args, Some("container")),
        ContainerCommand::Wait(args) => lifecycle::wait(global, &args),
        ContainerCommand::Attach(args) => run::attach(global, &args),
    }
}

fn image_group(global: &Global, command: ImageCommand) -> Outcome {
    match command {
        ImageCommand::Ls(args) => image::images(global, &args),
        ImageCommand::Pull(args) => pull::pull(global, &args),
        ImageCommand::Load(args) => image::load(global, &args),
        ImageCommand::Rm(args) => image::rmi(global, &args),
        ImageCommand::Inspect(args) => inspect::inspect(global, &args, Some("image")),
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
