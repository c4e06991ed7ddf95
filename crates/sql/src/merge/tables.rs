//! What tables a state has, and how each can be merged.

use std::collections::BTreeMap;

use rusqlite::Connection;

use crate::{database::quoted, error::SqlError};

/// How the rows of a table are told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// By a primary key.
    Key,
    /// By a rowid that nobody sees.
    Rowid,
    /// Not at all: the table is taken whole, with others of its group.
    Whole {
        /// The virtual table that it belongs to, or itself.
        group: String,
    },
    /// It follows from others.
    Index,
}

/// A table of one state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) sql: String,
    pub(super) kind: Kind,
    /// Columns that hold something, in their order.
    pub(super) columns: Vec<String>,
    /// Those of the primary key, in the same order.
    pub(super) keys: Vec<String>,
}

impl Table {
    /// Its columns as SQL lists them.
    pub(super) fn listed(&self) -> String {
        let columns: Vec<String> = self.columns.iter().map(|column| quoted(column)).collect();
        columns.join(", ")
    }

    /// What finds one row, with a parameter for each part of its key.
    pub(super) fn found_by(&self) -> String {
        if self.kind == Kind::Rowid {
            return "_rowid_ = ?1".to_owned();
        }
        let part = |(at, key): (usize, &String)| format!("{} IS ?{}", quoted(key), at + 1);
        self.keys.iter().enumerate().map(part).collect::<Vec<_>>().join(" AND ")
    }
}

/// A full-text index, which can be built from what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fts {
    pub(super) name: String,
    /// What says that it has changed: the table of its content, or its index.
    pub(super) changes_with: String,
}

/// The tables of one state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tables {
    pub(super) all: BTreeMap<String, Table>,
    pub(super) fts: Vec<Fts>,
    /// Everything that the schema says, to compare it.
    pub(super) schema: Vec<(String, String, String)>,
}

impl Tables {
    /// Those of the attached database `of`.
    pub(super) fn of(connection: &Connection, of: &str) -> Result<Self, SqlError> {
        let mut tables = Self { schema: schema(connection, of)?, ..Self::default() };
        let sql_of: BTreeMap<&str, &str> =
            tables.schema.iter().map(|(_, name, sql)| (name.as_str(), sql.as_str())).collect();
        let listed = list(connection, of)?;
        let mut virtuals: Vec<(&str, Module)> = listed
            .iter()
            .filter(|row| row.kind == "virtual")
            .map(|row| (row.name.as_str(), module(sql_of.get(row.name.as_str()).unwrap_or(&""))))
            .collect();
        // The longest name first: a shadow's name begins with that of its table.
        virtuals.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        let mut all = BTreeMap::new();
        for row in listed.iter().filter(|row| row.kind == "table" || row.kind == "shadow") {
            let sql = sql_of.get(row.name.as_str()).unwrap_or(&"").to_string();
            let owner = virtuals.iter().find(|(name, _)| {
                row.kind == "shadow" && row.name.starts_with(&format!("{name}_"))
            });
            all.insert(row.name.clone(), table(connection, of, row, sql, owner)?);
        }
        for (name, module) in virtuals {
            let content = format!("{name}_content");
            let changes_with = match module {
                Module::Fts if all.contains_key(&content) => content,
                Module::Fts => format!("{name}_data"),
                Module::Other => continue,
            };
            tables.fts.push(Fts { name: name.to_owned(), changes_with });
        }
        tables.all = all;
        Ok(tables)
    }
}

/// What makes a virtual table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Module {
    /// A full-text index that can be built anew.
    Fts,
    /// Anything else.
    Other,
}

/// The module that a virtual table is made with.
fn module(sql: &str) -> Module {
    let text: String = sql.to_lowercase().split_whitespace().collect();
    let is_fts = text.contains("usingfts5(");
    // Without content there is nothing to build it from.
    let is_contentless = text.contains("content=''") || text.contains("content=\"\"");
    if is_fts && !is_contentless { Module::Fts } else { Module::Other }
}

struct Listed {
    name: String,
    kind: String,
    without_rowid: bool,
}

