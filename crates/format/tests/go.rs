//! Templates with the output or error that Go 1.19's own `text/template` gives for them, with Docker's functions added.
//!
//! `go_cases.json` holds what Go printed, word for word. Left out of it, because nobody writes them in a template: floats in
//! hexadecimal and binary (`%x`, `%b`), the flag `#` with floats, and pointers (`%p`).

use carboy_format::{Env, Template};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    template: String,
    #[serde(default)]
    strict: bool,
    want: Option<String>,
    error: Option<String>,
}

#[test]
fn as_go_does() {
    let data: serde_json::Value = serde_json::from_str(include_str!("go_data.json")).unwrap();
    let cases: Vec<Case> = serde_json::from_str(include_str!("go_cases.json")).unwrap();
    let mut failures = Vec::new();
    for case in &cases {
        let env = Env { strict: case.strict, ..Env::default() };
        let got = Template::parse(&case.template).and_then(|t| t.render_with(&data, &env)).map_err(|e| e.message);
        let want = match (&case.want, &case.error) {
            (Some(text), _) => Ok(text.clone()),
            (None, error) => Err(error.clone().unwrap_or_default()),
        };
        if got != want {
            failures.push(format!("{}\n  got  {got:?}\n  want {want:?}", case.template));
        }
    }
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), cases.len(), failures.join("\n"));
}
