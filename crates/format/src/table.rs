//! Columns that fit their text, as Go's `text/tabwriter` lays them out for Docker: at least 10 wide, 3 spaces apart.
//!
//! Unlike Docker's, widths are columns of a terminal and not characters, so that wide scripts line up.

use std::fmt;

use unicode_width::UnicodeWidthStr as _;

const MIN_WIDTH: usize = 10;
const PADDING: usize = 3;

/// Columns that `text` takes on a terminal; control characters take none.
#[must_use]
pub fn width(text: &str) -> usize {
    text.chars().filter(|c| !c.is_control()).collect::<String>().width()
}

/// Lays out lines of cells separated by tabs. A column is as wide as its widest cell over the consecutive lines that have it;
/// the last cell of a line belongs to no column and is never padded.
#[must_use]
pub fn align(text: &str) -> String {
    let (body, end) = text.strip_suffix('\n').map_or((text, ""), |body| (body, "\n"));
    let lines: Vec<Vec<&str>> = body.split('\n').map(|line| line.split('\t').collect()).collect();
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0).saturating_sub(1);
    let mut widths: Vec<Vec<usize>> = lines.iter().map(|line| Vec::with_capacity(line.len())).collect();
    for column in 0..columns {
        let mut first = 0;
        while first < lines.len() {
            let run = lines[first..].iter().take_while(|line| line.len() > column + 1).count();
            let block = first..first + run;
            let widest = lines[block.clone()].iter().map(|line| width(line[column]) + PADDING).max().unwrap_or(0);
            widths[block].iter_mut().for_each(|w| w.push(widest.max(MIN_WIDTH)));
            first += run + 1;
        }
    }
    let mut out = String::with_capacity(text.len() * 2);
    for (i, (line, widths)) in lines.iter().zip(&widths).enumerate() {
        out.push_str(if i > 0 { "\n" } else { "" });
        for (j, cell) in line.iter().enumerate() {
            out.push_str(cell);
            let fill = widths.get(j).map_or(0, |w| w.saturating_sub(width(cell)));
            out.extend(std::iter::repeat_n(' ', fill));
        }
    }
    out + end
}

/// A table with a heading, as Docker's commands print by default.
///
/// ```no_run
/// let mut table = carboy_format::Table::new(&["CONTAINER ID", "NAMES"]);
/// table.push(["0123456789ab", "web"]);
/// assert_eq!(table.to_string(), "CONTAINER ID   NAMES\n0123456789ab   web\n");
/// ```
#[derive(Debug, Clone)]
pub struct Table {
    text: String,
}

impl Table {
    /// A table with these column names; an empty list leaves the heading out.
    #[must_use]
    pub fn new(header: &[&str]) -> Self {
        let mut table = Table { text: String::new() };
        if !header.is_empty() {
            table.push(header.iter().copied());
        }
        table
    }

    /// Appends a row. Tabs and line ends in a cell become spaces: they would break the layout.
    pub fn push<S: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = S>) {
        for (i, cell) in cells.into_iter().enumerate() {
            self.text.push_str(if i > 0 { "\t" } else { "" });
            self.text.extend(cell.as_ref().chars().map(|c| if matches!(c, '\t' | '\n' | '\r') { ' ' } else { c }));
        }
        self.text.push('\n');
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&align(&self.text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected texts are what Go's tabwriter with Docker's settings prints.
    #[test]
    fn columns_end_where_lines_lack_them() {
        let cases = [
            ("a\tb\n", "a         b\n"),
            ("a\tb\tc\nlonger than ten\tb\tc\n", "a                 b         c\nlonger than ten   b         c\n"),
            ("aaaaaaaaaaaa\tb\nalone\nc\td\n", "aaaaaaaaaaaa   b\nalone\nc         d\n"),
            ("\t\tx\n", "                    x\n"),
            ("", ""),
            ("no end\tof line", "no end    of line"),
        ];
        for (text, want) in cases {
            assert_eq!(align(text), want, "{text:?}");
        }
    }

    #[test]
    fn wide_characters_take_two_columns() {
        assert_eq!(align("日本語日本語\tx\nabc\ty\n"), "日本語日本語   x\nabc            y\n");
        assert_eq!(width("e\u{301}"), 1);
    }

    #[test]
    fn cells_cannot_break_the_layout() {
        let mut table = Table::new(&[]);
        table.push(["a\tb\nc", "d"]);
        assert_eq!(table.to_string(), "a b c     d\n");
    }
}
