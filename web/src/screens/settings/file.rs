//! Backups as files: one is written, one is taken in.

use std::{cell::Cell, rc::Rc};

use leptos::prelude::*;
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::spawn_local;

use crate::{
    node::{
        NodeState,
        types::{ByteProgress, Failure, Restored},
    },
    parts::{marks::icon, words::failed},
    say,
};

/// As the node demands it.
const PASSPHRASE_CHARS: usize = 8;

/// How far a backup or a restore is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State<T> {
    Idle,
    Busy(ByteProgress),
    Done(T),
    Failed(Failure),
}

const BEGUN: ByteProgress = ByteProgress { bytes: 0, total: None };

/// The section.
#[component]
pub(super) fn BackupFile() -> impl IntoView {
    view! {
        <section class="set" aria-labelledby="s3">
            <header>
                <h2 id="s3">"Backup file"</h2>
                <p>
                    "Your identity, names, sites, files and settings in one encrypted file. What you \
                     keep for others is not in it."
                </p>
            </header>
            <div class="stack wide">
                <Write/>
                <Restore/>
            </div>
        </section>
    }
}

/// A figure that moves, with its words.
fn progress(verb: &'static str, now: ByteProgress) -> impl IntoView {
    let words = match now.total {
        Some(total) => format!("{verb} {}", say::bytes_of(now.bytes, total)),
        None => format!("{verb} {}", say::bytes(now.bytes)),
    };
    view! {
        <div class="qt">
            <progress value=now.bytes.to_string()
                max=now.total.unwrap_or(now.bytes).max(1).to_string() aria-label=verb></progress>
            <p class="s dim">{words}</p>
        </div>
    }
}

fn passphrase_field(
    id: &'static str,
    label: &'static str,
    kind: &'static str,
    text: RwSignal<String>,
) -> impl IntoView {
    view! {
        <div class="f">
            <label for=id>{label}</label>
            <input class="in" id=id type="password" autocomplete=kind prop:value=text
                on:input=move |event| text.set(event_target_value(&event))/>
        </div>
    }
}

#[component]
fn Write() -> impl IntoView {
    let state = expect_context::<NodeState>();
    let (first, again) = (RwSignal::new(String::new()), RwSignal::new(String::new()));
    let step = RwSignal::new(State::<u64>::Idle);
    let write = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        let passphrase = first.get_untracked();
        let wrong = if passphrase.chars().count() < PASSPHRASE_CHARS {
            Some("The passphrase has fewer than 8 characters. Nothing was written.")
        } else if passphrase != again.get_untracked() {
            Some("The two passphrases differ. Nothing was written.")
        } else {
            None
        };
        if let Some(wrong) = wrong {
            return step.set(State::Failed(Failure::here("bad_input", wrong)));
        }
        step.set(State::Busy(BEGUN));
        let told = Rc::new(Cell::new(0));
        spawn_local(async move {
            let telling = told.clone();
            let moved = move |now: ByteProgress| {
                telling.set(now.bytes);
                step.set(State::Busy(now));
            };
            match state.backup(passphrase, moved).await {
                Ok(()) => {
                    first.set(String::new());
                    again.set(String::new());
                    step.set(State::Done(told.get()));
                }
                Err(failure) if failure.is_abort() => step.set(State::Idle),
                Err(failure) => step.set(State::Failed(failure)),
            }
        });
    };
    let busy = move || step.with(|step| matches!(step, State::Busy(_)));
    let outcome = move || match step.get() {
        State::Idle => ().into_any(),
        State::Busy(now) => progress("Written", now).into_any(),
        State::Failed(failure) => failed(&failure).into_any(),
        State::Done(bytes) => view! {
            <p class="st s" role="status">
                {icon("#i-ok")} " Backed up: " {say::bytes(bytes)}
                ". Keep the passphrase apart from the file."
            </p>
        }
        .into_any(),
    };
    view! {
        <form class="stack" on:submit=write aria-label="Download a backup">
            {passphrase_field("bp1", "Passphrase for the backup", "new-password", first)}
            {passphrase_field("bp2", "The same passphrase again", "new-password", again)}
            <p class="help s dim">
                "At least 8 characters; several words are best. Without it nobody can open the file, \
                 you neither."
            </p>
            <div class="row">
                <button class="b" disabled=busy>"Download a backup"</button>
            </div>
            {outcome}
        </form>
    }
}

#[component]
fn Restore() -> impl IntoView {
    let state = expect_context::<NodeState>();
    let passphrase = RwSignal::new(String::new());
    let replace = RwSignal::new(false);
    let file = NodeRef::<leptos::html::Input>::new();
    let step = RwSignal::new(State::<Restored>::Idle);
    let take = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        let chosen = file.get_untracked().and_then(|input| input.files()?.get(0));
        let Some(chosen) = chosen else {
            let failure = Failure::here("bad_input", "No file is chosen.");
            return step.set(State::Failed(failure));
        };
        step.set(State::Busy(BEGUN));
        let (words, replace) = (passphrase.get_untracked(), replace.get_untracked());
        spawn_local(async move {
            let moved = move |now: ByteProgress| step.set(State::Busy(now));
            let chosen: JsValue = chosen.unchecked_into();
            match state.restore(chosen, words, replace, moved).await {
                Ok(restored) => {
                    passphrase.set(String::new());
                    step.set(State::Done(restored));
                }
                Err(failure) => step.set(State::Failed(failure)),
            }
        });
    };
    let busy = move || step.with(|step| matches!(step, State::Busy(_)));
    let outcome = move || match step.get() {
        State::Idle => ().into_any(),
        State::Busy(now) => progress("Read", now).into_any(),
        State::Failed(failure) => failed(&failure).into_any(),
        State::Done(restored) => done(&restored).into_any(),
    };
    view! {
        <form class="stack" on:submit=take aria-label="Restore from a backup">
            <div class="f">
                <label for="rf">"Backup file"</label>
                <input class="in" id="rf" type="file" node_ref=file/>
            </div>
            {passphrase_field("rp", "Passphrase of the file", "current-password", passphrase)}
            <label class="check">
                <input type="checkbox" prop:checked=replace
                    on:change=move |event| replace.set(event_target_checked(&event))/>
                <span>
                    "Give up this browser’s identity for the file’s. Needed only where something was \
                     published from here under another one; without its words that one is lost."
                </span>
            </label>
            <p class="help s dim">
                "What is here stays; what the file has more is added. The newer version of a name \
                 wins. It is all taken in, or nothing."
            </p>
            <div class="row">
                <button class="b" disabled=busy>"Restore from a backup"</button>
            </div>
            {outcome}
        </form>
    }
}

fn done(restored: &Restored) -> impl IntoView + use<> {
    let Restored { objects, known, bytes, names, names_kept, restart } = restored;
    let mut words = format!(
        " Restored: {} added, {} here already, {} read. {} taken over",
        say::counted(*objects, "object"),
        say::count(*known),
        say::bytes(*bytes),
        say::counted(*names, "name")
    );
    if *names_kept > 0 {
        words.push_str(&format!(", {} newer here and kept", say::count(*names_kept)));
    }
    words.push('.');
    let moved = restart.then_some(" Your node started again with the file’s identity.");
    view! { <p class="st s" role="status">{icon("#i-ok")} {words} {moved}</p> }
}
