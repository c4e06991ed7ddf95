//! A link to hand on: the field, the copy button and the QR code.

use leptos::prelude::*;

use super::words::Copy;
use crate::qr;

/// The link in a field, with its copy button.
#[component]
pub(crate) fn LinkField(
    /// The link.
    #[prop(into)]
    url: Signal<String>,
) -> impl IntoView {
    let select = move |event: leptos::ev::FocusEvent| {
        event_target::<web_sys::HtmlInputElement>(&event).select();
    };
    view! {
        <div class="f">
            <label for="link">"Link"</label>
            <div class="join">
                <input class="in id" id="link" readonly prop:value=url on:focus=select
                    aria-describedby="linkhelp"/>
                <Copy text=url name="Copy link" class="b go"/>
            </div>
            <p class="help" id="linkhelp">
                "The address is the content. Nobody, you included, can change what this link shows."
            </p>
        </div>
    }
}

/// The link of a name, which follows newer versions.
#[component]
pub(crate) fn NewestLink(
    /// The link.
    #[prop(into)]
    url: Signal<String>,
) -> impl IntoView {
    view! {
        <div class="f">
            <label for="newest">"Link to the newest version"</label>
            <div class="join">
                <input class="in id" id="newest" readonly prop:value=url
                    aria-describedby="newesthelp"/>
                <Copy text=url name="Copy newest link" class="b"/>
            </div>
            <p class="help" id="newesthelp">
                "It shows what you last published under this name. Only this identity can move it."
            </p>
        </div>
    }
}

/// The link as a QR code.
pub(crate) fn qr_figure(url: &str) -> Option<impl IntoView + use<>> {
    let (path, side) = qr::path(url)?;
    let view_box = format!("-3 -3 {0} {0}", side + 6);
    let local = url.split('/').nth(2).is_some_and(|host| host.contains("localhost"));
    let caption = if local {
        "Scanning works once the app is served under a public name: localhost means this computer."
    } else {
        "Scan to open on a phone. It joins through a relay, then talks to holders directly."
    };
    Some(view! {
        <figure class="qr">
            <svg viewBox=view_box role="img" aria-label="QR code of the link">
                <path d=path/>
            </svg>
            <figcaption class="s dim">{caption}</figcaption>
        </figure>
    })
}
