//! What `--format` means for a command that lists: a table, a table of chosen columns, JSON lines, or a template per row.

use serde_json::{Map, Value as Json};

use crate::{Env, Error, Template, align};

/// A field of a row and the name its column has in a table.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// The field, as in `{{.ID}}`.
    pub field: &'static str,
    /// The heading, as in `CONTAINER ID`.
    pub header: &'static str,
}

/// How to print a list, decided before the list is made: a wrong template costs no work.
///
/// ```no_run
/// use carboy_format::{Column, Env, Listing};
/// let columns = [Column { field: "ID", header: "CONTAINER ID" }, Column { field: "Names", header: "NAMES" }];
/// let rows = [serde_json::json!({"ID": "0123456789ab", "Names": "web"})];
/// let listing = Listing::parse("table {{.Names}}\\t{{.ID}}", "", &columns).unwrap();
/// assert_eq!(listing.render(&rows, &Env::docker()).unwrap(), "NAMES     CONTAINER ID\nweb       0123456789ab\n");
/// ```
#[derive(Debug, Clone)]
pub struct Listing {
    template: Template,
    /// The template asks for all rows at once.
    whole: bool,
    /// Heading names by field; `None` when no heading is printed.
    header: Option<Json>,
}

impl Listing {
    /// Understands `format`: empty or `table` is `default` (itself of the form `table {{.A}}\t{{.B}}`), `table …` a table of
    /// the template's columns, `json` one JSON object per row, anything else a template per row. `\t` and `\n` written out
    /// stand for the characters, as with Docker. A template that begins with `{{range .}}` is given all rows, as with Podman.
    ///
    /// # Errors
    /// A template that cannot be parsed.
    pub fn parse(format: &str, default: &str, columns: &[Column]) -> Result<Self, Error> {
        let format = if matches!(format.trim_matches(' '), "" | "table") { default } else { format };
        let table = format.strip_prefix("table");
        let body = match table {
            Some(body) => body,
            None if format == "json" => "{{json .}}",
            None => format,
        };
        let body = unescaped(body.trim_matches(' '));
        let header = table.is_some().then(|| {
            columns.iter().map(|c| (c.field.to_owned(), Json::from(c.header))).collect::<Map<String, Json>>().into()
        });
        let whole = header.is_none() && ranges_over_all(&body);
        Ok(Listing { template: Template::parse(&body)?, whole, header })
    }

    /// Whether a heading is printed (then an empty list still prints something).
    #[must_use]
    pub fn is_table(&self) -> bool {
        self.header.is_some()
    }

    /// Whether the template is for all rows at once: then [`Listing::row`] is given their list, and what it makes is all there is.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// The heading's line, when one is printed.
    #[must_use]
    pub fn heading(&self) -> Option<String> {
        self.header.as_ref().map(|names| self.template.render_header(names))
    }

    /// One row's line, not yet laid out.
    ///
    /// # Errors
    /// The template fails on it.
    pub fn row(&self, row: &Json, env: &Env<'_>) -> Result<String, Error> {
        self.template.render_with(row, env)
    }

    /// The heading and these lines as printed, with a line end after each.
    #[must_use]
    pub fn layout(&self, lines: &[String]) -> String {
        let text: String = self.heading().iter().chain(lines).flat_map(|line| [line.as_str(), "\n"]).collect();
        if self.is_table() { align(&text) } else { text }
    }

    /// The whole text, with a line end after each row.
    ///
    /// # Errors
    /// A row on which the template fails.
    pub fn render(&self, rows: &[Json], env: &Env<'_>) -> Result<String, Error> {
        if self.whole {
            return self.row(&Json::Array(rows.to_vec()), env);
        }
        Ok(self.layout(&rows.iter().map(|row| self.row(row, env)).collect::<Result<Vec<_>, _>>()?))
    }
}

