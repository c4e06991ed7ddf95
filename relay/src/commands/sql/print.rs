//! How rows look: tables for people, CSV and JSON for programs.

use craftec_api::{BranchRow, ConflictKind, SqlMerged, SqlValue};
use serde_json::{Map, Value, json};

use crate::console::printable;

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mode {
    /// Columns under their names.
    #[default]
    Table,
    /// RFC 4180, with a line of names.
    Csv,
    /// One array of objects for each result.
    Json,
    /// Values with `|` between them.
    List,
    /// One value a line, after its name.
    Line,
}

impl Mode {
    /// The mode of this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "table" => Self::Table,
            "csv" => Self::Csv,
            "json" => Self::Json,
            "list" => Self::List,
            "line" => Self::Line,
            _ => return None,
        })
    }

    /// A result as text, ending in a line feed; empty for one without columns.
    pub(super) fn text(self, columns: &[String], rows: &[Vec<SqlValue>]) -> String {
        if columns.is_empty() {
            return String::new();
        }
        match self {
            Self::Table => table(columns, rows),
            Self::Csv => csv(columns, rows),
            Self::Json => format!("{}\n", objects(columns, rows)),
            Self::List => {
                let line = |row: &Vec<SqlValue>| {
                    row.iter().map(plain).collect::<Vec<_>>().join("|") + "\n"
                };
                rows.iter().map(line).collect()
            }
            Self::Line => {
                let line = |row: &Vec<SqlValue>| {
                    let each = columns.iter().zip(row);
                    let lines = each.map(|(name, value)| format!("{name} = {}\n", plain(value)));
                    lines.collect::<String>()
                };
                rows.iter().map(line).collect::<Vec<_>>().join("\n")
            }
        }
    }
}

/// A value as text; bytes in hexadecimal.
pub(super) fn plain(value: &SqlValue) -> String {
    match value {
        SqlValue::Null => String::new(),
        SqlValue::Integer(number) => number.to_string(),
        SqlValue::Real(number) => format!("{number:?}"),
        SqlValue::Text(text) => text.clone(),
        SqlValue::Blob(bytes) => data_encoding::HEXLOWER.encode(bytes),
    }
}

/// A value as JSON; bytes are an object with their hexadecimal digits.
pub(super) fn value(value: &SqlValue) -> Value {
    match value {
        SqlValue::Null => Value::Null,
        SqlValue::Integer(number) => json!(number),
        SqlValue::Real(number) => json!(number),
        SqlValue::Text(text) => json!(text),
        SqlValue::Blob(bytes) => json!({ "hex": data_encoding::HEXLOWER.encode(bytes) }),
    }
}

fn objects(columns: &[String], rows: &[Vec<SqlValue>]) -> Value {
    let object = |row: &Vec<SqlValue>| {
        let fields = columns.iter().cloned().zip(row.iter().map(value));
        Value::Object(fields.collect::<Map<_, _>>())
    };
    rows.iter().map(object).collect()
}

fn table(columns: &[String], rows: &[Vec<SqlValue>]) -> String {
    // A line feed in a value would look like another row.
    let cell = |text: &str| printable(text).replace('\n', "\u{21b5}");
    let shown = |value: &SqlValue| match value {
        SqlValue::Null => "NULL".to_owned(),
        value => cell(&plain(value)),
    };
    let names: Vec<String> = columns.iter().map(|name| cell(name)).collect();
    let cells: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(shown).collect()).collect();
    let width = |at: usize| {
        let all = cells.iter().filter_map(|row| row.get(at)).chain(names.get(at));
        all.map(|text| text.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..names.len()).map(width).collect();
    let numbers = |row: usize, at: usize| {
        let value = rows.get(row).and_then(|row| row.get(at));
        matches!(value, Some(SqlValue::Integer(_) | SqlValue::Real(_)))
    };
    let padded = |text: &str, width: usize, right: bool| {
        let space = " ".repeat(width.saturating_sub(text.chars().count()));
        if right { format!("{space}{text}") } else { format!("{text}{space}") }
    };
    let mut out = String::new();
    let mut line = |cells: Vec<String>| {
        out.push_str(cells.join("  ").trim_end());
        out.push('\n');
    };
    line(names.iter().zip(&widths).map(|(name, width)| padded(name, *width, false)).collect());
    line(widths.iter().map(|width| "-".repeat(*width)).collect());
    for (row, cells) in cells.iter().enumerate() {
        let cells = cells.iter().zip(&widths).enumerate();
        line(cells.map(|(at, (text, width))| padded(text, *width, numbers(row, at))).collect());
    }
    out
}

