//! Where the reader is: the address bar as a signal, and links that change it without a reload.
//!
//! The app's own router. It has few places and no nesting, and a general router would be a fifth of
//! what a browser downloads before the app works. A click that the reader wants elsewhere (another
//! tab, a download, another origin) is left to the browser.

use leptos::{ev, prelude::*};
use wasm_bindgen::{JsCast as _, JsValue};
use web_sys::HtmlAnchorElement;

use crate::route::{Place, Screen};

/// The address bar.
#[derive(Clone, Copy)]
pub(crate) struct Location(RwSignal<Place>);

impl Location {
    /// Follows the address bar for as long as the page lives, and tells the screens.
    pub(crate) fn provide() -> Self {
        let location = Self(RwSignal::new(Place::of(&address())));
        provide_context(location);
        window_event_listener(ev::click, move |click| location.follow(&click));
        // Back and forward.
        window_event_listener(ev::popstate, move |_| location.0.set(Place::of(&address())));
        location
    }

    /// The path: `/sites`.
    pub(crate) fn path(self) -> Memo<String> {
        Memo::new(move |_| self.0.with(|place| place.path.clone()))
    }

    /// What is shown.
    pub(crate) fn screen(self) -> Memo<Screen> {
        Memo::new(move |_| self.0.with(Place::screen))
    }

    /// The site that the path names.
    pub(crate) fn site(self) -> Memo<Option<String>> {
        Memo::new(move |_| self.0.with(Place::site))
    }

    /// A value of the query.
    pub(crate) fn query(self, key: &'static str) -> Memo<Option<String>> {
        Memo::new(move |_| self.0.with(|place| place.query(key)))
    }

    /// Goes to a place of the app and to the top of its screen.
    pub(crate) fn go(self, to: &str) {
        self.change(to, true);
    }

    /// Changes the address, and the screen with it.
    fn change(self, to: &str, to_top: bool) {
        if to != address() {
            let history = window().history();
            // A browser that takes no more entries still shows the screen.
            drop(history.map(|h| h.push_state_with_url(&JsValue::NULL, "", Some(to))));
        }
        self.0.set(Place::of(to));
        if to_top {
            window().scroll_to_with_x_and_y(0.0, 0.0);
        }
    }

    /// Follows a link of the app in place of the browser.
    fn follow(self, click: &ev::MouseEvent) {
        let modified = click.meta_key() || click.alt_key() || click.ctrl_key() || click.shift_key();
        if click.default_prevented() || click.button() != 0 || modified {
            return;
        }
        let pressed = click.target().and_then(|target| target.dyn_into::<web_sys::Element>().ok());
        let link = pressed.and_then(|element| element.closest("a[href]").ok().flatten());
        let Some(link) = link.and_then(|link| link.dyn_into::<HtmlAnchorElement>().ok()) else {
            return;
        };
        let elsewhere = !link.target().is_empty()
            || link.has_attribute("download")
            || link.rel() == "external"
            || window().location().origin().ok() != Some(link.origin());
        if elsewhere {
            return;
        }
        click.prevent_default();
        let to = format!("{}{}{}", link.pathname(), link.search(), link.hash());
        self.change(&to, !link.has_attribute("data-noscroll"));
    }
}

/// What the address bar says behind the host.
fn address() -> String {
    let location = window().location();
    let part = Result::unwrap_or_default;
    format!("{}{}{}", part(location.pathname()), part(location.search()), part(location.hash()))
}
