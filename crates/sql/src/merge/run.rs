//! The merge itself, in a connection of its own.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use craftec_core::database::PAGE_BYTES;
use rusqlite::{
    Connection,
    config::DbConfig,
    ffi::{SQLITE_CONSTRAINT, SQLITE_FULL},
    params_from_iter,
    types::Value,
};

use super::{
    ConflictKind, Made, Merged,
    ffi::{Changeset, Clash, Op, Verdict, Why},
    tables::{Kind, Table, Tables},
};
use crate::{
    database::{Scratch, Watch, quoted},
    error::SqlError,
    vfs::Overlay,
};

/// Names of what is attached: the state whose changes are made, the one before both, and empty tables
/// for what was not there before.
const SOURCE: &str = "source";
const BASE: &str = "base";
const BLANK: &str = "blank";
/// Longest set of changes: it is held in memory, more than once.
const CHANGES_BYTES: usize = 128 << 20;

/// Three states of a database.
pub(crate) struct Sides {
    /// The one before both.
    pub(crate) base: Overlay,
    /// Whose changes are made.
    pub(crate) source: Overlay,
    /// In which they are made.
    pub(crate) target: Overlay,
}

/// Makes what the source changed in the target. `source_wins` where both changed the same; with none,
/// nothing is made then. Also the pages, if it was made. `watch` is what ends it early.
pub(crate) fn run(
    sides: Sides,
    source_wins: Option<bool>,
    watch: &Watch,
) -> Result<(Merged, Option<Made>), SqlError> {
    let room = sides.target.room();
    let target = Rc::new(RefCell::new(sides.target));
    let scratch = Scratch::open(target.clone(), watch)?;
    let _source = scratch.attach(SOURCE, sides.source)?;
    let _base = scratch.attach(BASE, sides.base)?;
    let mut merge = Merge {
        connection: scratch.connection(),
        source_wins,
        merged: Merged::default(),
        append: Vec::new(),
        put: Vec::new(),
    };
    let made = merge.run().map_err(|error| match error {
        // Its disk is the room that the target has for pages.
        SqlError::Sqlite { code, .. } if code & 0xff == SQLITE_FULL => {
            SqlError::LargeMerge { limit: room * PAGE_BYTES }
        }
        error => error,
    })?;
    let Merge { mut merged, .. } = merge;
    merged.made = made;
    if !made {
        return Ok((merged, None));
    }
    let committed = target.borrow_mut().take_committed();
    Ok((merged, committed.map(|(written, pages)| Made { written, pages })))
}

struct Merge<'c> {
    connection: &'c Connection,
    source_wins: Option<bool>,
    merged: Merged,
    /// Rows to be added under another rowid, and rows to be put in the place of whatever is in the way.
    append: Vec<(String, Vec<Value>)>,
    put: Vec<(String, Vec<Value>)>,
}

