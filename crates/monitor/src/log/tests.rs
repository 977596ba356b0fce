use super::*;

const AT: u64 = 1_000_000_000;

fn log(dir: &Path, max_size: Option<u64>, max_files: u32) -> Log {
    Log::open(&LogConfig::JsonFile { path: dir.join("log"), max_size, max_files }).unwrap()
}

fn records(path: &Path) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(path).unwrap();
    let parse = |line: &str| -> (String, String) {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(value["time"].as_str().unwrap().starts_with("1970-01-01T00:00:01"));
        (value["log"].as_str().unwrap().to_owned(), value["stream"].as_str().unwrap().to_owned())
    };
    text.lines().map(parse).collect()
}

#[test]
fn a_line_is_one_record_however_it_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = log(dir.path(), None, 1);
    for part in ["on", "e\ntwo\n", "\n", "last"] {
        log.write(Stream::Stdout, part.as_bytes(), AT);
        log.write(Stream::Stderr, b"e", AT);
    }
    log.end();
    let all = records(&dir.path().join("log"));
    let of = |name: &str| all.iter().filter(|(_, s)| s == name).map(|(l, _)| l.as_str()).collect::<Vec<_>>();
    assert_eq!(of("stdout"), ["one\n", "two\n", "\n", "last"]);
    assert_eq!(of("stderr"), ["eeee"]);
}

#[test]
fn long_lines_are_cut_at_16_kib_but_not_inside_a_character() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = log(dir.path(), None, 1);
    let text = format!("{}ä{}\n", "a".repeat(LINE_MAX - 1), "b".repeat(LINE_MAX));
    log.write(Stream::Stdout, text.as_bytes(), AT);
    log.end();
    let all = records(&dir.path().join("log"));
    assert_eq!(all.iter().map(|(l, _)| l.len()).collect::<Vec<_>>(), [LINE_MAX - 1, LINE_MAX, 3]);
    assert_eq!(all.iter().map(|(l, _)| l.as_str()).collect::<String>(), text);
    // A line of exactly the limit, its end apart, is two records, as with Docker.
    assert_eq!(unfinished_character("aä".as_bytes()), 0);
    assert_eq!(unfinished_character(&"€".as_bytes()[..2]), 2);
    assert_eq!(unfinished_character(b"\x80\x80\x80"), 0);
}

#[test]
fn records_are_escaped_as_docker_does() {
    let mut out = Vec::new();
    json::push_record(&mut out, Stream::Stderr, "a\"\\\t<&>\r\u{2028}ä\n".as_bytes(), AT);
    let want = r#"{"log":"a\"\\\u0009\u003c\u0026\u003e\r\u2028ä\n","stream":"stderr","time":"1970-01-01T00:00:01Z"}"#;
    assert_eq!(String::from_utf8(out).unwrap().trim_end(), want);
    let mut out = Vec::new();
    json::push_record(&mut out, Stream::Stdout, b"x\xff\xe2\x82y", AT);
    assert!(String::from_utf8(out).unwrap().starts_with(r#"{"log":"x\ufffd\ufffd\ufffdy","#));
}

#[test]
fn rotation_keeps_the_newest_files_within_their_size() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = log(dir.path(), Some(400), 3);
    for number in 0..40 {
        log.write(Stream::Stdout, format!("line {number}\n").as_bytes(), AT);
    }
    log.end();
    let mut names: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["log", "log.1", "log.2"]);
    let lines: Vec<String> = ["log.2", "log.1", "log"]
        .iter()
        .flat_map(|name| {
            assert!(std::fs::metadata(dir.path().join(name)).unwrap().len() <= 400);
            records(&dir.path().join(name))
        })
        .map(|(line, _)| line)
        .collect();
    let first = 40 - lines.len();
    assert!(lines.len() > 10);
    assert_eq!(lines, (first..40).map(|n| format!("line {n}\n")).collect::<Vec<_>>());
    assert_eq!(log.complaint(), None);
}

#[test]
fn one_file_is_emptied_when_it_is_full() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = log(dir.path(), Some(400), 1);
    for number in 0..40 {
        log.write(Stream::Stdout, format!("line {number}\n").as_bytes(), AT);
    }
    log.end();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    assert_eq!(records(&dir.path().join("log")).last().unwrap().0, "line 39\n");
    assert!(std::fs::metadata(dir.path().join("log")).unwrap().len() <= 400);
}
