//! The shell: statements to their semicolons, dot commands to the end of their line. The same for a
//! script as for a person; a script ends at the first error.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use craftec_api::{MergeStrategy, Retention, SqlValue};
use craftec_core::Cid;
use rustyline::{DefaultEditor, error::ReadlineError};
use serde_json::{Value, json};

use super::{
    client::{Client, Readers, Retained},
    files,
    print::{self, Mode},
    split,
};
use crate::{
    commands::Signals,
    console::{Console, printable},
    error::{RelayError, Result},
};

/// What `.help` says.
const HELP: &str = "\
.tables                 names of tables and views
.schema [TABLE]         how they were made
.mode MODE              how rows are shown: table, csv, json, list, line
.dump                   everything as SQL
.import FILE.csv TABLE  rows of a CSV file into a table
.import FILE.sqlite     an SQLite file, in the place of what is here
.export FILE.sqlite     everything as an ordinary SQLite file
.snapshot               keeps the state as it is, under a root CID
.publish NAME           the same, and points craftobj://<your DID>/NAME to it
.restore CID            goes back to a snapshot
.branches               what can be merged: `published` where another device moved the name on
.merge BRANCH [WINNER]  merges one, or craftobj://me/NAME; `ours` or `theirs` wins where both
                        changed the same, without either such a merge is not made
.forget BRANCH          keeps a branch no longer
.retain LAST [DAYS]     lets snapshots go but the LAST newest, and those of the last DAYS days;
                        `.retain all` keeps them, `.retain` says what holds
.encrypt [DID...]       encrypts the database, or anew: of its readers only these go on reading
.share CARD             shares it with another identity: its card, or <DID>/NAME that it published
.readers                with whom it is shared
.quit                   ends
";
/// File of the shell's history, in the data folder.
const HISTORY: &str = "sql_history";

/// A database and what was typed for it so far.
pub(super) struct Shell<'a> {
    client: Client<'a>,
    console: Console,
    mode: Mode,
    /// What is not a whole statement yet.
    open: String,
    /// Statements from BEGIN on: they are sent with their COMMIT.
    transaction: Option<String>,
    /// With `--json`: all results.
    results: Vec<Value>,
    /// Snapshots that were taken.
    taken: Vec<Cid>,
}

/// Whether to go on.
#[derive(PartialEq)]
pub(super) enum Then {
    Go,
    Quit,
}

/// The lines that a person types, whichever session they go to.
pub(super) struct Typing {
    editor: Option<DefaultEditor>,
    history: PathBuf,
}

impl Typing {
    pub(super) fn new(data: &Path) -> Result<Self> {
        let mut editor = DefaultEditor::new().map_err(unreadable)?;
        let history = data.join(HISTORY);
        // There is none the first time.
        drop(editor.load_history(&history));
        Ok(Self { editor: Some(editor), history })
    }

    /// Reads lines until the end, or until Ctrl-C is to end what runs.
    pub(super) async fn lines_for(&mut self, shell: &mut Shell<'_>) -> Result<Then> {
        let then = self.lines(shell).await;
        if let Some(editor) = &mut self.editor {
            drop(editor.save_history(&self.history));
        }
        then
    }

    async fn lines(&mut self, shell: &mut Shell<'_>) -> Result<Then> {
        loop {
            let (Some(mut editor), prompt) = (self.editor.take(), shell.prompt()) else {
                return Err(RelayError::Ended);
            };
            // Lines are read on another thread: the node's session goes on meanwhile.
            let asked = tokio::task::spawn_blocking(move || {
                let line = editor.readline(prompt);
                (editor, line)
            });
            let (editor, line) = asked.await.map_err(|_| RelayError::Ended)?;
            let editor = self.editor.insert(editor);
            let line = match line {
                Ok(line) => line,
                // What was begun is forgotten.
                Err(ReadlineError::Interrupted) if !shell.open.is_empty() => {
                    shell.open.clear();
                    continue;
                }
                Err(ReadlineError::Interrupted | ReadlineError::Eof) => return Ok(Then::Quit),
                Err(error) => return Err(unreadable(error)),
            };
            drop(editor.add_history_entry(line.as_str()));
            // From now on: one that was typed before is not for this. The editor is there already, which
            // takes the signal for itself when it is made, and whoever watches last has it.
            let mut signals = Signals::watch();
            let ran = tokio::select! {
                ran = shell.line(&line) => ran,
                () = signals.typed() => return Ok(Then::Go),
            };
            match ran {
                Ok(Then::Go) => {}
                Ok(Then::Quit) => return Ok(Then::Quit),
                Err(error) => {
                    shell.open.clear();
                    shell.console.failure(&error);
                }
            }
        }
    }
}

