//! `explain`: prints what `run` would do, from the very steps that it performs, and does nothing of it.

use super::create::reports;
use crate::args::{Arg, Globals, Parser, switch, text};
use crate::cgroups;
use crate::error::{Context, Result};
use crate::plan::{Request, plan};
use carboy_oci::runtime::Spec;
use carboy_wire::plan::{Actor, PlanReport};
use std::fmt::Write;
use std::io::Read;
use std::path::{Path, PathBuf};

/// `explain`.
pub fn main(globals: &Globals, parser: &mut Parser) -> Result<u8> {
    let (mut bundle, mut config, mut json, mut id) = (PathBuf::from("."), None, false, None);
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("bundle") | Arg::Short('b') => bundle = parser.value()?.into(),
            Arg::Long("config") => config = Some(PathBuf::from(parser.value()?)),
            Arg::Long("json") => json = switch(parser)?,
            Arg::Value(value) if id.is_none() => id = Some(text(value)?),
            other => return Err(other.unexpected().into()),
        }
    }
    let bundle = std::path::absolute(&bundle).context(|| format!("bundle {}", bundle.display()))?;
    let (spec, ignored) = read(&config.unwrap_or_else(|| bundle.join("config.json")))?;
    let id = id.unwrap_or_else(|| "ID".into());
    let (placement, view, _) = cgroups::plan(&spec, &id, globals.cgroups, cgroups::Search::Thorough)?;
    let request = Request { id, bundle, ..Request::default() };
    let host = crate::host::facts(spec.process.as_deref(), spec.linux.as_deref());
    let plan = plan(&spec, &request, &host, placement, &view)?;
    for warning in ignored.iter().map(|name| crate::config::warning(name)).chain(plan.warnings.iter().cloned()) {
        globals.log.write("warning", &warning);
    }
    let report = PlanReport { steps: reports(&plan) };
    if json {
        super::output_json(&report)?
    } else {
        super::output(&table(&report))?
    }
    Ok(0)
}

fn read(path: &Path) -> Result<(Spec, Vec<String>)> {
    let mut content = Vec::new();
    if path == Path::new("-") {
        std::io::stdin().read_to_end(&mut content).context(|| "read standard input")?;
    } else {
        content = std::fs::read(path).context(|| format!("open {}", path.display()))?;
    }
    crate::config::parse(&content, path)
}

fn table(report: &PlanReport) -> String {
    let mut text = String::new();
    for (index, step) in report.steps.iter().enumerate() {
        let actor = match step.actor {
            Actor::Init => "init",
            _ => "runtime",
        };
        let from = if step.from.is_empty() { String::new() } else { format!("  [{}]", step.from) };
        let _ = writeln!(text, "{:3}  {actor:7}  {} — {}{from}", index + 1, step.name, step.why);
        for call in &step.calls {
            let _ = writeln!(text, "              {call}");
        }
    }
    text
}