fn csv(columns: &[String], rows: &[Vec<SqlValue>]) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    // Writing to memory does not fail.
    drop(writer.write_record(columns));
    for row in rows {
        drop(writer.write_record(row.iter().map(plain)));
    }
    String::from_utf8(writer.into_inner().unwrap_or_default()).unwrap_or_default()
}

/// What can be merged, a line each.
pub(super) fn branches(rows: &[BranchRow]) -> String {
    if rows.is_empty() {
        return "Nothing to merge.\n".to_owned();
    }
    let line = |row: &BranchRow| {
        let merged = if row.merged { "  merged" } else { "" };
        format!("{}  {}{merged}\n", printable(&row.name), row.cid)
    };
    rows.iter().map(line).collect()
}

/// What came of a merge: each conflict, and who won is the asker's to know.
pub(super) fn merged(merged: &SqlMerged) -> String {
    let mut text = String::new();
    for conflict in &merged.conflicts {
        let key: Vec<String> = conflict.key.iter().map(plain).collect();
        let what = match conflict.kind {
            ConflictKind::Added => "both added it",
            ConflictKind::Changed => "both changed it",
            ConflictKind::Deleted => "one changed it, the other deleted it",
            ConflictKind::Constraint => "it does not fit beside a row of the other side",
            ConflictKind::Reference => "it refers to what the other side deleted",
            ConflictKind::Table => "both changed the table, which can only be taken whole",
        };
        let (table, key) = (printable(&conflict.table), printable(&key.join(", ")));
        text.push_str(&format!("{table} {key}: {what}\n"));
    }
    let more = merged.conflicting.saturating_sub(merged.conflicts.len() as u64);
    if more > 0 {
        text.push_str(&format!("… and {more} more\n"));
    }
    if merged.made {
        text.push_str("Merged.\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_shows_every_type() {
        let columns = ["n".to_owned(), "what".to_owned()];
        let text = |text: &str| SqlValue::Text(text.to_owned());
        let rows = [
            vec![SqlValue::Integer(-5), text("a,\"b\"\n\x1b[2J")],
            vec![SqlValue::Real(2.0), SqlValue::Blob(vec![0, 255])],
            vec![SqlValue::Null, text("ß")],
        ];
        let table = Mode::Table.text(&columns, &rows);
        let wanted = [
            "n     what",
            "----  --------------",
            "  -5  a,\"b\"\u{21b5}\u{fffd}[2J",
            " 2.0  00ff",
            "NULL  ß",
            "",
        ];
        assert_eq!(table.split('\n').collect::<Vec<_>>()[2..], wanted[2..]);
        let csv = Mode::Csv.text(&columns, &rows[1..]);
        assert_eq!(csv, "n,what\n2.0,00ff\n,ß\n");
        let json = Mode::Json.text(&columns, &rows[1..]);
        assert_eq!(json, "[{\"n\":2.0,\"what\":{\"hex\":\"00ff\"}},{\"n\":null,\"what\":\"ß\"}]\n");
        assert_eq!(Mode::List.text(&columns, &rows[1..]), "2.0|00ff\n|ß\n");
        assert_eq!(Mode::Line.text(&columns, &rows[2..]), "n = \nwhat = ß\n");
        assert_eq!(Mode::Table.text(&[], &[]), "");
        assert_eq!(Mode::named("nothing"), None);
    }
}
