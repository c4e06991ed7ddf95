//! The databases of this node, the way to another, and to one from a file.

use leptos::{
    ev::{DragEvent, SubmitEvent},
    prelude::*,
};
use wasm_bindgen::JsCast as _;
use wasm_bindgen_futures::spawn_local;

use super::{
    one::{SCHEME, encrypted_mark},
    place,
};
use crate::{
    location::Location,
    node::{
        NodeState,
        types::{DatabaseRow, Failure},
    },
    parts::{
        marks::icon,
        words::{failed, waiting, when},
    },
    pick, say,
};

/// A file on its way in: its name, bytes taken, bytes in all.
type Importing = RwSignal<Option<(String, u64, u64)>>;

/// The list, and what makes it longer.
#[component]
pub(super) fn List(
    chosen: Memo<Option<String>>,
    failure: RwSignal<Option<Failure>>,
) -> impl IntoView {
    let state = expect_context::<NodeState>();
    let importing: Importing = RwSignal::new(None);
    spawn_local(async move { failure.set(state.refresh_databases().await.err()) });
    let (over, encrypt) = (RwSignal::new(false), RwSignal::new(false));
    let location = expect_context::<Location>();
    let dropped = move |event: DragEvent| {
        event.prevent_default();
        over.set(false);
        let files = event.data_transfer().and_then(|data| data.files());
        let file = files.and_then(|files| files.get(0));
        import(state, location, file, encrypt, importing, failure);
    };
    let drag_over = move |event: DragEvent| {
        event.prevent_default();
        over.set(true);
    };
    let progress = move || {
        let (name, taken, bytes) = importing.get()?;
        let words = format!("Importing {name}: {}", say::bytes_of(taken, bytes));
        Some(view! {
            <div class="stack">
                <span class="s">{words}</span>
                <progress value=taken.to_string() max=bytes.max(1).to_string()
                    aria-label="Import"></progress>
            </div>
        })
    };
    view! {
        <aside class="stack" class:over=over aria-label="Databases" on:dragover=drag_over
            on:dragleave=move |_| over.set(false) on:drop=dropped>
            <h2>"Databases"</h2>
            <Rows chosen/>
            <OpenOne encrypt failure/>
            <label class="check s">
                <input type="checkbox" prop:checked=encrypt
                    on:change=move |event| encrypt.set(event_target_checked(&event))/>
                <span>
                    "Encrypted: only you, and those you share it with, can read what is published"
                </span>
            </label>
            <ImportOne encrypt importing failure/>
            <div role="status">{progress}</div>
            {move || failure.with(|failure| failure.as_ref().map(failed))}
            <p class="s dim sec2">"Any SQLite file can be dropped here."</p>
        </aside>
    }
}

#[component]
fn Rows(chosen: Memo<Option<String>>) -> impl IntoView {
    let state = expect_context::<NodeState>();
    let row = |row: &DatabaseRow, chosen: Option<&str>| {
        let on = chosen == Some(row.name.as_str());
        let published = match (&row.published, row.waits, row.branches) {
            (_, true, _) => "Waits to be published".to_owned(),
            (_, _, 1..) => "Another device was first: merge".to_owned(),
            (Some(name), ..) => format!("Published as {name}"),
            (None, ..) => "Only in this browser".to_owned(),
        };
        view! {
            <li><a href=place(&row.name, None) aria-current=on.then_some("true")>
                <b class="mid brk">{row.name.clone()}</b>
                <span class="s dim">{published}</span>
                {row.encrypted.then(|| view! { <span class="s dim">{encrypted_mark()}</span> })}
                <span class="s faint">"Made " {when(row.time_ms)}</span>
            </a></li>
        }
    };
    move || {
        let chosen = chosen.get();
        state.databases.with(|rows| match rows.as_deref() {
            None => waiting(state).into_any(),
            Some([]) => view! {
                <p class="s dim">"None yet. Give one a name and it is made."</p>
            }
            .into_any(),
            Some(rows) => view! {
                <ul class="dbs">
                    {rows.iter().map(|one| row(one, chosen.as_deref())).collect_view()}
                </ul>
            }
            .into_any(),
        })
    }
}

/// The field for a name or an address.
#[component]
fn OpenOne(encrypt: RwSignal<bool>, failure: RwSignal<Option<Failure>>) -> impl IntoView {
    let state = expect_context::<NodeState>();
    let location = expect_context::<Location>();
    let typed = RwSignal::new(String::new());
    let go = move |name: &str| {
        typed.set(String::new());
        encrypt.set(false);
        location.go(&place(name, None));
    };
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let name = typed.with_untracked(|typed| typed.trim().to_owned());
        if name.is_empty() {
            return;
        }
        failure.set(None);
        // What has an address was made already.
        if !encrypt.get_untracked() || name.starts_with(SCHEME) {
            return go(&name);
        }
        spawn_local(async move {
            match state.make_encrypted(&name).await {
                Ok(()) => go(&name),
                Err(why) => failure.set(Some(why)),
            }
        });
    };
    view! {
        <form class="f" on:submit=submit>
            <label for="dbname">"Open or make"</label>
            <div class="join">
                <input class="in" id="dbname" bind:value=typed autocomplete="off" spellcheck="false"
                    placeholder="notes" aria-describedby="dbhelp"/>
                <button class="b">"Open"</button>
            </div>
            <p class="help" id="dbhelp">
                "A name, or another’s address: " <code>"craftobj://…"</code>
            </p>
        </form>
    }
}

#[component]
fn ImportOne(
    encrypt: RwSignal<bool>,
    importing: Importing,
    failure: RwSignal<Option<Failure>>,
) -> impl IntoView {
    let state = expect_context::<NodeState>();
    let location = expect_context::<Location>();
    let chosen = move |event: web_sys::Event| {
        let input = event.target().and_then(|t| t.dyn_into::<web_sys::HtmlInputElement>().ok());
        let Some(input) = input else { return };
        let file = input.files().and_then(|files| files.get(0));
        input.set_value("");
        import(state, location, file, encrypt, importing, failure);
    };
    view! {
        <label class="b">
            {icon("#i-up")} " Import a file"
            <input class="vh" type="file" on:change=chosen/>
        </label>
    }
}

/// Takes a file in as a database of the same name, encrypted if that is marked, and shows it.
fn import(
    state: NodeState,
    location: Location,
    file: Option<web_sys::File>,
    encrypt: RwSignal<bool>,
    importing: Importing,
    failure: RwSignal<Option<Failure>>,
) {
    let Some(file) = file else { return };
    let (bytes, name) = (pick::file_bytes(&file), file.name());
    let name = name.rsplit_once('.').map_or(name.as_str(), |(stem, _)| stem).to_owned();
    importing.set(Some((name.clone(), 0, bytes)));
    spawn_local(async move {
        let shown = name.clone();
        let progress = move |taken| importing.set(Some((shown.clone(), taken, bytes)));
        let wanted = encrypt.get_untracked();
        let imported = state.import_database(&name, &file, wanted, progress).await;
        importing.set(None);
        if imported.is_ok() {
            encrypt.set(false);
            location.go(&place(&name, None));
        }
        failure.set(imported.err());
    });
}
