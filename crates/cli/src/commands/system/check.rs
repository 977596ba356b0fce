//! `system check`: a line for each problem, and one that counts them. The exit code is 0 if nothing is wrong any more.

use crate::args::{CheckArgs, Global};
use crate::commands::pull::within_user_namespace;
use crate::failure::Outcome;
use crate::{output, settings};
use carboy_image::{CheckOptions, Finding, Outcome as Repair};

pub(super) fn check(global: &Global, args: &CheckArgs) -> Outcome {
    let engine = settings::engine(global)?;
    if let Some(code) = within_user_namespace(&engine)? {
        return Ok(code);
    }
    let findings = engine.check_store(CheckOptions { deep: args.deep, repair: args.repair })?;
    for finding in &findings {
        output::line(&line(finding))?;
    }
    let left = findings.iter().filter(|finding| !matches!(finding.outcome, Repair::Repaired(_))).count();
    if !args.quiet {
        output::line(&match (findings.len(), left) {
            (0, _) if args.deep => "The store is whole; every blob and layer has its digest.".to_owned(),
            (0, _) => "The store is whole.".to_owned(),
            (1, 1) => "1 problem.".to_owned(),
            (all, 0) => format!("{all} problems, all repaired."),
            (all, left) if left == all => format!("{all} problems."),
            (all, left) => format!("{all} problems, {left} of them left."),
        })?;
    }
    Ok(i32::from(left > 0))
}

fn line(finding: &Finding) -> String {
    let problem = &finding.problem;
    match &finding.outcome {
        Repair::Left => problem.to_string(),
        Repair::Repaired(how) => format!("{problem}: {how}"),
        Repair::Failed(why) => format!("{problem}: not repaired: {why}"),
    }
}
