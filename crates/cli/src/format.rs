//! `--format`: what its templates mean for commands that list and for those that show one object. The language itself is
//! `carboy-format`'s.

use crate::failure::{Failure, usage};
use carboy_format::{Column, Env};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A parsed `--format` of a command that shows objects.
#[derive(Debug, Clone)]
pub(crate) enum Format {
    /// JSON on one line.
    Json,
    /// A line for each object.
    Template(carboy_format::Template),
}

impl Format {
    /// Parses `json` or a template.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        match text {
            "json" => Ok(Format::Json),
            _ => Ok(Format::Template(carboy_format::Template::parse(text).map_err(|e| mistake(&e, 64))?)),
        }
    }

    /// The line for one object.
    pub(crate) fn render(&self, value: &Value) -> Result<String, Failure> {
        self.render_with(value, &Env::docker())
    }

    /// The same where templates mean something else than Docker's.
    pub(crate) fn render_with(&self, value: &Value, env: &Env<'_>) -> Result<String, Failure> {
        match self {
            Format::Json => Ok(value.to_string()),
            Format::Template(template) => template.render_with(value, env).map_err(|e| mistake(&e, 1)),
        }
    }
}

/// Docker ends with 64 when a template cannot be parsed and with 1 when it fails on an object.
fn mistake(error: &carboy_format::Error, code: i32) -> Failure {
    usage(error.to_string()).with_code(code)
}

/// One object of a listing.
#[derive(Debug)]
pub(crate) struct Row {
    /// What the columns and templates show.
    pub(crate) fields: Value,
    /// What `{{.Label "name"}}` finds.
    pub(crate) labels: BTreeMap<String, String>,
    /// An object of what a template may name besides, as Podman's do, and `json` does not show.
    pub(crate) further: Map<String, Value>,
}

impl Row {
    /// A row without labels.
    pub(crate) fn new(fields: Value) -> Self {
        Row { fields, labels: BTreeMap::new(), further: Map::new() }
    }

    /// Everything in one object, for templates that are given all rows.
    fn whole(&self) -> Value {
        let mut all = self.fields.as_object().cloned().unwrap_or_default();
        all.extend(self.further.clone());
        all.entry("Labels").or_insert_with(|| serde_json::json!(self.labels));
        Value::Object(all)
    }
}

/// A listing: objects whose fields are columns.
pub(crate) struct Listing<'a> {
    /// Fields and their headers, in the order of the default table.
    pub(crate) columns: &'a [(&'static str, &'static str)],
    /// Headers of further fields that a template may name.
    pub(crate) headers: &'a [(&'static str, &'static str)],
    /// The objects.
    pub(crate) rows: Vec<Row>,
}

impl Listing<'_> {
    /// The listing as it is printed.
    pub(crate) fn render(&self, format: Option<&str>) -> Result<String, Failure> {
        let fields: Vec<String> = self.columns.iter().map(|(field, _)| format!("{{{{.{field}}}}}")).collect();
        let columns: Vec<Column> =
            self.columns.iter().chain(self.headers).map(|&(field, header)| Column { field, header }).collect();
        let default = format!("table {}", fields.join("\t"));
        let listing = carboy_format::Listing::parse(format.unwrap_or_default(), &default, &columns)
            .map_err(|e| mistake(&e, 64))?;
        if listing.is_whole() {
            let labels_of = |row: &Value| serde_json::from_value(row["Labels"].clone()).unwrap_or_default();
            let method = |row: &Value, name: &str, args: &[Value]| label(&labels_of(row), name, args);
            let rows = Value::Array(self.rows.iter().map(Row::whole).collect());
            let env = Env { methods: Some(&method), ..Env::row() };
            return listing.row(&rows, &env).map_err(|e| mistake(&e, 1));
        }
        let mut lines = Vec::with_capacity(self.rows.len());
        for row in &self.rows {
            let method = |receiver: &Value, name: &str, args: &[Value]| match row.further.get(name) {
                Some(value) if args.is_empty() && *receiver == row.fields => Some(Ok(value.clone())),
                _ => label(&row.labels, name, args),
            };
            let env = Env { methods: Some(&method), ..Env::row() };
            lines.push(listing.row(&row.fields, &env).map_err(|e| mistake(&e, 1))?);
        }
        Ok(listing.layout(&lines))
    }
}

fn label(labels: &BTreeMap<String, String>, name: &str, args: &[Value]) -> Option<Result<Value, String>> {
    match (name, args) {
        ("Label", [Value::String(key)]) => Some(Ok(labels.get(key).cloned().unwrap_or_default().into())),
        ("Label", _) => Some(Err("the name of one label is wanted".into())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn show(format: Option<&str>) -> Result<String, String> {
        let listing = Listing {
            columns: &[("ID", "CONTAINER ID"), ("Names", "NAMES")],
            headers: &[("Size", "SIZE")],
            rows: vec![Row {
                fields: json!({"ID": "abc", "Names": "a long name", "Size": 1}),
                labels: BTreeMap::from([("a.b".to_owned(), "x,y".to_owned())]),
                further: Map::from_iter([("Pid".to_owned(), json!(7))]),
            }],
        };
        listing.render(format).map_err(|e| e.to_string())
    }

    #[test]
    fn listings() {
        for (format, want) in [
            (None, "CONTAINER ID   NAMES\nabc            a long name\n"),
            (Some("table {{.Names}}\\t{{.Size}}"), "NAMES         SIZE\na long name   1\n"),
            (Some("json"), "{\"ID\":\"abc\",\"Names\":\"a long name\",\"Size\":1}\n"),
            (Some("{{.Pid}} {{json .}}"), "7 {\"ID\":\"abc\",\"Names\":\"a long name\",\"Size\":1}\n"),
            (Some("{{range .}}{{.Pid}} {{.Label \"a.b\"}} {{.Labels}}{{end}}"), "7 x,y map[a.b:x,y]"),
            (Some("{{upper .ID}}={{.Label \"a.b\"}}{{.Label \"c\"}}"), "ABC=x,y\n"),
        ] {
            assert_eq!(show(format).as_deref(), Ok(want), "{format:?}");
        }
        for bad in ["{{range .X}}", "{{.ID", "{{.Nope}}", "{{.Label}}"] {
            assert!(show(Some(bad)).is_err_and(|e| e.starts_with("template parsing error: template: :1:")), "{bad}");
        }
    }

    #[test]
    fn objects() {
        let value = json!({"State": {"Pid": 7}});
        assert_eq!(Format::parse("{{.State.Pid}}").unwrap().render(&value).unwrap(), "7");
        assert_eq!(Format::parse("json").unwrap().render(&value).unwrap(), "{\"State\":{\"Pid\":7}}");
        assert_eq!(Format::parse("{{").unwrap_err().code(), Some(64));
        assert_eq!(Format::parse("{{.X}}").unwrap().render(&value).unwrap_err().code(), Some(1));
    }
}
