//! `explain run …` and `run --trace`: the same steps, computed or timed.

use crate::args::{Global, RunArgs};
use crate::failure::{Failure, Outcome};
use crate::{output, settings, terminal};
use anyhow::Context;
use carboy_engine::{Engine, StartOptions};
use carboy_wire::plan::{Actor, PlanReport, StepReport};
use std::io::{self, Write};

pub(super) fn run(global: &Global, args: &RunArgs, as_json: bool) -> Outcome {
    let request = args.request()?;
    let engine = Engine::dry(settings::config(global)?)?;
    let options = StartOptions { attach: !args.is_detached(), trace: false, terminal_size: terminal::size() };
    let plan = engine.explain(&request, options)?;
    let text = if as_json || args.json { json(&plan)? } else { pretty(&plan) };
    output::print(&text)?;
    Ok(0)
}

/// Prints a trace to standard error.
pub(super) fn print_trace(plan: &PlanReport, as_json: bool) -> Result<(), Failure> {
    let text = if as_json { json(plan)? } else { pretty(plan) };
    Ok(io::stderr().write_all(text.as_bytes())?)
}

fn json(plan: &PlanReport) -> Result<String, Failure> {
    let mut text = serde_json::to_string_pretty(plan).context("encode the steps")?;
    text.push('\n');
    Ok(text)
}

fn actor(actor: Actor) -> &'static str {
    match actor {
        Actor::Engine => "engine",
        Actor::Monitor => "monitor",
        Actor::Runtime => "runtime",
        Actor::Init => "init",
    }
}

/// A line for each step, the calls below it; numbered, in columns by who does it.
fn pretty(plan: &PlanReport) -> String {
    let mut out = String::new();
    let width = plan.steps.len().to_string().len();
    for (number, step) in plan.steps.iter().enumerate() {
        let name = actor(step.actor);
        out.push_str(&format!("{:>width$}  {name:<7}  {}{}\n", number + 1, step.name, time(step)));
        let indent = " ".repeat(width + 11);
        for call in &step.calls {
            out.push_str(&format!("{indent}· {call}\n"));
        }
        let from = if step.from.is_empty() { String::new() } else { format!(" [{}]", step.from) };
        out.push_str(&format!("{indent}why: {}{from}\n", step.why));
        if let Some(error) = &step.error {
            out.push_str(&format!("{indent}failed: {error}\n"));
        }
    }
    let total: u64 = plan.steps.iter().filter_map(|step| step.took_ns).sum();
    if total > 0 {
        out.push_str(&format!("{} steps, {:.3} ms together\n", plan.steps.len(), total as f64 / 1e6));
    }
    out
}

fn time(step: &StepReport) -> String {
    step.took_ns.map(|ns| format!("  ({:.3} ms)", ns as f64 / 1e6)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_numbered_and_say_why() {
        let step = StepReport {
            actor: Actor::Init,
            name: "mount /proc".into(),
            calls: vec!["fsopen(\"proc\")".into(), "move_mount()".into()],
            why: "programs look here".into(),
            from: "mounts[0]".into(),
            took_ns: Some(1_500_000),
            error: None,
        };
        let text = pretty(&PlanReport { steps: vec![step] });
        assert_eq!(
            text,
            "1  init     mount /proc  (1.500 ms)\n            · fsopen(\"proc\")\n            · move_mount()\n            \
             why: programs look here [mounts[0]]\n1 steps, 1.500 ms together\n"
        );
    }
}