/// `\t` and `\n` as the characters, but within `{{…}}`, where the language itself knows them.
fn unescaped(format: &str) -> String {
    let plain = |text: &str| text.replace("\\t", "\t").replace("\\n", "\n");
    let mut parts = format.split("{{");
    let mut out = plain(parts.next().unwrap_or_default());
    for part in parts {
        out.push_str("{{");
        match part.split_once("}}") {
            Some((action, text)) => out.extend([action, "}}", &plain(text)]),
            None => out.push_str(part),
        }
    }
    out
}

fn ranges_over_all(body: &str) -> bool {
    let action = body.strip_prefix("{{").and_then(|rest| rest.split_once("}}")).map_or("", |(action, _)| action);
    let words: Vec<&str> = action.trim_start_matches("- ").trim_end_matches(" -").split_whitespace().collect();
    words == ["range", "."]
}

/// `{{.Label "com.example.some-key"}}` in a heading: the last part of the label's name.
pub(crate) fn header_method(name: &str, args: &[Json]) -> Option<Result<Json, String>> {
    if name != "Label" {
        return None;
    }
    let label = args.first()?.as_str()?;
    Some(Ok(label.rsplit('.').next().unwrap_or_default().replace(['-', '_'], " ").into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const COLUMNS: &[Column] = &[Column { field: "ID", header: "IMAGE ID" }, Column { field: "Size", header: "SIZE" }];

    fn show(format: &str) -> Result<String, Error> {
        let label =
            |_: &Json, name: &str, args: &[Json]| (name == "Label").then(|| Ok(json!(format!("<{}>", args[0]))));
        let env = Env { methods: Some(&label), ..Env::docker() };
        let rows = [json!({"ID": "0123456789ab", "Size": "7MB"}), json!({"ID": "b", "Size": "1.25GB"})];
        Listing::parse(format, "table {{.ID}}\t{{.Size}}", COLUMNS)?.render(&rows, &env)
    }

    #[test]
    fn formats() {
        let default = "IMAGE ID       SIZE\n0123456789ab   7MB\nb              1.25GB\n";
        let cases = [
            ("", default),
            ("table", default),
            ("table {{.Size}}", "SIZE\n7MB\n1.25GB\n"),
            ("table {{.Size}}\\t{{.ID}}", "SIZE      IMAGE ID\n7MB       0123456789ab\n1.25GB    b\n"),
            ("table {{lower .Size}}", "SIZE\n7mb\n1.25gb\n"),
            ("table {{.Size}}\\t{{.Label \"a.b-c\"}}", "SIZE      b c\n7MB       <\"a.b-c\">\n1.25GB    <\"a.b-c\">\n"),
            ("json", "{\"ID\":\"0123456789ab\",\"Size\":\"7MB\"}\n{\"ID\":\"b\",\"Size\":\"1.25GB\"}\n"),
            ("{{.ID}}", "0123456789ab\nb\n"),
            ("{{.ID}}\\t{{.Size}}", "0123456789ab\t7MB\nb\t1.25GB\n"),
            ("{{.ID}}{{\"\\t\"}}|", "0123456789ab\t|\nb\t|\n"),
            ("{{range .}}{{.ID}}\\n{{end}}", "0123456789ab\nb\n"),
            ("{{- range  . -}} {{.ID}}{{\"\\n\"}} {{- end}}", "0123456789ab\nb\n"),
            ("{{range .}}{{end}}{{len .}}", "2"),
        ];
        for (format, want) in cases {
            // The label's dash belongs to its last part.
            assert_eq!(show(format).unwrap(), want, "{format}");
        }
    }

    #[test]
    fn mistakes() {
        let missing = show("{{.Nope}}").unwrap_err().to_string();
        assert_eq!(
            missing,
            "template parsing error: template: :1:2: executing \"\" at <.Nope>: map has no entry for key \"Nope\""
        );
        assert!(show("{{.ID").is_err());
    }
}