impl<'a> Shell<'a> {
    pub(super) fn new(client: Client<'a>, console: &Console) -> Self {
        Self {
            client,
            console: *console,
            mode: Mode::default(),
            open: String::new(),
            transaction: None,
            results: Vec::new(),
            taken: Vec::new(),
        }
    }

    /// Runs a whole text; the last statement needs no semicolon.
    pub(super) async fn script(&mut self, text: &str) -> Result<()> {
        for line in text.lines() {
            if self.line(line).await? == Then::Quit {
                return Ok(());
            }
        }
        let rest = std::mem::take(&mut self.open);
        if !split::is_empty(&rest) {
            self.statement(&rest).await?;
        }
        if self.transaction.take().is_some() {
            return Err(RelayError::usage(
                "the script ends inside a transaction; nothing of that was done",
                "End it with COMMIT.",
            ));
        }
        Ok(())
    }

    /// What a person is told first.
    pub(super) fn greet(&self, database: &str) {
        let kind = if self.client.opened.writable { "" } else { ", read only" };
        self.say(&format!("{}{kind}. `.help` says what else there is.\n", printable(database)));
    }

    /// How rows are shown.
    pub(super) fn mode(&self) -> Mode {
        self.mode
    }

    /// The same with rows shown in another way.
    pub(super) fn in_mode(self, mode: Mode) -> Self {
        Self { mode, ..self }
    }

