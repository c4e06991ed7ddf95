//! The drop zone: a folder or files, dropped or chosen, on their way to review.

use leptos::{attr::custom::custom_attribute, ev::DragEvent, prelude::*};
use wasm_bindgen::JsCast as _;
use wasm_bindgen_futures::spawn_local;

use super::marks::icon;
use crate::{
    app::Picking,
    location::Location,
    node::{NodeState, types::Failure},
    pick::{self, Picked},
    say,
};

/// Keeps the outcome of a pick and goes to its review.
fn arrived(picking: Picking, outcome: Result<Picked, Failure>, location: Location) {
    picking.listing.set(None);
    match outcome {
        Ok(picked) => {
            picking.failure.set(None);
            picking.picked.set(Some(picked));
            location.go("/publish");
        }
        Err(failure) => picking.failure.set(Some(failure)),
    }
}

/// What a file input holds, once it changed. The input is emptied, so that the same folder can be
/// chosen again.
fn take_chosen(event: &web_sys::Event) -> Option<Result<Picked, Failure>> {
    let input: web_sys::HtmlInputElement = event.target()?.dyn_into().ok()?;
    let files = input.files()?;
    let picked = (files.length() > 0).then(|| pick::chosen(&files));
    input.set_value("");
    picked
}

/// A button-like label around a hidden file input.
#[component]
fn Choose(name: &'static str, folder: bool, class: &'static str) -> impl IntoView {
    let picking = expect_context::<Picking>();
    let location = expect_context::<Location>();
    let chosen = move |event: web_sys::Event| {
        if let Some(outcome) = take_chosen(&event) {
            arrived(picking, outcome, location);
        }
    };
    let symbol = folder.then(|| icon("#i-files"));
    let whole_folder = custom_attribute("webkitdirectory", folder.then_some(""));
    view! {
        <label class=class>
            {symbol} " " {name}
            <input class="vh" type="file" multiple {..whole_folder}
                on:change=chosen/>
        </label>
    }
}

/// The drop zone with its heading.
#[component]
pub(crate) fn DropZone(
    /// Said below the heading.
    lead: &'static str,
) -> impl IntoView {
    let state = expect_context::<NodeState>();
    let picking = expect_context::<Picking>();
    let over = RwSignal::new(false);
    let location = expect_context::<Location>();
    let drop_here = move |event: DragEvent| {
        event.prevent_default();
        over.set(false);
        let Some(data) = event.data_transfer() else { return };
        let entries = pick::dropped(&data);
        if entries.is_empty() {
            let message = "What was dropped holds no file or folder.";
            let failure = Failure::here("bad_input", message);
            picking.failure.set(Some(failure));
            return;
        }
        picking.listing.set(Some(0));
        spawn_local(async move {
            let outcome = pick::walk(entries, move |n| picking.listing.set(Some(n))).await;
            arrived(picking, outcome, location);
        });
    };
    let drag_over = move |event: DragEvent| {
        event.prevent_default();
        over.set(true);
    };
    let free = move || {
        let free = state.status.with(|s| s.as_ref().and_then(|s| s.storage.free))?;
        Some(view! { <li>{icon("#i-ok")} " " {say::bytes(free)} " free in this browser"</li> })
    };
    let listing = move || {
        let n = picking.listing.get()?;
        Some(view! { <p class="s">"Listing: " {say::counted(n, "file")} " so far"</p> })
    };
    let failure = move || picking.failure.with(|f| f.as_ref().map(super::words::failed));
    view! {
        <form class="drop" class:over=over aria-labelledby="dropt" on:dragover=drag_over
            on:dragleave=move |_| over.set(false) on:drop=drop_here>
            <div class="say">
                <h2 id="dropt">"Drop a folder." <br/> "It becomes a site."</h2>
                <p class="lead">{lead}</p>
                <div class="row">
                    <Choose name="Choose a folder" folder=true class="b go big"/>
                    <Choose name="Choose files" folder=false class="b big"/>
                </div>
                <div role="status">{listing}</div>
                {failure}
            </div>
            <figure aria-hidden="true">
                <svg viewBox="0 0 300 236"><use href="#drop-figure"/></svg>
            </figure>
            <ul class="terms">
                <li>{icon("#i-ok")} " No account"</li>
                {free}
                <li>{icon("#i-ok")} " Visitors’ browsers check every file"</li>
                <li>{icon("#i-info")} " Public: anyone with the link can keep a copy"</li>
            </ul>
        </form>
    }
}
