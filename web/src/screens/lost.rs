//! A path that leads nowhere.

use leptos::prelude::*;

use crate::app::titled;

/// Says so, with the way back.
#[component]
pub(crate) fn Lost() -> impl IntoView {
    titled("No such page");
    view! {
        <div class="head">
            <div>
                <h1>"There is no such page"</h1>
                <p>
                    "The address may be mistyped. Nothing is lost: your sites are under "
                    <a href="/sites">"Sites"</a> ", and a link or CID opens under "
                    <a href="/open">"Open"</a> "."
                </p>
            </div>
        </div>
    }
}
