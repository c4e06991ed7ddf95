//! The rail of links; below 896 px a sheet opened by Menu.

use leptos::prelude::*;
use wasm_bindgen::JsCast as _;

use super::marks::{icon, logo, print};
use crate::{location::Location, node::NodeState, say};

/// Path, name and icon of each place.
const PLACES: [(&str, &str, &str); 6] = [
    ("/", "Home", "#i-home"),
    ("/sites", "Sites", "#i-site"),
    ("/files", "Files", "#i-files"),
    ("/databases", "Databases", "#i-db"),
    ("/open", "Open", "#i-ext"),
    ("/network", "Network", "#i-net"),
];

/// Closes the sheet, where it is open.
pub(crate) fn close_menu() {
    let nav = document().get_element_by_id("nav");
    if let Some(nav) = nav.and_then(|nav| nav.dyn_into::<web_sys::HtmlElement>().ok()) {
        // Fails where it is not open.
        drop(nav.hide_popover());
    }
}

/// The rail, and the bar that opens it on a small screen.
#[component]
pub(crate) fn Nav() -> impl IntoView {
    let places = PLACES.map(|(path, name, symbol)| view! { <li><Place path name symbol/></li> });
    view! {
        <header class="bar">
            <Mark/>
            <button type="button" class="b quiet" popovertarget="nav">
                {icon("#i-menu")} " Menu"
            </button>
        </header>
        <nav class="nav" id="nav" popover="" aria-label="Main">
            <Mark/>
            <ul>{places.collect_view()}</ul>
            <div class="foot">
                <ul><li><Place path="/settings" name="Settings" symbol="#i-gear"/></li></ul>
                <Me/>
            </div>
        </nav>
    }
}

/// The name of the app, which leads home.
#[component]
fn Mark() -> impl IntoView {
    let path = expect_context::<Location>().path();
    let current = move || path.with(|path| path == "/").then_some("page");
    view! { <a class="mark" href="/" aria-current=current>{logo()} "Craftec"</a> }
}

#[component]
fn Place(path: &'static str, name: &'static str, symbol: &'static str) -> impl IntoView {
    let state = expect_context::<NodeState>();
    let here = expect_context::<Location>().path();
    let amount = move || match path {
        "/sites" => state.sites.with(|s| s.as_ref().map_or(0, Vec::len)),
        "/files" => state.objects.with(|o| o.as_ref().map_or(0, Vec::len)),
        "/databases" => state.databases.with(|d| d.as_ref().map_or(0, Vec::len)),
        "/network" => state.peers.with(Vec::len),
        _ => 0,
    };
    let amount = move || {
        let n = amount();
        (n > 0).then(|| view! { <span class="n">{say::count(n as u64)}</span> })
    };
    // Publishing is something one does to Sites.
    let current = move || {
        here.with(|here| match path {
            "/" => here == "/",
            "/sites" => here.starts_with("/sites") || here.starts_with("/publish"),
            path => here.starts_with(path),
        })
        .then_some("page")
    };
    view! { <a href=path aria-current=current>{icon(symbol)} " " {name} {amount}</a> }
}

/// Who this browser is.
#[component]
fn Me() -> impl IntoView {
    let state = expect_context::<NodeState>();
    move || {
        let did = state.status.with(|s| s.as_ref().map(|s| s.did.clone()))?;
        let short = say::tail(&did, 6).to_owned();
        Some(view! {
            <a class="me" href="/settings" aria-label="This browser’s identity">
                {print(&did)}
                <span>
                    <b>"This browser"</b>
                    <span class="id" title=did><span class="e">"…"</span>{short}</span>
                </span>
            </a>
        })
    }
}
