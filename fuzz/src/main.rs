//! `carboy-fuzz TARGET SECONDS [SEED]`: a long run of one target; `carboy-fuzz` alone lists them.
#![allow(clippy::print_stdout, reason = "a program of its own")]

use carboy_fuzz::{Budget, TARGETS, drive};
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| args.get(at).and_then(|text| text.parse::<u64>().ok());
    let target = args.first().and_then(|name| TARGETS.iter().find(|target| target.name == name.as_str()));
    let (Some(target), Some(seconds)) = (target, number(1)) else {
        println!("carboy-fuzz TARGET SECONDS [SEED]; targets:");
        TARGETS.iter().for_each(|target| println!("  {}", target.name));
        return ExitCode::from(2);
    };
    let outcome = drive(target, Budget::Time(Duration::from_secs(seconds)), number(2).unwrap_or(1));
    println!("{}: {} inputs, the slowest took {:?}", target.name, outcome.inputs, outcome.slowest);
    ExitCode::SUCCESS
}
