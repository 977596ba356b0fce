//! Expressions over container IDs, for crun's `kill --regex` and `delete --regex`: POSIX's extended ones, as far as regex-lite takes them, which
//! is all but collating elements. GNU's `{,n}` is refused. It takes 43 KB of the program.

use regex_lite::Regex;

/// Reads an expression; the error says what is wrong with it.
pub fn parse(text: &str) -> Result<Regex, regex_lite::Error> {
    Regex::new(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::{Command, Stdio};

    const IDS: [&str; 14] =
        ["a", "b", "ab", "abc", "web-1", "web-12", "web.1", "WEB_1", "aaa", "aaaaaa", "x-y-z", "0", "a]b", "test+1"];

    /// What grep -E says of the same.
    fn grep(pattern: &str) -> Vec<String> {
        let mut child = Command::new("grep")
            .args(["-E", "--", pattern])
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all((IDS.join("\n") + "\n").as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.code() != Some(2), "grep refuses {pattern}");
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn patterns_match_what_grep_finds() {
        for pattern in [
            "",
            "a",
            "^a",
            "a$",
            "^a$",
            "^web-[0-9]+$",
            "web.1",
            "web\\.1",
            "[[:upper:]_]+",
            "^[^a-z]",
            "a{3}",
            "^a{2,4}$",
            "^a{3,}$",
            "(a|b)c",
            "^(a|ab)(c|bc)$",
            "^(x-?)+",
            "x|0",
            "a|",
            "(ab)*c",
            "^(a*)*$",
            "((a+)+)+$",
            "[]x]",
            "[^]a]",
            "[a-]",
            "^.{2}$",
            "\\+",
            "()",
            "^(web|test)[-+][[:digit:]]{1,2}$",
            "b*$",
            "a?b?c",
            "^a|b$",
            "[.]",
            "(^a)",
        ] {
            let parsed = parse(pattern).unwrap();
            let own: Vec<_> = IDS.iter().filter(|id| parsed.is_match(id)).collect();
            assert_eq!(own, grep(pattern).iter().collect::<Vec<_>>(), "{pattern:?}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        let deep = "(".repeat(1000);
        for bad in
            ["(", ")", "a)", "[", "[a", "[[:foo:]]", "*", "+a", "a{2,1}", "a{x}", "a{", "\\", "\\1", "[b-a]", &deep]
        {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn no_pattern_takes_for_ever() {
        let text = "a".repeat(1000) + "!";
        assert!(!parse("^(((a*)*)*)*$").unwrap().is_match(&text));
        assert!(!parse("^(a|a|aa)+$").unwrap().is_match(&text));
    }
}