fn list(connection: &Connection, of: &str) -> Result<Vec<Listed>, SqlError> {
    let sql = "SELECT name, type, wr FROM pragma_table_list WHERE schema = ?1 \
               AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name";
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map([of], |row| {
        Ok(Listed { name: row.get(0)?, kind: row.get(1)?, without_rowid: row.get(2)? })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn schema(connection: &Connection, of: &str) -> Result<Vec<(String, String, String)>, SqlError> {
    let sql = format!(
        "SELECT type, name, coalesce(sql, '') FROM {}.sqlite_schema \
         WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY type, name",
        quoted(of)
    );
    let mut statement = connection.prepare(&sql)?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn table(
    connection: &Connection,
    of: &str,
    row: &Listed,
    sql: String,
    owner: Option<&(&str, Module)>,
) -> Result<Table, SqlError> {
    // `table_info` leaves out what is computed.
    let sql_info = "SELECT name, pk, upper(type) FROM pragma_table_info(?1, ?2) ORDER BY cid";
    let mut statement = connection.prepare(sql_info)?;
    let infos = statement.query_map([&row.name, of], |info| {
        Ok((info.get::<_, String>(0)?, info.get::<_, i64>(1)? > 0, info.get::<_, String>(2)?))
    })?;
    let infos: Vec<(String, bool, String)> = infos.collect::<rusqlite::Result<_>>()?;
    let keys: Vec<String> = infos.iter().filter(|info| info.1).map(|info| info.0.clone()).collect();
    let is_integer = keys.len() == 1 && infos.iter().any(|info| info.1 && info.2 == "INTEGER");
    let columns = infos.into_iter().map(|info| info.0).collect();
    let mut table = Table { name: row.name.clone(), sql, kind: Kind::Key, columns, keys };
    table.kind = match owner {
        Some((name, Module::Fts)) if row.name == format!("{name}_content") => Kind::Key,
        Some((_, Module::Fts)) => Kind::Index,
        Some((name, Module::Other)) => Kind::Whole { group: (*name).to_owned() },
        None if table.keys.is_empty() => Kind::Rowid,
        None if !row.without_rowid && !is_integer && has_nulls(connection, of, &table)? => {
            Kind::Whole { group: row.name.clone() }
        }
        None => Kind::Key,
    };
    Ok(table)
}

/// Whether a row has no whole key. SQLite's sessions do not see such rows.
fn has_nulls(connection: &Connection, of: &str, table: &Table) -> Result<bool, SqlError> {
    let null: Vec<String> =
        table.keys.iter().map(|key| format!("{} IS NULL", quoted(key))).collect();
    let sql = format!(
        "SELECT EXISTS (SELECT 1 FROM {}.{} WHERE {})",
        quoted(of),
        quoted(&table.name),
        null.join(" OR ")
    );
    Ok(connection.query_row(&sql, [], |row| row.get(0))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(sql: &str) -> Tables {
        let connection = Connection::open_in_memory().expect("a database");
        connection.execute_batch(sql).expect("tables");
        Tables::of(&connection, "main").expect("tables")
    }

    #[test]
    fn each_table_is_merged_by_what_tells_its_rows_apart() {
        let tables = tables(
            "CREATE TABLE keyed (id INTEGER PRIMARY KEY, a, b AS (a || 'x'));
             CREATE TABLE bare (a); CREATE TABLE words (w TEXT PRIMARY KEY) WITHOUT ROWID;
             CREATE TABLE nulls (w TEXT PRIMARY KEY); INSERT INTO nulls VALUES (NULL);
             CREATE TABLE full (w TEXT PRIMARY KEY); INSERT INTO full VALUES ('a');
             CREATE VIRTUAL TABLE ft USING fts5(body); CREATE VIRTUAL TABLE ft_x USING fts5 (body);
             CREATE VIRTUAL TABLE bag USING fts5(body, content = '');
             CREATE VIRTUAL TABLE boxes USING rtree(id, x0, x1);",
        );
        let kind = |name: &str| tables.all[name].kind.clone();
        let whole = |group: &str| Kind::Whole { group: group.to_owned() };
        assert_eq!(
            (kind("keyed"), kind("bare"), kind("words")),
            (Kind::Key, Kind::Rowid, Kind::Key)
        );
        assert_eq!((kind("nulls"), kind("full")), (whole("nulls"), Kind::Key));
        assert_eq!((kind("ft_content"), kind("ft_data")), (Kind::Key, Kind::Index));
        assert_eq!((kind("ft_x_content"), kind("ft_x_docsize")), (Kind::Key, Kind::Index));
        assert_eq!((kind("bag_data"), kind("boxes_node")), (whole("bag"), whole("boxes")));
        assert_eq!(tables.all["keyed"].columns, ["id", "a"]);
        let fts: Vec<&str> = tables.fts.iter().map(|fts| fts.name.as_str()).collect();
        assert_eq!(fts, ["ft_x", "ft"]);
    }
}