impl Merge<'_> {
    /// Whether it was made.
    fn run(&mut self) -> Result<bool, SqlError> {
        // What triggers did is among the changes.
        self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
        self.execute("PRAGMA trusted_schema = OFF; ATTACH ':memory:' AS blank;")?;
        let source = Tables::of(self.connection, SOURCE)?;
        let base = Tables::of(self.connection, BASE)?;
        let target = Tables::of(self.connection, "main")?;
        let broken = self.broken()?;
        self.execute("BEGIN IMMEDIATE")?;
        self.rows(&source, &base, &target)?;
        self.wholes(&source, &base, &target)?;
        self.sequences()?;
        self.indexes(&source, &base)?;
        let mut may_be = self.merged.conflicting == 0 || self.source_wins.is_some();
        // Sessions forget what they deferred: each reference is looked at.
        for (table, rowid) in self.broken()?.difference(&broken) {
            let key = rowid.map(Value::Integer).into_iter().collect();
            self.merged.note(table, ConflictKind::Reference, key);
            may_be = false;
        }
        self.execute(if may_be { "COMMIT" } else { "ROLLBACK" })?;
        Ok(may_be)
    }

    fn execute(&self, sql: &str) -> Result<(), SqlError> {
        Ok(self.connection.execute_batch(sql)?)
    }

    /// Everything that has rows which can be told apart.
    fn rows(&mut self, source: &Tables, base: &Tables, target: &Tables) -> Result<(), SqlError> {
        let mut compared = Vec::new();
        for table in source.all.values() {
            let whole = |tables: &Tables| {
                let other = tables.all.get(&table.name);
                other.is_some_and(|other| matches!(other.kind, Kind::Whole { .. }))
            };
            if !matches!(table.kind, Kind::Key | Kind::Rowid) || whole(base) || whole(target) {
                continue;
            }
            let before = base.all.get(&table.name).filter(|before| before.sql == table.sql);
            let from = if before.is_some() { BASE } else { self.blank(table)? };
            if target.all.get(&table.name).is_none_or(|there| there.sql != table.sql) {
                self.unchanged(table, from)?;
                continue;
            }
            compared.push((table.name.clone(), from));
        }
        let changes = Changeset::between(self.connection, SOURCE, &compared)?;
        if changes.len() > CHANGES_BYTES {
            return Err(SqlError::LargeMerge { limit: CHANGES_BYTES });
        }
        let connection = self.connection;
        changes.apply(connection, |clash| self.decide(clash, &source.all))?;
        // Rows that come below may be what others refer to.
        self.execute("PRAGMA defer_foreign_keys = ON")?;
        for (name, key) in std::mem::take(&mut self.put) {
            self.copy("INSERT OR REPLACE", &source.all, &name, &key)?;
        }
        for (name, key) in std::mem::take(&mut self.append) {
            let is_new = compared.iter().any(|(table, from)| *table == name && *from == BLANK);
            if is_new && self.has_as_many(&source.all, &name, &key)? {
                continue;
            }
            if !self.copy("INSERT", &source.all, &name, &key)? {
                self.merged.note(&name, ConflictKind::Constraint, key.clone());
                if self.source_wins == Some(true) {
                    self.copy("INSERT OR REPLACE", &source.all, &name, &key)?;
                }
            }
        }
        Ok(())
    }

    /// An empty table like this one.
    fn blank(&self, table: &Table) -> Result<&'static str, SqlError> {
        let sql = table.sql.strip_prefix("CREATE TABLE ").ok_or_else(|| differs(&table.name))?;
        self.execute(&format!("CREATE TABLE {BLANK}.{sql}"))?;
        Ok(BLANK)
    }

    /// A table that is another in the target must be as it was, or there is nowhere to make its changes.
    fn unchanged(&self, table: &Table, from: &'static str) -> Result<(), SqlError> {
        let changes = Changeset::between(self.connection, SOURCE, &[(table.name.clone(), from)])?;
        if changes.is_empty() { Ok(()) } else { Err(differs(&table.name)) }
    }

    fn decide(&mut self, clash: Clash, tables: &BTreeMap<String, Table>) -> Verdict {
        let Clash { table, op, why, key, settled } = clash;
        let is_bare = tables.get(&table).is_some_and(|table| table.kind == Kind::Rowid);
        if why == Why::Exists && is_bare {
            // Equal rows that both added are two.
            self.append.push((table, key));
            return Verdict::Omit;
        }
        if let Some(verdict) = settled {
            return verdict;
        }
        let kind = match (why, op) {
            (Why::Exists, _) => ConflictKind::Added,
            (Why::Constraint, _) => ConflictKind::Constraint,
            (Why::Data, Op::Insert | Op::Update) => ConflictKind::Changed,
            (Why::Data, Op::Delete) | (Why::NotFound, _) => ConflictKind::Deleted,
        };
        self.merged.note(&table, kind, key.clone());
        if self.source_wins != Some(true) {
            return Verdict::Omit;
        }
        match why {
            Why::Data | Why::Exists => Verdict::Replace,
            Why::NotFound | Why::Constraint => {
                if op != Op::Delete {
                    self.put.push((table, key));
                }
                Verdict::Omit
            }
        }
    }

    /// Copies one row of the source; `false` if a constraint is in its way.
    fn copy(
        &self,
        how: &str,
        tables: &BTreeMap<String, Table>,
        name: &str,
        key: &[Value],
    ) -> Result<bool, SqlError> {
        let Some(table) = tables.get(name) else { return Ok(false) };
        let (columns, quoted) = (table.listed(), quoted(name));
        let sql = format!(
            "{how} INTO main.{quoted} ({columns}) SELECT {columns} FROM {SOURCE}.{quoted} WHERE {}",
            table.found_by()
        );
        match self.connection.execute(&sql, params_from_iter(key)) {
            Ok(_) => Ok(true),
            Err(error) => match SqlError::from(error) {
                SqlError::Sqlite { code, .. } if code & 0xff == SQLITE_CONSTRAINT => Ok(false),
                error => Err(error),
            },
        }
    }

    /// Whether the target has the row with this rowid of the source as often as the source. With nothing
    /// before both it can't be said which of equal rows are one.
    fn has_as_many(
        &self,
        tables: &BTreeMap<String, Table>,
        name: &str,
        key: &[Value],
    ) -> Result<bool, SqlError> {
        let Some(table) = tables.get(name) else { return Ok(false) };
        let (columns, quoted) = (table.listed(), quoted(name));
        let wanted =
            format!("(SELECT {columns} FROM {SOURCE}.{quoted} WHERE {})", table.found_by());
        let same: Vec<String> = table
            .columns
            .iter()
            .map(|column| crate::database::quoted(column))
            .map(|column| format!("a.{column} IS b.{column}"))
            .collect();
        let count = |of: &str| {
            let same = same.join(" AND ");
            format!("(SELECT count(*) FROM {of}.{quoted} AS a, {wanted} AS b WHERE {same})")
        };
        let sql = format!("SELECT {} >= {}", count("main"), count(SOURCE));
        Ok(self.connection.query_row(&sql, params_from_iter(key), |row| row.get(0))?)
    }

    /// Tables that are taken whole, with those that belong to them.
    fn wholes(&mut self, source: &Tables, base: &Tables, target: &Tables) -> Result<(), SqlError> {
        let mut groups: BTreeMap<&str, Vec<&Table>> = BTreeMap::new();
        for table in source.all.values() {
            let one_of = |tables: &Tables| tables.all.get(&table.name).map(|it| it.kind.clone());
            let kinds = [Some(table.kind.clone()), one_of(base), one_of(target)];
            if kinds.iter().any(|kind| matches!(kind, Some(Kind::Whole { .. }))) {
                let group = match &table.kind {
                    Kind::Whole { group } => group,
                    _ => &table.name,
                };
                groups.entry(group).or_default().push(table);
            }
        }
        for (group, tables) in groups {
            if !self.any_differs(&tables, SOURCE, BASE, base)? {
                continue;
            }
            if let Some(table) = tables.iter().find(|table| {
                target.all.get(&table.name).is_none_or(|there| there.sql != table.sql)
            }) {
                return Err(differs(&table.name));
            }
            if self.any_differs(&tables, "main", BASE, base)? {
                if !self.any_differs(&tables, SOURCE, "main", target)? {
                    continue;
                }
                self.merged.note(group, ConflictKind::Table, Vec::new());
                if self.source_wins != Some(true) {
                    continue;
                }
            }
            for table in tables {
                let (columns, name) = (table.listed(), quoted(&table.name));
                self.execute(&format!(
                    "DELETE FROM main.{name}; INSERT INTO main.{name} ({columns}) \
                     SELECT {columns} FROM {SOURCE}.{name};"
                ))?;
            }
        }
        Ok(())
    }

    fn any_differs(
        &self,
        tables: &[&Table],
        one: &str,
        other: &str,
        there: &Tables,
    ) -> Result<bool, SqlError> {
        for table in tables {
            if self.differs(table, one, other, there)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a table has other rows in one state than in the other.
    fn differs(
        &self,
        table: &Table,
        one: &str,
        other: &str,
        there: &Tables,
    ) -> Result<bool, SqlError> {
        let (name, columns) = (quoted(&table.name), table.listed());
        let count = |of: &str| format!("(SELECT count(*) FROM {of}.{name})");
        let sql = match there.all.get(&table.name).is_some_and(|it| it.sql == table.sql) {
            true => format!(
                "SELECT {} <> {} OR EXISTS (SELECT {columns} FROM {one}.{name} \
                 EXCEPT SELECT {columns} FROM {other}.{name})",
                count(one),
                count(other)
            ),
            false => format!("SELECT {} > 0", count(one)),
        };
        Ok(self.connection.query_row(&sql, [], |row| row.get(0))?)
    }

    /// Numbers that AUTOINCREMENT gave on either side are not given again.
    fn sequences(&self) -> Result<(), SqlError> {
        let there = |of: &str| -> Result<bool, SqlError> {
            let sql = format!(
                "SELECT EXISTS (SELECT 1 FROM {of}.sqlite_schema WHERE name = 'sqlite_sequence')"
            );
            Ok(self.connection.query_row(&sql, [], |row| row.get(0))?)
        };
        if !there(SOURCE)? || !there("main")? {
            return Ok(());
        }
        self.execute(
            "UPDATE main.sqlite_sequence SET seq = max(seq, coalesce((SELECT s.seq \
               FROM source.sqlite_sequence AS s WHERE s.name = sqlite_sequence.name), 0));
             INSERT INTO main.sqlite_sequence (name, seq) SELECT name, seq \
               FROM source.sqlite_sequence WHERE name NOT IN (SELECT name FROM main.sqlite_sequence)
               AND name IN (SELECT name FROM main.sqlite_schema);",
        )
    }

    /// Builds full-text indexes anew whose content the source changed.
    fn indexes(&self, source: &Tables, base: &Tables) -> Result<(), SqlError> {
        for fts in &source.fts {
            let Some(table) = source.all.get(&fts.changes_with) else { continue };
            if self.differs(table, SOURCE, BASE, base)? {
                let name = quoted(&fts.name);
                self.execute(&format!("INSERT INTO main.{name} ({name}) VALUES ('rebuild')"))?;
            }
        }
        Ok(())
    }

    /// Rows that refer to what is not there: their tables, and their rowids where they have one.
    fn broken(&self) -> Result<BTreeSet<(String, Option<i64>)>, SqlError> {
        let mut statement = self.connection.prepare("PRAGMA main.foreign_key_check")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

fn differs(table: &str) -> SqlError {
    SqlError::Unlike { table: table.to_owned() }
}