    fn prompt(&self) -> &'static str {
        match (self.open.is_empty(), &self.transaction) {
            (false, _) => "   ...> ",
            (true, Some(_)) => "    tx> ",
            (true, None) => "   sql> ",
        }
    }

    /// Prints what is left to print; the snapshots that were taken.
    pub(super) fn end(self, well: bool) -> Vec<Cid> {
        if well && self.console.is_json() {
            self.console.result(&json!({ "results": self.results }), String::new);
        }
        self.taken
    }

    async fn line(&mut self, line: &str) -> Result<Then> {
        if split::is_empty(&self.open) && line.starts_with('.') {
            self.open.clear();
            return self.command(line).await;
        }
        self.open.push_str(line);
        self.open.push('\n');
        while let Some(length) = split::first(&self.open) {
            let rest = self.open.split_off(length);
            let statement = std::mem::replace(&mut self.open, rest);
            self.statement(&statement).await?;
        }
        if split::is_empty(&self.open) {
            self.open.clear();
        }
        Ok(Then::Go)
    }

    async fn statement(&mut self, sql: &str) -> Result<()> {
        let verb = split::verb(sql);
        if self.transaction.is_some() || verb == "BEGIN" {
            let text = self.transaction.get_or_insert_default();
            text.push_str(sql);
            if !matches!(verb.as_str(), "COMMIT" | "END" | "ROLLBACK") {
                return Ok(());
            }
            let whole = self.transaction.take().unwrap_or_default();
            let changes = self.client.script(&whole).await?;
            self.results.push(json!({ "changes": changes }));
            return Ok(());
        }
        if split::is_empty(sql) {
            return Ok(());
        }
        let ran = self.client.query(sql, Vec::new()).await?;
        if self.console.is_json() {
            let rows: Vec<Vec<Value>> =
                ran.rows.iter().map(|row| row.iter().map(print::value).collect()).collect();
            let (columns, changes, last_rowid) = (ran.columns, ran.changes, ran.last_rowid);
            self.results.push(json!({
                "columns": columns, "rows": rows, "changes": changes, "last_rowid": last_rowid,
            }));
        } else {
            self.say(&self.mode.text(&ran.columns, &ran.rows));
        }
        Ok(())
    }

    async fn command(&mut self, line: &str) -> Result<Then> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [".quit" | ".exit"] => return Ok(Then::Quit),
            [".help"] => self.say(HELP),
            [".mode", mode] => match Mode::named(mode) {
                Some(mode) => self.mode = mode,
                None => return Err(wrong("there is no such mode")),
            },
            [".tables"] => {
                let sql = "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') \
                           AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name";
                let names = self.client.texts(sql, Vec::new()).await?;
                self.tell(&json!({ "tables": names }), &lines(&names));
            }
            [".schema", table @ ..] if table.len() < 2 => {
                let sql = "SELECT sql || ';' FROM sqlite_schema WHERE sql NOT NULL \
                           AND (?1 IS NULL OR tbl_name = ?1) ORDER BY rowid";
                let of = table.first().map_or(SqlValue::Null, |t| SqlValue::Text((*t).to_owned()));
                let found = self.client.texts(sql, vec![of]).await?;
                self.tell(&json!({ "schema": found }), &lines(&found));
            }
            [".dump"] => self.dump().await?,
            [".import", file, table] => {
                let rows = files::import(&self.client, Path::new(file), table).await?;
                self.tell(&json!({ "imported": rows }), &format!("{rows} rows\n"));
            }
            [".import", file] => {
                let bytes = self.client.import(Path::new(file)).await?;
                self.tell(
                    &json!({ "imported": file, "bytes": bytes }),
                    &format!("{bytes} bytes\n"),
                );
            }
            [".export", file] => {
                let path = PathBuf::from(file);
                let bytes = self.client.export(&path).await?;
                self.tell(
                    &json!({ "exported": file, "bytes": bytes }),
                    &format!("{bytes} bytes\n"),
                );
            }
            [".snapshot"] => self.snapshot(None).await?,
            [".publish", name] => self.snapshot(Some((*name).to_owned())).await?,
            [".restore", root] => {
                let root = super::super::cid(root)?;
                self.client.restore(root).await?;
                self.tell(&json!({ "restored": root }), &format!("As it was in {root}\n"));
            }
            words => self.states(words, line).await?,
        }
        Ok(Then::Go)
    }

    /// What concerns states of the database, and who has them.
    async fn states(&mut self, words: &[&str], line: &str) -> Result<()> {
        match words {
            [".branches"] => {
                let rows = self.client.branches().await?;
                let text = print::branches(&rows);
                self.tell(&json!({ "branches": rows }), &text);
            }
            [".merge", branch] => self.merge(branch, MergeStrategy::Stop).await?,
            [".merge", branch, "ours"] => self.merge(branch, MergeStrategy::Ours).await?,
            [".merge", branch, "theirs"] => self.merge(branch, MergeStrategy::Theirs).await?,
            [".forget", branch] => {
                self.client.forget(branch).await?;
                self.tell(&json!({ "forgotten": branch }), "");
            }
            [".retain"] => self.tell_retained(&self.client.retention().await?),
            [".retain", rule @ ..] => {
                let rule = retention(rule).ok_or_else(|| wrong("give a number of snapshots"))?;
                self.tell_retained(&self.client.retain(rule).await?);
            }
            [".encrypt", readers @ ..] => {
                let readers = readers.iter().map(|did| (*did).to_owned()).collect();
                self.tell_readers(&self.client.encrypt(readers).await?);
            }
            [".share", with] => self.tell_readers(&self.client.share(with).await?),
            [".readers"] => self.tell_readers(&self.client.readers().await?),
            _ => return Err(wrong(&format!("`{}` is no command", printable(line.trim())))),
        }
        Ok(())
    }

    async fn dump(&mut self) -> Result<()> {
        let mut dumped = String::new();
        let is_json = self.console.is_json();
        let out = |text: &str| {
            if is_json {
                dumped.push_str(text);
            } else {
                write_out(text);
            }
        };
        files::dump(&self.client, out).await?;
        if is_json {
            self.results.push(json!({ "sql": dumped }));
        }
        Ok(())
    }

    async fn snapshot(&mut self, name: Option<String>) -> Result<()> {
        let taken = self.client.snapshot(name).await?;
        self.taken.push(taken.cid);
        let text = match &taken.uri {
            Some(uri) if taken.waits => {
                let when = "published as soon as another node is there to be asked";
                format!("{}\n{uri}, {when}\n", taken.cid)
            }
            Some(uri) => format!("{}\n{uri}\n", taken.cid),
            None => format!("{}\n", taken.cid),
        };
        let value = serde_json::to_value(&taken).unwrap_or_default();
        self.tell(&value, &text);
        Ok(())
    }

    async fn merge(&mut self, branch: &str, strategy: MergeStrategy) -> Result<()> {
        let merged = self.client.merge(branch, strategy).await?;
        if merged.made || self.console.is_json() {
            let value = serde_json::to_value(&merged).unwrap_or_default();
            self.tell(&value, &print::merged(&merged));
        }
        if merged.made {
            return Ok(());
        }
        self.say(&print::merged(&merged));
        let noun = if merged.conflicting == 1 { "conflict" } else { "conflicts" };
        let message = format!("{} {noun}: nothing was merged", merged.conflicting);
        let hint = "Choose who wins: `.merge BRANCH ours` or `.merge BRANCH theirs`. A row that refers \
                    to a deleted one must be changed first.";
        Err(RelayError::usage(&message, hint))
    }

    fn tell_retained(&mut self, now: &Retained) {
        let mut text = match now.rule {
            None => "Every snapshot stays.\n".to_owned(),
            Some(Retention { last, days: 0 }) => format!("The newest {last} snapshots stay.\n"),
            Some(Retention { last, days }) => {
                format!("The newest {last} snapshots stay, and those of the last {days} days.\n")
            }
        };
        if now.dropped > 0 {
            text.push_str(&format!("{} let go\n", now.dropped));
        }
        self.tell(&serde_json::to_value(now).unwrap_or_default(), &text);
    }

    fn tell_readers(&mut self, now: &Readers) {
        let text = match (now.encrypted, now.readers.as_slice()) {
            (false, _) => "Not encrypted: whoever is given its address reads it.\n".to_owned(),
            (true, []) => "Encrypted: only you read it.\n".to_owned(),
            (true, readers) => {
                format!(
                    "Encrypted. From the next publication on it is read by you and\n{}",
                    lines(readers)
                )
            }
        };
        self.tell(&serde_json::to_value(now).unwrap_or_default(), &text);
    }

    /// A result: JSON is gathered, text goes out.
    fn tell(&mut self, value: &Value, text: &str) {
        if self.console.is_json() {
            self.results.push(value.clone());
        } else {
            self.say(text);
        }
    }

    fn say(&self, text: &str) {
        if !self.console.is_json() {
            write_out(text);
        }
    }
}

/// What the words of `.retain` say; none if they say nothing.
fn retention(words: &[&str]) -> Option<Option<Retention>> {
    let number = |word: &str| word.parse::<u32>().ok();
    match words {
        ["all"] => Some(None),
        [last] => Some(Some(Retention { last: number(last)?, days: 0 })),
        [last, days] => Some(Some(Retention { last: number(last)?, days: number(days)? })),
        _ => None,
    }
}

fn write_out(text: &str) {
    // A closed pipe (`| head`) is the reader's choice, not a failure.
    drop(io::stdout().lock().write_all(text.as_bytes()));
    drop(io::stdout().lock().flush());
}

fn lines(texts: &[String]) -> String {
    texts.iter().map(|text| format!("{}\n", printable(text))).collect()
}

fn wrong(message: &str) -> RelayError {
    RelayError::usage(message, "`.help` lists what there is.")
}

fn unreadable(error: ReadlineError) -> RelayError {
    RelayError::file("read", "the terminal")(io::Error::other(error))
}
