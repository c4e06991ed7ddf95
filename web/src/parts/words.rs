//! Messages and figures of a root that several screens show: failures, copies, copy buttons.

use leptos::prelude::*;
use wasm_bindgen_futures::spawn_local;

use super::marks::icon;
use crate::{
    browser,
    node::{NodeState, Phase, types::Failure},
    say,
};

/// A failure: what happened, then what can be done.
pub(crate) fn failed(failure: &Failure) -> impl IntoView + use<> {
    let (message, hint) = (failure.message.clone(), failure.hint.clone());
    let again = (failure.retryable && hint.is_none())
        .then_some(" It may work later; nothing here was changed.");
    // What may pass by itself needs the reader less than what does not.
    let (class, symbol) =
        if failure.retryable { ("note warn", "#i-warn") } else { ("note danger", "#i-stop") };
    view! {
        <div class=class role="alert">
            {icon(symbol)}
            <p><b>{message}</b> {hint.map(|hint| format!(" {hint}"))} {again}</p>
        </div>
    }
}

/// What stands where the node's answer will be.
pub(crate) fn waiting(state: NodeState) -> impl IntoView {
    let failed = state.phase.with(|phase| matches!(phase, Phase::Failed(_)));
    let words = if failed {
        "Your node doesn’t run, so this can’t be read now. Home says why."
    } else {
        "Waiting for your node’s answer."
    };
    view! { <p class="dim">{words}</p> }
}

/// Something to know, with a warning's weight.
pub(crate) fn warning(title: String, rest: impl IntoView) -> impl IntoView {
    view! {
        <div class="note warn" role="status">
            {icon("#i-warn")}
            <p><b>{title}</b> " " {rest}</p>
        </div>
    }
}

/// A button that copies a text and says that it did.
#[component]
pub(crate) fn Copy(
    /// What is copied.
    #[prop(into)]
    text: Signal<String>,
    /// The button's name.
    name: &'static str,
    /// The button's class.
    #[prop(default = "b small")]
    class: &'static str,
) -> impl IntoView {
    let said = RwSignal::new("");
    let copy = move |_| {
        let text = text.get_untracked();
        spawn_local(async move {
            let done = browser::copy(&text).await;
            said.set(if done { "Copied" } else { "Not copied: select it and copy by hand" });
            set_timeout(move || said.set(""), std::time::Duration::from_secs(4));
        });
    };
    view! {
        <button type="button" class=class on:click=copy>{icon("#i-copy")} " " {name}</button>
        <span class="said s dim" role="status">{said}</span>
    }
}

/// A moment as the reader says it, exact in the tooltip.
pub(crate) fn when(time_ms: u64) -> impl IntoView {
    let now = browser::now();
    view! { <span class="nb" title=say::moment(time_ms, now)>{say::when(time_ms, now)}</span> }
}
