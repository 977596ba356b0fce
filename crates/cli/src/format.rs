//! Tables, JSON lines and the simple part of Docker's templates.
//!
//! A template is text with `{{.Field}}`, `{{.A.B}}`, `{{json .}}` and `{{json .A.B}}`; Go's control structures and functions are refused
//! by name rather than printed wrongly.

use crate::failure::{Failure, usage};
use serde_json::Value;

/// One piece of a template.
#[derive(Debug, Clone, PartialEq)]
enum Piece {
    Text(String),
    Field { path: Vec<String>, as_json: bool },
}

/// A parsed `--format`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Format {
    /// A line of JSON for each object.
    Json,
    /// A line for each object.
    Template(Template),
    /// The same, in columns with headers.
    Table(Template),
}

/// A parsed template.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Template(Vec<Piece>);

impl Format {
    /// Parses `json`, `table …` or a template.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        match text.strip_prefix("table") {
            _ if text == "json" => Ok(Format::Json),
            Some(rest) if rest.starts_with(char::is_whitespace) => Ok(Format::Table(Template::parse(rest.trim())?)),
            _ => Ok(Format::Template(Template::parse(text)?)),
        }
    }
}

impl Template {
    fn parse(text: &str) -> Result<Self, Failure> {
        let bad = |inner: &str| {
            usage(format!(
                "template {{{{{inner}}}}} is not supported: only {{{{.Field}}}}, {{{{.A.B}}}} and {{{{json .Field}}}}"
            ))
        };
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            push_text(&mut pieces, before);
            let (inner, behind) = after.split_once("}}").ok_or_else(|| usage("template: {{ without }}"))?;
            let inner = inner.trim_matches(|c: char| c.is_whitespace() || c == '-');
            let (as_json, path) = match inner.strip_prefix("json") {
                Some(path) => (true, path.trim()),
                None => (false, inner),
            };
            let path = path.strip_prefix('.').ok_or_else(|| bad(inner))?;
            let good = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            let parts: Vec<String> =
                if path.is_empty() { vec![] } else { path.split('.').map(str::to_owned).collect() };
            if !parts.iter().all(|part| good(part)) {
                return Err(bad(inner));
            }
            pieces.push(Piece::Field { path: parts, as_json });
            rest = behind;
        }
        push_text(&mut pieces, rest);
        Ok(Template(pieces))
    }

    /// The text for one object.
    pub(crate) fn render(&self, value: &Value) -> Result<String, Failure> {
        let mut out = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Field { path, as_json } => {
                    let mut at = value;
                    for part in path {
                        at = at
                            .get(part)
                            .ok_or_else(|| usage(format!("template: there is no field {:?}", path.join("."))))?;
                    }
                    out.push_str(&if *as_json { at.to_string() } else { plain(at) });
                }
            }
        }
        Ok(out)
    }

    fn header(&self, headers: &[(&str, &str)]) -> String {
        let mut out = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Field { path, .. } => {
                    let name = path.join(".");
                    let known =
                        headers.iter().find(|(field, _)| *field == name).map(|(_, header)| (*header).to_owned());
                    out.push_str(&known.unwrap_or_else(|| name.to_uppercase()));
                }
            }
        }
        out
    }
}

fn push_text(pieces: &mut Vec<Piece>, text: &str) {
    if !text.is_empty() {
        pieces.push(Piece::Text(text.replace("\\t", "\t").replace("\\n", "\n")));
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "<nil>".into(),
        Value::Array(list) => format!("[{}]", list.iter().map(plain).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => {
            let pairs: Vec<String> = map.iter().map(|(k, v)| format!("{k}:{}", plain(v))).collect();
            format!("map[{}]", pairs.join(" "))
        }
        other => other.to_string(),
    }
}

/// A listing: objects whose fields are columns.
pub(crate) struct Listing<'a> {
    /// Fields and their headers, in the order of the default table.
    pub(crate) columns: &'a [(&'a str, &'a str)],
    /// Headers of further fields that a template may name.
    pub(crate) headers: &'a [(&'a str, &'a str)],
    /// The objects.
    pub(crate) rows: Vec<Value>,
}

impl Listing<'_> {
    /// The listing as it is printed.
    pub(crate) fn render(&self, format: Option<&str>) -> Result<String, Failure> {
        let format = match format {
            None | Some("table") => return Ok(self.table()),
            Some(text) => Format::parse(text)?,
        };
        let mut out = String::new();
        match format {
            Format::Json => self.rows.iter().for_each(|row| out.push_str(&format!("{row}\n"))),
            Format::Template(template) => {
                for row in &self.rows {
                    out.push_str(&template.render(row)?);
                    out.push('\n');
                }
            }
            Format::Table(template) => {
                let headers: Vec<(&str, &str)> = self.columns.iter().chain(self.headers).copied().collect();
                let mut lines = vec![template.header(&headers)];
                for row in &self.rows {
                    lines.push(template.render(row)?);
                }
                let cells = lines.iter().map(|line| line.split('\t').map(str::to_owned).collect()).collect();
                out = align(cells);
            }
        }
        Ok(out)
    }

    fn table(&self) -> String {
        let mut cells: Vec<Vec<String>> = vec![self.columns.iter().map(|(_, header)| (*header).to_owned()).collect()];
        for row in &self.rows {
            cells.push(self.columns.iter().map(|(field, _)| row.get(*field).map(plain).unwrap_or_default()).collect());
        }
        align(cells)
    }
}

/// Columns three spaces apart, as Docker's.
pub(crate) fn align(rows: Vec<Vec<String>>) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |n: usize| rows.iter().filter_map(|row| row.get(n)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in &rows {
        let mut line = String::new();
        for (n, cell) in row.iter().enumerate() {
            line.push_str(cell);
            if n + 1 < row.len() {
                let gap = widths[n] - cell.chars().count() + 3;
                line.extend(std::iter::repeat_n(' ', gap));
            }
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn listing() -> Listing<'static> {
        Listing {
            columns: &[("ID", "CONTAINER ID"), ("Names", "NAMES")],
            headers: &[("Size", "SIZE")],
            rows: vec![json!({"ID": "abc", "Names": "a long name", "Size": 1, "In": {"Deep": [1, 2]}})],
        }
    }

    #[test]
    fn tables_align() {
        assert_eq!(listing().render(None).unwrap(), "CONTAINER ID   NAMES\nabc            a long name\n");
        let own = listing().render(Some("table {{.Names}}\\t{{.Size}}")).unwrap();
        assert_eq!(own, "NAMES         SIZE\na long name   1\n");
    }

    #[test]
    fn templates_render_fields() {
        let render = |text: &str| listing().render(Some(text)).map_err(|e| e.to_string());
        assert_eq!(render("{{.ID}}:{{ .In.Deep }}").unwrap(), "abc:[1 2]\n");
        assert_eq!(render("{{json .In}}").unwrap(), "{\"Deep\":[1,2]}\n");
        assert!(render("{{json .}}").unwrap().starts_with("{\"ID\""));
        for bad in ["{{range .X}}", "{{.ID", "{{.Nope}}", "{{len .ID}}"] {
            assert!(render(bad).is_err(), "{bad}");
        }
    }
}
