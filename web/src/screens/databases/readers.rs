//! Who can read what is published of a database: everybody with its address, or whom it is shared with.

use leptos::{ev::SubmitEvent, prelude::*};
use wasm_bindgen_futures::spawn_local;

use super::one::Opened;
use crate::{
    node::{NodeState, databases::Ask, types::Failure},
    parts::words::failed,
};

/// Whom an open database is shared with, and what is under way about that.
#[derive(Clone, Copy)]
struct Shares {
    state: NodeState,
    open: Opened,
    /// DIDs, once they are known.
    readers: RwSignal<Option<Vec<String>>>,
    busy: RwSignal<bool>,
    failure: RwSignal<Option<Failure>>,
    /// The card that is being typed.
    card: RwSignal<String>,
}

impl Shares {
    /// Asks the node, and shows what it says.
    fn ask(self, what: Ask) {
        self.busy.set(true);
        let database = self.open.get_value();
        spawn_local(async move {
            let shared = matches!(what, Ask::Share(_));
            let encrypted = matches!(what, Ask::Encrypt(_));
            // The screen may be gone once there is an answer.
            let why = match database.readers(what).await {
                Ok(now) => {
                    let _gone = self.readers.try_set(Some(now));
                    if shared {
                        let _gone = self.card.try_set(String::new());
                    }
                    None
                }
                Err(why) => Some(why),
            };
            let _gone = (self.failure.try_set(why), self.busy.try_set(false));
            if encrypted {
                drop(self.state.refresh_databases().await);
            }
        });
    }
}

/// Whether an open database is encrypted, and for whom. Looked up again whenever `looks` changes.
#[component]
pub(super) fn Readers(open: Opened, looks: RwSignal<u32>) -> impl IntoView {
    let shares = Shares {
        state: expect_context::<NodeState>(),
        open,
        readers: RwSignal::new(None),
        busy: RwSignal::new(false),
        failure: RwSignal::new(None),
        card: RwSignal::new(String::new()),
    };
    let facts = open.with_value(|open| open.facts.clone());
    // Every commit changes the facts, and must not take the field from under who types.
    let encrypted = Memo::new(move |_| facts.with(|facts| facts.encrypted));
    Effect::new(move |_| {
        looks.track();
        if encrypted.get() {
            shares.ask(Ask::Who);
        }
    });
    let encrypt = move |_| shares.ask(Ask::Encrypt(Vec::new()));
    let body = move || {
        match encrypted.get() {
        true => shared(shares),
        false => view! {
            <p>"Whoever has its address can read what is published."</p>
            <div class="row">
                <button class="b" disabled=shares.busy on:click=encrypt>"Encrypt"</button>
            </div>
            <p class="s dim">
                "What you publish from then on is for you and those you share it with. Snapshots that \
                 are published already stay readable by everybody."
            </p>
        }
        .into_any(),
    }
    };
    view! {
        <section class="stack" aria-labelledby="rt">
            <h2 id="rt">"Who can read it"</h2>
            {body}
            {move || shares.failure.with(|failure| failure.as_ref().map(failed))}
        </section>
    }
}

/// The readers of an encrypted database, and the field for one more.
fn shared(shares: Shares) -> AnyView {
    let Shares { readers, busy, card, .. } = shares;
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let typed = card.with_untracked(|typed| typed.trim().to_owned());
        if !typed.is_empty() {
            shares.ask(Ask::Share(typed));
        }
    };
    view! {
        {move || readers.with(|all| all.as_ref().map(|all| list(all, shares)))}
        <form class="f" on:submit=submit>
            <label for="card">"Card of the person"</label>
            <div class="join">
                <input class="in id" id="card" bind:value=card autocomplete="off" spellcheck="false"
                    placeholder="craftec-card:…" aria-describedby="cardhelp"/>
                <button class="b" disabled=busy>"Share"</button>
            </div>
            <p class="help" id="cardhelp">
                "They copy it in their Settings, below Identity. It takes effect with the next \
                 publication."
            </p>
        </form>
    }
    .into_any()
}

fn list(all: &[String], shares: Shares) -> AnyView {
    if all.is_empty() {
        return view! { <p>"Only you, so far: it is shared with nobody."</p> }.into_any();
    }
    let row = |did: &String| {
        let others: Vec<String> = all.iter().filter(|other| *other != did).cloned().collect();
        let remove = move |_| shares.ask(Ask::Encrypt(others.clone()));
        view! {
            <li class="row idr">
                <span class="id brk">{did.clone()}</span>
                <button class="b small" disabled=shares.busy aria-label=format!("Remove {did}")
                    on:click=remove>"Remove"</button>
            </li>
        }
    };
    view! {
        <p>"You, and those you share it with:"</p>
        <ul class="stack" aria-label="Readers">{all.iter().map(row).collect_view()}</ul>
        <p class="s dim">
            "Removing somebody encrypts it anew, with another key. What they could read before, they \
             keep."
        </p>
    }
    .into_any()
}
