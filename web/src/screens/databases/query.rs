//! Statements of a database and what they give.

use leptos::{ev::KeyboardEvent, prelude::*};
use wasm_bindgen_futures::spawn_local;

use super::one::Opened;
use crate::{
    browser,
    node::types::{Cell, Failure, Table},
    parts::words::{Copy, failed},
    say, sql,
};

/// Rows that are drawn; the rest is counted.
const DRAWN: usize = 200;
/// Rows of a table that a click on its name shows.
const SHOWN: u32 = 100;
/// Characters of one text that are drawn.
const CHARS: usize = 200;
const TABLES: &str = "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') \
                      AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name LIMIT 500";

/// What came of a statement.
#[derive(Clone)]
struct Answer {
    outcome: Result<Option<Table>, Failure>,
    ms: u64,
}

/// The tables, the field, and the result.
#[component]
pub(super) fn Query(open: Opened) -> impl IntoView {
    let text = RwSignal::new(String::new());
    let answer = RwSignal::new(None::<Answer>);
    let tables = RwSignal::new(Vec::<String>::new());
    let busy = RwSignal::new(false);
    look(open, tables);
    let run = move || {
        let sql = text.get_untracked();
        if sql.trim().is_empty() || busy.get_untracked() {
            return;
        }
        busy.set(true);
        let database = open.get_value();
        spawn_local(async move {
            let begun = browser::page_age_ms();
            let outcome = if sql::several(&sql) {
                database.exec(&sql).await.map(|()| None)
            } else {
                database.table(&sql).await.map(Some)
            };
            let ms = browser::page_age_ms() - begun;
            let _gone = answer.try_set(Some(Answer { outcome, ms }));
            let _gone = busy.try_set(false);
            look(open, tables);
        });
    };
    let key = move |event: KeyboardEvent| {
        if event.key() == "Enter" && (event.ctrl_key() || event.meta_key()) {
            event.prevent_default();
            run();
        }
    };
    let table = move |name: String| {
        let sql = format!("SELECT * FROM {} LIMIT {SHOWN};", sql::quoted(&name));
        let show = move |_| {
            text.set(sql.clone());
            run();
        };
        view! { <li><button class="b small brk" on:click=show>{name}</button></li> }
    };
    let names = move || {
        let all = tables.get();
        (!all.is_empty()).then(|| view! {
            <ul class="row tight" aria-label="Tables">{all.into_iter().map(table).collect_view()}</ul>
        })
    };
    view! {
        <section class="q" aria-labelledby="qt">
            <div class="sechead">
                <h2 id="qt">"Query"</h2>
                <span class="s faint"><kbd>"Ctrl"</kbd> " " <kbd>"Enter"</kbd> " runs it"</span>
            </div>
            {names}
            <label class="vh" for="sql">"SQL"</label>
            <textarea class="in" id="sql" rows="6" spellcheck="false" bind:value=text on:keydown=key
                placeholder="CREATE TABLE note (id INTEGER PRIMARY KEY, body TEXT);"></textarea>
            <div class="row qbar">
                <button class="b go" disabled=busy on:click=move |_| run()>"Run"</button>
                <span class="s dim" role="status">
                    {move || answer.with(|answer| answer.as_ref().map(summary))}
                </span>
            </div>
            {move || answer.with(|answer| answer.as_ref().map(result))}
        </section>
    }
}

/// Asks which tables there are.
fn look(open: Opened, tables: RwSignal<Vec<String>>) {
    let Some(database) = open.try_get_value() else { return };
    spawn_local(async move {
        if let Ok(found) = database.table(TABLES).await {
            let names = found.rows.into_iter().flatten().map(|cell| written(&cell));
            let _gone = tables.try_set(names.collect());
        }
    });
}

/// One line about an answer.
fn summary(answer: &Answer) -> String {
    let took = format!("{} ms", say::count(answer.ms));
    match &answer.outcome {
        Ok(Some(table)) if table.columns.is_empty() => {
            format!("{} changed in {took}, durably.", say::counted(table.changes, "row"))
        }
        Ok(Some(table)) => format!("{} in {took}.", say::counted(table.rows.len() as u64, "row")),
        Ok(None) => format!("Done in {took}, durably."),
        Err(_) => String::new(),
    }
}

fn result(answer: &Answer) -> AnyView {
    let table = match &answer.outcome {
        Err(failure) => return failed(failure).into_any(),
        Ok(Some(table)) if !table.columns.is_empty() => table,
        Ok(_) => return ().into_any(),
    };
    let left = table.rows.len().saturating_sub(DRAWN) as u64;
    let left = (left > 0).then(|| format!("{} more, not drawn.", say::counted(left, "row")));
    // A column of numbers is one whose first value is a number.
    let head = |(at, name): (usize, &String)| {
        let first = table.rows.first().and_then(|row| row.get(at));
        let num = matches!(first, Some(Cell::Number(_)));
        view! { <th scope="col" class:num=num>{name.clone()}</th> }
    };
    let heads = table.columns.iter().enumerate().map(head);
    let row = |row: &Vec<Cell>| view! { <tr>{row.iter().map(cell).collect_view()}</tr> };
    let copied = table.clone();
    view! {
        <div class="over" tabindex="0" role="region" aria-label="Results">
            <table class="dense grid">
                <thead><tr>{heads.collect_view()}</tr></thead>
                <tbody>{table.rows.iter().take(DRAWN).map(row).collect_view()}</tbody>
            </table>
        </div>
        <div class="row s">
            <span class="faint">{left}</span>
            <Copy text=Signal::derive(move || csv(&copied)) name="Copy as CSV"/>
        </div>
    }
    .into_any()
}

fn cell(cell: &Cell) -> AnyView {
    match cell {
        Cell::Null => view! { <td class="faint">"NULL"</td> }.into_any(),
        Cell::Number(number) => view! { <td class="num">{number.clone()}</td> }.into_any(),
        Cell::Blob(bytes) => {
            view! { <td class="faint">{say::counted(u64::from(*bytes), "byte")}</td> }.into_any()
        }
        Cell::Text(text) => {
            let mut shown: String = text.chars().take(CHARS).collect();
            if shown.len() < text.len() {
                shown.push('…');
            }
            view! { <td class="brk">{shown}</td> }.into_any()
        }
    }
}

/// A value as a text; of bytes only how many there are.
fn written(cell: &Cell) -> String {
    match cell {
        Cell::Null => String::new(),
        Cell::Number(text) | Cell::Text(text) => text.clone(),
        Cell::Blob(bytes) => say::counted(u64::from(*bytes), "byte"),
    }
}

/// A result as RFC 4180 has it.
fn csv(table: &Table) -> String {
    let field = |text: String| {
        let plain = !text.contains(['"', ',', '\n', '\r']);
        if plain { text } else { format!("\"{}\"", text.replace('"', "\"\"")) }
    };
    let mut out = String::new();
    let heads = table.columns.iter().cloned().map(field).collect::<Vec<_>>().join(",");
    let rows = table
        .rows
        .iter()
        .map(|row| row.iter().map(|cell| field(written(cell))).collect::<Vec<_>>().join(","));
    for line in std::iter::once(heads).chain(rows) {
        out.push_str(&line);
        out.push_str("\r\n");
    }
    out
}
