//! Work of several devices: what can be merged, what contradicts, who wins.

use leptos::prelude::*;
use wasm_bindgen_futures::spawn_local;

use super::{one::Opened, place};
use crate::{
    location::Location,
    node::{
        NodeState,
        types::{Branch, Cell, Conflict, Failure, Merged},
    },
    parts::{
        marks::icon,
        words::{failed, when},
    },
    say,
};

/// Conflicts that are shown.
const SHOWN: usize = 8;

/// What can be merged into an open database. Looked up again whenever `looks` changes.
#[component]
pub(super) fn Branches(open: Opened, looks: RwSignal<u32>) -> impl IntoView {
    let branches = RwSignal::new(Vec::<Branch>::new());
    let merged = RwSignal::new(None::<(String, Merged)>);
    let failure = RwSignal::new(None::<Failure>);
    Effect::new(move |_| {
        looks.track();
        let database = open.get_value();
        spawn_local(async move {
            // Nobody may be there to be asked; then there is nothing to say.
            if let Ok(found) = database.branches().await {
                let _gone = branches.try_set(found);
            }
        });
    });
    let merge = move |branch: String, strategy: &'static str| {
        let database = open.get_value();
        spawn_local(async move {
            match database.merge(&branch, strategy).await {
                Ok(done) => {
                    failure.set(None);
                    merged.set(Some((branch, done)));
                }
                Err(why) => failure.set(Some(why)),
            }
            looks.update(|looks| *looks += 1);
        });
    };
    let forget = move |branch: String| {
        let database = open.get_value();
        spawn_local(async move {
            failure.set(database.drop_branch(&branch).await.err());
            looks.update(|looks| *looks += 1);
        });
    };
    let row = move |branch: &Branch| {
        let (name, other) = (branch.name.clone(), branch.name.clone());
        let is_published = name == "published";
        let title = match is_published {
            true => "Another device has published this database".to_owned(),
            false => format!("Kept as {name}, because the name had moved on,"),
        };
        view! {
            <div class="note">
                {icon("#i-clock")}
                <p>
                    <b>{title} " " {when(branch.time_ms)} "."</b>
                    " Merging it changes this database row by row; what contradicts is shown first."
                </p>
                <div class="row tight">
                    <button class="b small" on:click=move |_| merge(name.clone(), "stop")>"Merge"</button>
                    {(!is_published).then(|| view! {
                        <button class="b small" on:click=move |_| forget(other.clone())>"Forget"</button>
                    })}
                </div>
            </div>
        }
    };
    view! {
        {move || branches.with(|all| all.iter().filter(|it| !it.merged).map(row).collect_view())}
        {move || {
            merged.with(|merged| merged.as_ref().map(|(branch, done)| came(branch, done, merge)))
        }}
        {move || failure.with(|failure| failure.as_ref().map(failed))}
    }
}

/// What came of a merge, and the ways on from it.
fn came(
    branch: &str,
    done: &Merged,
    merge: impl Fn(String, &'static str) + Copy + 'static,
) -> AnyView {
    let count = say::counted(done.conflicting, "conflict");
    if done.made {
        let words =
            if done.conflicting == 0 { String::new() } else { format!(" {count} decided.") };
        return view! {
            <div class="note" role="status">
                {icon("#i-ok")} <p><b>"Merged."</b> {words} " Publish it, so that other devices see it."</p>
            </div>
        }
        .into_any();
    }
    let line = |conflict: &Conflict| view! { <li>{words(conflict)}</li> };
    let (ours, theirs) = (branch.to_owned(), branch.to_owned());
    let shown = done.conflicts.iter().take(SHOWN).map(line).collect_view();
    let more = done.conflicting.saturating_sub(SHOWN as u64);
    view! {
        <div class="note" role="status">
            {icon("#i-warn")}
            <div>
                <b>"Not merged: " {count} "."</b>
                <ul class="s">{shown}</ul>
                {(more > 0).then(|| format!("… and {more} more."))}
            </div>
            <div class="row tight">
                <button class="b small" on:click=move |_| merge(ours.clone(), "ours")>
                    "Keep what is here"
                </button>
                <button class="b small" on:click=move |_| merge(theirs.clone(), "theirs")>
                    "Take the other"
                </button>
            </div>
        </div>
    }
    .into_any()
}

fn words(conflict: &Conflict) -> String {
    let what = match conflict.kind.as_str() {
        "added" => "both added it",
        "changed" => "both changed it",
        "deleted" => "one changed it, the other deleted it",
        "constraint" => "it does not fit beside a row of the other side",
        "reference" => "it refers to a row that the other side deleted: change it first",
        _ => "both changed this table, which is taken whole",
    };
    let key: Vec<String> = conflict
        .key
        .iter()
        .map(|cell| match cell {
            Cell::Null => "NULL".to_owned(),
            Cell::Number(text) | Cell::Text(text) => say::lead(text, 40).to_owned(),
            Cell::Blob(bytes) => say::counted(u64::from(*bytes), "byte"),
        })
        .collect();
    format!("{} {}: {what}", conflict.table, key.join(", "))
}

/// For an address of this identity's: makes a database of this browser of it, which can be written.
#[component]
pub(super) fn WorkHere(address: String) -> impl IntoView {
    let state = expect_context::<NodeState>();
    let location = expect_context::<Location>();
    let failure = RwSignal::new(None::<Failure>);
    let work = move |_| {
        let address = address.clone();
        spawn_local(async move {
            let name = address.rsplit('/').next().unwrap_or_default().to_owned();
            let taken = async { state.open_database(&name).await?.merge(&address, "stop").await };
            match taken.await {
                // Where it holds something else already, its own screen says so.
                Ok(_) => location.go(&place(&name, None)),
                Err(why) => failure.set(Some(why)),
            }
        });
    };
    view! {
        <p class="row"><button class="b" on:click=work>"Work on it here"</button>
            <span class="s dim">"It is yours: this browser can write it too, and publish it again."</span>
        </p>
        {move || failure.with(|failure| failure.as_ref().map(failed))}
    }
}
