//! The frame around every screen, and which screen is shown for which path.

use leptos::prelude::*;
use wasm_bindgen::JsCast as _;

use crate::{
    location::Location,
    node::{NodeState, types::Failure},
    parts::{nav::Nav, strip::Strip},
    pick::Picked,
    route::Screen,
    screens::{
        databases::Databases, files::Files, home::Home, lost::Lost, network::Network, open::Open,
        publish::Publish, settings::Settings, site::Site, sites::Sites,
    },
};

/// What the reader dropped or chose, on its way from one screen to the next.
#[derive(Clone, Copy)]
pub(crate) struct Picking {
    /// Ready for review.
    pub(crate) picked: RwSignal<Option<Picked>, LocalStorage>,
    /// Files listed so far, while a folder is being read.
    pub(crate) listing: RwSignal<Option<u64>>,
    /// Why the last pick came to nothing.
    pub(crate) failure: RwSignal<Option<Failure>>,
}

/// The app.
#[component]
pub(crate) fn App() -> impl IntoView {
    let location = Location::provide();
    NodeState::provide();
    provide_context(Picking {
        picked: RwSignal::new_local(None),
        listing: RwSignal::new(None),
        failure: RwSignal::new(None),
    });
    arrive(location);
    let shown = location.screen();
    view! {
        <a class="skip" href="#main" rel="external" on:click=to_main>"Skip to content"</a>
        <Nav/>
        <Strip/>
        <main id="main" tabindex="-1">{move || screen(shown.get())}</main>
    }
}

/// A screen, drawn anew.
fn screen(shown: Screen) -> AnyView {
    match shown {
        Screen::Home => Home().into_any(),
        Screen::Publish => Publish().into_any(),
        Screen::Sites => Sites().into_any(),
        Screen::Site => Site().into_any(),
        Screen::Files => Files().into_any(),
        Screen::Databases => Databases().into_any(),
        Screen::Open => Open().into_any(),
        Screen::Network => Network().into_any(),
        Screen::Settings => Settings().into_any(),
        Screen::Lost => Lost().into_any(),
    }
}

fn to_main(event: leptos::ev::MouseEvent) {
    event.prevent_default();
    focus_main();
}

fn focus_main() {
    let main = document().get_element_by_id("main");
    if let Some(main) = main.and_then(|main| main.dyn_into::<web_sys::HtmlElement>().ok()) {
        // Fails only for an element that can't take focus.
        drop(main.focus());
    }
}

/// After a change of screen: the menu closes and reading starts at the top of the new screen.
fn arrive(location: Location) {
    let path = location.path();
    Effect::new(move |first: Option<()>| {
        path.track();
        if first.is_some() {
            crate::parts::nav::close_menu();
            request_animation_frame(focus_main);
        }
    });
}

/// Names the page in the tab and in the history.
pub(crate) fn titled(name: &str) {
    document().set_title(&format!("{name} · Craftec"));
}
