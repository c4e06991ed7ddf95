//! Databases: which there are, and one of them with its tables, statements, history and files.

mod branches;
mod history;
mod list;
mod one;
mod query;
mod readers;
mod retention;

use leptos::prelude::*;

use self::{list::List, one::One};
use crate::{app::titled, location::Location, node::types::Failure};

/// The screen. What is shown is in the address, so that reload and back work: `db` is a name or an
/// address, `at` the root of one of its snapshots.
#[component]
pub(crate) fn Databases() -> impl IntoView {
    titled("Databases");
    let location = expect_context::<Location>();
    let (chosen, at) = (location.query("db"), location.query("at"));
    // Of the list, or of a database that is no longer shown.
    let failure = RwSignal::new(None::<Failure>);
    let shown = move || {
        match chosen.get().filter(|name| !name.is_empty()) {
        Some(name) => view! { <One name at=at.get() failure/> }.into_any(),
        None => view! {
            <div class="head"><div>
                <h1>"Databases"</h1>
                <p>
                    "Ordinary SQLite, in this browser. What you commit is durable here at once; what \
                     you publish can be read by anyone who has its address, page by page, checked. \
                     An encrypted one is read only by you and those you share it with."
                </p>
            </div></div>
        }
        .into_any(),
    }
    };
    view! {
        <div class="two sqlp">
            <List chosen failure/>
            <div class="stack wide">{shown}</div>
        </div>
    }
}

/// The place of a database, or of one of its snapshots.
fn place(name: &str, at: Option<&str>) -> String {
    let encoded = |text: &str| String::from(js_sys::encode_uri_component(text));
    let at = at.map_or_else(String::new, |at| format!("&at={}", encoded(at)));
    format!("/databases?db={}{at}", encoded(name))
}
