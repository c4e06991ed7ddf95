//! The snapshots of a database as a slider, and the way back from one.

use leptos::prelude::*;
use wasm_bindgen_futures::spawn_local;

use super::place;
use crate::{
    browser,
    location::Location,
    node::{
        NodeState,
        types::{Failure, SnapshotRow},
    },
    parts::{
        marks::icon,
        words::{failed, when},
    },
    say,
};

/// The history of the database `name`, of which the snapshot `at` is looked at.
#[component]
pub(super) fn History(name: String, at: Option<String>) -> impl IntoView {
    let state = expect_context::<NodeState>();
    let rows = RwSignal::new(Vec::<SnapshotRow>::new());
    let asked = name.clone();
    // A snapshot that is taken changes the list of databases, and thereby this one.
    Effect::new(move |_| {
        state.databases.track();
        let name = asked.clone();
        spawn_local(async move {
            // Without an answer there is no history to show, and what is open says why.
            if let Ok(found) = state.snapshots(&name).await {
                let _gone = rows.try_set(found);
            }
        });
    });
    move || {
        let (name, at) = (name.clone(), at.clone());
        rows.with(|rows| (!rows.is_empty()).then(|| slider(name, at, rows)))
    }
}

fn slider(name: String, at: Option<String>, rows: &[SnapshotRow]) -> impl IntoView + use<> {
    let location = expect_context::<Location>();
    // From left to right: the oldest first, then the present.
    let mut all: Vec<SnapshotRow> = rows.to_vec();
    all.reverse();
    let present = all.len();
    let here = at.and_then(|at| all.iter().position(|row| row.cid == at));
    let value = here.unwrap_or(present);
    let said = all.get(value).map_or_else(
        || "The present".to_owned(),
        |row| format!("Snapshot {} of {present}: {}", value + 1, moment(row)),
    );
    let past = here.and_then(|at| all.get(at)).map(|row| past(&name, row));
    let places: Vec<String> = all.iter().map(|row| place(&name, Some(&row.cid))).collect();
    let moved = move |event: web_sys::Event| {
        let value: usize = event_target_value(&event).parse().unwrap_or(present);
        location.go(&places.get(value).cloned().unwrap_or_else(|| place(&name, None)));
    };
    let since = all.first().map(|row| when(row.time_ms));
    view! {
        <section class="hist" aria-labelledby="ht">
            <div class="sechead">
                <h2 id="ht">"History"</h2>
                <span class="s faint">{say::counted(present as u64, "snapshot")} " since " {since}</span>
            </div>
            <input type="range" min="0" max=present.to_string() value=value.to_string()
                aria-label="Snapshot" aria-valuetext=said on:change=moved/>
            {past}
        </section>
    }
}

fn moment(row: &SnapshotRow) -> String {
    say::moment(row.time_ms, browser::now())
}

/// Says that the past is looked at, and offers the ways out of it.
fn past(name: &str, row: &SnapshotRow) -> impl IntoView + use<> {
    let state = expect_context::<NodeState>();
    let location = expect_context::<Location>();
    let (now, name, cid) = (place(name, None), name.to_owned(), row.cid.clone());
    let failure = RwSignal::new(None::<Failure>);
    let back = now.clone();
    let restore = move |_| {
        let (name, cid, back) = (name.clone(), cid.clone(), back.clone());
        spawn_local(async move {
            let restored = async { state.open_database(&name).await?.restore(&cid).await };
            match restored.await {
                Ok(()) => location.go(&back),
                Err(why) => failure.set(Some(why)),
            }
        });
    };
    view! {
        <div class="note">
            {icon("#i-clock")}
            <p>
                <b>"You are looking at " {when(row.time_ms)} ", read-only."</b> " "
                {moment(row)} ". Others still see what was published last."
            </p>
            <div class="row tight">
                <a class="b small" href=now>"Back to now"</a>
                <button class="b small" on:click=restore>"Restore this"</button>
            </div>
        </div>
        {move || failure.with(|failure| failure.as_ref().map(failed))}
    }
}
