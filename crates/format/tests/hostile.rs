//! Templates made of fragments at random, and templates made to exhaust something: all must end in a text or an error.

use carboy_format::{Env, Listing, Template, align};
use serde_json::json;

/// A small generator (xorshift64*), so that a failure can be repeated from its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33).unwrap_or(0) % limit
    }
}

const FRAGMENTS: &[&str] = &[
    "{{",
    "}}",
    "{{-",
    "-}}",
    " ",
    "\n",
    ".",
    ".Name",
    ".List",
    ".Map",
    ".Null",
    ".State.Pid",
    "$",
    "$x",
    "$x := ",
    "$i, $e := ",
    "|",
    "(",
    ")",
    "if ",
    "else",
    "else if ",
    "end",
    "range ",
    "with ",
    "define \"t\"",
    "template \"t\" .",
    "block \"b\" .",
    "break",
    "continue",
    "nil",
    "true",
    "0",
    "-1",
    "1.5",
    "1e9",
    "9223372036854775807",
    "'x'",
    "\"a\"",
    "\"%d %s %[9]*.3q\"",
    "`raw`",
    "/*",
    "*/",
    "printf ",
    "print ",
    "println ",
    "index ",
    "slice ",
    "len ",
    "json ",
    "join ",
    "split ",
    "pad ",
    "truncate ",
    "title ",
    "eq ",
    "lt ",
    "and ",
    "or ",
    "not ",
    "html ",
    "js ",
    "urlquery ",
    "call ",
    "é",
    "日本",
    "\u{301}",
    "\0",
    "\\",
    "\"",
    ",",
    "=",
    ":",
    "{{end}}",
    "{{if .}}",
    "{{range .List}}",
    "{{.Name}}",
    "text",
];

fn data() -> serde_json::Value {
    json!({"Name": "wéb", "List": ["a", 1, null, [2]], "Map": {"k": "日本"}, "Null": null, "State": {"Pid": 4711, "F": 1.5}})
}

#[test]
fn random_templates_do_not_panic() {
    let data = data();
    let mut parsed = 0;
    for seed in 1..60_000u64 {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let mut text = String::new();
        let inside = random.below(2) == 0;
        text.push_str(if inside { "{{" } else { "" });
        for _ in 0..=random.below(12) {
            text.push_str(FRAGMENTS[random.below(FRAGMENTS.len())]);
        }
        text.push_str(if inside { "}}" } else { "" });
        let Ok(template) = Template::parse(&text) else { continue };
        parsed += 1;
        for env in [Env::docker(), Env::default()] {
            if let Ok(out) = template.render_with(&data, &env) {
                let _ = align(&out);
            }
        }
        if let Ok(listing) = Listing::parse(&format!("table {text}"), "", &[]) {
            let _ = listing.render(std::slice::from_ref(&data), &Env::docker());
        }
    }
    assert!(parsed > 5_000, "only {parsed} templates were accepted: the generator is of no use");
}

/// Every pair of a format directive and a value.
#[test]
fn printf_takes_anything() {
    let flags = [
        "",
        "+",
        "-",
        "#",
        "0",
        " ",
        "5",
        "-5",
        "05",
        ".2",
        "8.3",
        "#08.3",
        "[1]",
        "[2]",
        "*",
        ".*",
        "999999999999",
        "+-# 0",
    ];
    let args = [
        ".Name",
        ".List",
        ".Map",
        ".Null",
        ".State.Pid",
        ".State.F",
        "true",
        "-9223372036854775808",
        "1e300",
        "nil",
        "\"\"",
    ];
    for verb in "vTtdboOxXUcqsefgEFGpw%z日".chars() {
        for flag in flags {
            for arg in args {
                let text = format!("{{{{printf \"%{flag}{verb}\" {arg} 3}}}}");
                Template::parse(&text).unwrap().render_with(&data(), &Env::default()).unwrap();
            }
        }
    }
}

#[test]
fn limits_hold() {
    let cases = [
        ("{{define \"t\"}}{{template \"t\" .}}{{end}}{{template \"t\" .}}".to_owned(), "exceeded maximum template depth"),
        ("{{define \"t\"}}{{if .}}{{if .}}{{if .}}{{template \"t\" .}}{{end}}{{end}}{{end}}{{end}}{{template \"t\" .}}".to_owned(), "nested deeper than"),
        (format!("{{{{$x := \"{}\"}}}}{}{{{{$x}}}}", "x".repeat(1000), "{{$x = printf \"%s%s\" $x $x}}".repeat(30)), "exceed"),
        (format!("{{{{$x := \"x\"}}}}{}", "{{$x = pad $x 2000000 2000000}}".repeat(9)), "exceed"),
        (format!("{{{{$x := \"x\"}}}}{}", "{{$x = print $x $x $x $x}}".repeat(40)), "exceed"),
        (format!("{{{{$x := .List}}}}{}", "{{$x = split (json $x) \"\"}}".repeat(40)), "exceed"),
        ("{{pad \"x\" 9223372036854775807 0}}".to_owned(), "overflow"),
        ("(".repeat(1_000_000), ""),
        (format!("{{{{{}", "(".repeat(1_000_000)), "nested deeper than"),
        ("{{if 1}}".repeat(1_000_000), "nested deeper than"),
        (format!("{{{{. {}", "| print ".repeat(200_000)), "unclosed action"),
    ];
    for (text, want) in cases {
        let result = Template::parse(&text).and_then(|t| t.render(&data()));
        match result {
            Ok(_) => assert!(want.is_empty(), "{}… was accepted", &text[..40]),
            Err(error) => assert!(error.message.contains(want), "{}…: {error}", &text[..40]),
        }
    }
}
