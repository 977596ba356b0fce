//! Go's `%v`: how `fmt.Print` shows decoded JSON.

use serde_json::Value as Json;

/// One value as `fmt.Print` shows it: `map[a:1 b:<nil>]`, `[a b]`, strings bare.
pub(crate) fn plain(value: &Json) -> String {
    let mut out = String::new();
    write_plain(&mut out, value);
    out
}

/// Appends [`plain`] of `value` to `out`.
pub(crate) fn write_plain(out: &mut String, value: &Json) {
    match value {
        Json::Null => out.push_str("<nil>"),
        Json::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Json::Number(n) if n.is_f64() => out.push_str(&crate::number::float(n.as_f64().unwrap_or_default())),
        Json::Number(n) => out.push_str(&n.to_string()),
        Json::String(s) => out.push_str(s),
        Json::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                out.push_str(if i > 0 { " " } else { "" });
                write_plain(out, item);
            }
            out.push(']');
        }
        Json::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_unstable_by(|a, b| a.0.cmp(b.0));
            out.push_str("map[");
            for (i, (key, item)) in sorted.into_iter().enumerate() {
                out.push_str(if i > 0 { " " } else { "" });
                out.push_str(key);
                out.push(':');
                write_plain(out, item);
            }
            out.push(']');
        }
    }
}

/// Go's `fmt.Sprint`: a space between two operands of which neither is a string.
pub(crate) fn sprint(args: &[&Json]) -> String {
    let mut out = String::new();
    let mut previous_is_text = true;
    for (i, arg) in args.iter().enumerate() {
        if i > 0 && !previous_is_text && !arg.is_string() {
            out.push(' ');
        }
        previous_is_text = arg.is_string();
        write_plain(&mut out, arg);
    }
    out
}

/// Go's `fmt.Sprintln`.
pub(crate) fn sprintln(args: &[&Json]) -> String {
    let texts: Vec<String> = args.iter().map(|arg| plain(arg)).collect();
    texts.join(" ") + "\n"
}
