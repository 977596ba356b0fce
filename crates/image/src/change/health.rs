//! `HEALTHCHECK`, into the form that Docker keeps in an image's configuration.

use serde_json::{Map, Value, json};

/// Docker takes nothing shorter.
const SHORTEST_NS: f64 = 1e6;

/// What follows the word: options, and `CMD …` or `NONE`.
pub(super) fn check(text: &str) -> Result<Value, &'static str> {
    let (mut check, mut rest) = (Map::new(), text.trim());
    while let Some(option) = rest.strip_prefix("--") {
        let (option, after) = option.split_once(char::is_whitespace).unwrap_or((option, ""));
        let (name, value) = option.split_once('=').ok_or("an option has the form --NAME=VALUE")?;
        let field = match name {
            "interval" => "Interval",
            "timeout" => "Timeout",
            "start-period" => "StartPeriod",
            "start-interval" => "StartInterval",
            "retries" => {
                let retries: u32 = value.parse().ok().filter(|n| *n > 0).ok_or("--retries must be at least 1")?;
                check.insert("Retries".to_owned(), retries.into());
                rest = after.trim_start();
                continue;
            }
            _ => return Err("its options are --interval, --timeout, --start-period, --start-interval and --retries"),
        };
        let ns = nanoseconds(value).ok_or("a duration such as 30s or 1m30s is wanted")?;
        check.insert(field.to_owned(), ns.into());
        rest = after.trim_start();
    }
    let (word, command) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let command = command.trim();
    match (word.to_ascii_uppercase().as_str(), command) {
        ("NONE", "") => Ok(json!({ "Test": ["NONE"] })),
        ("NONE", _) => Err("HEALTHCHECK NONE takes no arguments"),
        ("CMD", "") => Err("a command is missing after HEALTHCHECK CMD"),
        ("CMD", _) => {
            let test = match super::list(command) {
                Some(words) => ["CMD".to_owned()].into_iter().chain(words).collect(),
                None => vec!["CMD-SHELL".to_owned(), command.to_owned()],
            };
            // In the order of Docker's own.
            let mut all = Map::from_iter([("Test".to_owned(), json!(test))]);
            all.extend(check);
            Ok(Value::Object(all))
        }
        _ => Err("HEALTHCHECK [OPTION…] CMD COMMAND, or HEALTHCHECK NONE"),
    }
}

/// Go's durations, such as `1m30s`; none below a millisecond.
fn nanoseconds(text: &str) -> Option<i64> {
    let (mut total, mut rest) = (0.0, text);
    while !rest.is_empty() {
        let unit_at = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(unit_at);
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let unit = match &after[..end] {
            "ns" => 1.0,
            "us" | "µs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * unit;
        rest = &after[end..];
    }
    // Less than 292 years, which is all that Docker's field can hold.
    (SHORTEST_NS..9.2e18).contains(&total).then_some(total as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_docker_keeps_them() {
        for (text, want) in [
            ("CMD true", json!({"Test": ["CMD-SHELL", "true"]})),
            ("cmd [\"a\", \"b c\"]", json!({"Test": ["CMD", "a", "b c"]})),
            ("NONE", json!({"Test": ["NONE"]})),
            ("--interval=5s NONE", json!({"Test": ["NONE"]})),
            (
                "--interval=1m30s --timeout=1.5s  --start-period=2h --start-interval=100ms --retries=3 CMD x  y",
                json!({
                    "Test": ["CMD-SHELL", "x  y"], "Interval": 90_000_000_000_i64, "Timeout": 1_500_000_000,
                    "StartPeriod": 7_200_000_000_000_i64, "StartInterval": 100_000_000, "Retries": 3,
                }),
            ),
        ] {
            assert_eq!(check(text), Ok(want), "{text}");
        }
        for bad in [
            "FOO",
            "CMD",
            "NONE x",
            "--bad=1 CMD x",
            "--interval CMD x",
            "--interval=0 CMD x",
            "--interval=-1s CMD x",
            "--interval=100us CMD x",
            "--interval=999999999h CMD x",
            "--retries=0 CMD x",
            "--retries=x CMD x",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
