//! Databases to and from text: `.dump`, `.import`.

use std::path::Path;

use craftec_api::{SqlStatement, SqlValue};

use super::client::{Client, quoted};
use crate::error::{RelayError, Result};

/// Rows of a dump that are asked for at one time.
const DUMPED_ROWS: i64 = 1000;
/// Statements of an import in one transaction, and about how many bytes.
const BATCH_ROWS: usize = 1000;
const BATCH_BYTES: usize = 256 << 10;
/// What a statement takes besides its values.
const STATEMENT_BYTES: usize = 64;

/// Everything as SQL that makes the database again, piece by piece. Others may write between two
/// pieces.
pub(super) async fn dump(client: &Client<'_>, mut out: impl FnMut(&str)) -> Result<()> {
    out("PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n");
    // What an FTS5 or an RTREE table keeps inside is made by filling that table again.
    let tables = "SELECT t.name, s.sql, t.wr FROM pragma_table_list AS t \
                  JOIN sqlite_schema AS s ON s.name = t.name \
                  WHERE t.schema = 'main' AND t.type IN ('table', 'virtual') \
                  AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY s.rowid";
    for row in client.query(tables, Vec::new()).await?.rows {
        let [SqlValue::Text(name), SqlValue::Text(sql), without_rowid] = row.as_slice() else {
            continue;
        };
        out(&format!("{sql};\n"));
        let is_keyed = *without_rowid == SqlValue::Integer(0);
        rows_of(client, name, is_keyed, &mut out).await?;
    }
    let rest = "SELECT sql || ';' FROM sqlite_schema WHERE type IN ('index', 'trigger', 'view') \
                AND sql NOT NULL ORDER BY rowid";
    for sql in client.texts(rest, Vec::new()).await? {
        out(&format!("{sql}\n"));
    }
    out("COMMIT;\n");
    Ok(())
}

async fn rows_of(
    client: &Client<'_>,
    table: &str,
    is_keyed: bool,
    out: &mut impl FnMut(&str),
) -> Result<()> {
    let columns = "SELECT name FROM pragma_table_xinfo(?1) WHERE hidden = 0 ORDER BY cid";
    let columns = client.texts(columns, vec![SqlValue::Text(table.to_owned())]).await?;
    let names = columns.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(",");
    let values: Vec<String> =
        columns.iter().map(|name| format!("quote({})", quoted(name))).collect();
    let begin = format!("INSERT INTO {}({names}) VALUES(", quoted(table)).replace('\'', "''");
    let made = format!("'{begin}' || {} || ');'", values.join("||','||"));
    let table = quoted(table);
    if !is_keyed {
        let rows = client.texts(&format!("SELECT {made} FROM {table}"), Vec::new()).await?;
        rows.iter().for_each(|row| out(&format!("{row}\n")));
        return Ok(());
    }
    let sql = format!(
        "SELECT rowid, {made} FROM {table} WHERE rowid > ?1 ORDER BY rowid LIMIT {DUMPED_ROWS}"
    );
    let mut after = SqlValue::Integer(i64::MIN);
    loop {
        let rows = client.query(&sql, vec![after]).await?.rows;
        let Some(last) = rows.last().and_then(|row| row.first()).cloned() else { return Ok(()) };
        for row in &rows {
            if let Some(SqlValue::Text(sql)) = row.get(1) {
                out(&format!("{sql}\n"));
            }
        }
        after = last;
    }
}

/// Puts the rows of a CSV file into a table, which is made from the file's first line if there is none;
/// how many. Each thousand is one transaction: what came before a bad row stays.
pub(super) async fn import(client: &Client<'_>, file: &Path, table: &str) -> Result<u64> {
    let wrong = |error: csv::Error| {
        RelayError::usage(
            format!("{} can't be read as CSV: {error}", file.display()),
            "Save it as CSV with commas, in UTF-8.",
        )
    };
    let reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_path(file);
    let mut records = reader.map_err(wrong)?.into_records();
    let known = "SELECT count(*) FROM sqlite_schema WHERE name = ?1 AND type IN ('table', 'view')";
    let known = client.query(known, vec![SqlValue::Text(table.to_owned())]).await?;
    if known.rows.first().and_then(|row| row.first()) == Some(&SqlValue::Integer(0)) {
        let Some(names) = records.next() else { return Ok(0) };
        let names = names.map_err(wrong)?;
        let columns = names.iter().map(|name| format!("{} TEXT", quoted(name)));
        let columns = columns.collect::<Vec<_>>().join(", ");
        client.script(&format!("CREATE TABLE {} ({columns})", quoted(table))).await?;
    }
    let (mut batch, mut bytes, mut count) = (Vec::new(), 0, 0);
    for record in records {
        let record = record.map_err(wrong)?;
        let marks = vec!["?"; record.len()].join(",");
        let sql = format!("INSERT INTO {} VALUES ({marks})", quoted(table));
        bytes += sql.len() + record.as_slice().len() + STATEMENT_BYTES + 9 * record.len();
        let params = record.iter().map(|text| SqlValue::Text(text.to_owned())).collect();
        batch.push(SqlStatement { sql, params });
        if batch.len() >= BATCH_ROWS || bytes >= BATCH_BYTES {
            bytes = 0;
            count += client.batch(std::mem::take(&mut batch)).await?;
        }
    }
    if !batch.is_empty() {
        count += client.batch(batch).await?;
    }
    Ok(count)
}
