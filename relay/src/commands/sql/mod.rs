//! `craftec sql`: SQL on a database of this node, or on a snapshot of anybody's. One statement, a
//! script on standard input, or a shell.

mod client;
mod files;
mod print;
mod shell;
mod split;

use std::io::{self, IsTerminal, Read};

use craftec_api::{Command, DatabaseRow, Reply};
use serde::Serialize;

use self::{
    client::Client,
    shell::{Shell, Then, Typing},
};
use super::put::settle;
use crate::{
    access::Access,
    cli::Sql,
    console::{Console, printable},
    error::{RelayError, Result},
    session::{Session, unexpected},
};

/// Longest script on standard input.
const SCRIPT_BYTES: u64 = 256 << 20;

/// `craftec sql`
pub(crate) async fn run(sql: Sql, access: &Access, console: &Console) -> Result<()> {
    let Some(database) = &sql.database else { return list(access, console).await };
    if sql.drop {
        access.session.done(Command::SqlDrop { name: database.clone() }).await?;
        let dropped = Dropped { dropped: database.clone() };
        console.result(&dropped, || format!("Dropped {}", printable(database)));
        return Ok(());
    }
    if is_shell(&sql, console) {
        return interact(database, sql.encrypt, access, console).await;
    }
    let mut shell = open(&access.session, database, sql.encrypt, console).await?;
    let texts = match sql.sql.is_empty() {
        // On another thread: a signal must end it.
        true => vec![tokio::task::spawn_blocking(script).await.map_err(|_| RelayError::Ended)??],
        false => sql.sql,
    };
    let mut done = Ok(());
    for text in &texts {
        done = shell.script(text).await;
        if done.is_err() {
            break;
        }
    }
    let taken = shell.end(done.is_ok());
    settle_all(&taken, access, console).await;
    done
}

/// Whether a person types.
pub(super) fn is_shell(sql: &Sql, console: &Console) -> bool {
    let has_nothing_else = sql.database.is_some() && sql.sql.is_empty() && !sql.drop;
    has_nothing_else && io::stdin().is_terminal() && !console.is_json()
}

async fn open<'a>(
    session: &'a Session,
    database: &str,
    encrypt: bool,
    console: &Console,
) -> Result<Shell<'a>> {
    let client = Client::open(session, database, encrypt).await?;
    if client.opened.equivocation {
        console.note("This database's owner signed two different versions of it: be careful.");
    }
    Ok(Shell::new(client, console))
}

/// The shell for a person. Where Ctrl-C ends what runs, its session goes, with which the node ends it, and
/// another one takes its place.
async fn interact(database: &str, encrypt: bool, access: &Access, console: &Console) -> Result<()> {
    let mut typing = Typing::new(&access.data)?;
    let mut session = access.another().await?;
    let mut before = None;
    loop {
        let mut shell = open(&session, database, encrypt && before.is_none(), console).await?;
        match before {
            Some(mode) => shell = shell.in_mode(mode),
            None => shell.greet(database),
        }
        let done = typing.lines_for(&mut shell).await;
        before = Some(shell.mode());
        settle_all(&shell.end(done.is_ok()), access, console).await;
        if done? == Then::Quit {
            return Ok(());
        }
        console.note("Interrupted.");
        session = access.another().await?;
    }
}

async fn settle_all(taken: &[craftec_core::Cid], access: &Access, console: &Console) {
    if !taken.is_empty() {
        settle(taken, access, console).await;
    }
}

/// All of standard input.
fn script() -> Result<String> {
    let mut text = String::new();
    let read = io::stdin().lock().take(SCRIPT_BYTES).read_to_string(&mut text);
    read.map_err(RelayError::file("read", "standard input"))?;
    Ok(text)
}

#[derive(Serialize)]
struct Dropped {
    dropped: String,
}

#[derive(Serialize)]
struct Databases {
    databases: Vec<DatabaseRow>,
}

async fn list(access: &Access, console: &Console) -> Result<()> {
    let databases = match access.session.call(Command::SqlDatabases).await? {
        Reply::Databases { databases } => Databases { databases },
        other => return Err(unexpected("databases", &other)),
    };
    console.result(&databases, || {
        let line = |row: &DatabaseRow| {
            let name = printable(&row.name).replace('\n', "\u{fffd}");
            let root = row.cid.map_or("no snapshot yet".to_owned(), |root| root.to_string());
            let published = row.published.as_ref();
            let published = published
                .map_or_else(String::new, |name| format!(", published as {}", printable(name)));
            let waits = if row.waits { ", waits to be published" } else { "" };
            let branches = match row.branches {
                0 => String::new(),
                count => format!(", branches to merge: {count}"),
            };
            let encrypted = if row.encrypted { ", encrypted" } else { "" };
            format!("{name}  {root}{published}{encrypted}{waits}{branches}\n")
        };
        match databases.databases.as_slice() {
            [] => "No database yet: `craftec sql NAME` makes one.".to_owned(),
            rows => rows.iter().map(line).collect(),
        }
    });
    Ok(())
}
