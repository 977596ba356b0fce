//! `carboy run --rm hello`, the first thing anyone does.

use crate::common::Env;
use serde_json::Value;

#[test]
#[ignore = "needs root"]
fn it_fits_on_one_screen() {
    let env = Env::new();
    let out = env.carboy(["run", "--rm", "hello"]).output();
    assert_eq!((out.code, out.error().as_str()), (0, ""), "{out}");
    let text = out.text();
    assert!(text.lines().count() <= 40 && text.lines().all(|line| line.chars().count() <= 100), "{text}");
    assert!(!text.contains('\x1b'), "colours without a terminal: {text}");
    assert_eq!(env.carboy(["ps", "-aq"]).ok(), "");
    // An image like any other after its first use.
    let list = env.carboy(["images"]).ok();
    assert!(list.lines().nth(1).is_some_and(|line| line.contains("hello")), "{list}");
    env.carboy(["rmi", "hello"]).ok();
    assert_eq!(env.files(), [""; 0]);
    assert_eq!(env.carboy(["run", "--rm", "hello"]).output().code, 0, "a second first time");
}

#[test]
#[ignore = "needs root"]
fn it_reports_what_isolates_it() {
    let env = Env::new();
    let text =
        env.carboy(["run", "--rm", "--hostname", "vessel", "-m", "64m", "--network", "none", "hello", "--json"]).ok();
    let report: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
    let text = report.to_string();
    assert!(text.contains("vessel") && text.contains("67108864"), "{text}");
}
