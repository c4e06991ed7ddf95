//! What the app asks of the browser itself: place, time, storage, clipboard, downloads.
//!
//! Thin calls without state. A browser that lacks something answers `None` or an error, never a
//! panic.

use js_sys::{Date, Function, Reflect};
use leptos::prelude::{document, window};
use wasm_bindgen::{JsCast as _, JsValue, closure::Closure};
use wasm_bindgen_futures::JsFuture;

use crate::{address::Home, say::Now};

/// Where the theme is remembered.
const THEME_KEY: &str = "craftec.theme";

/// Where the app is served.
pub(crate) fn home() -> Home {
    let location = window().location();
    Home {
        protocol: location.protocol().unwrap_or_default(),
        host: location.host().unwrap_or_default(),
    }
}

/// The present moment on the reader's clock.
pub(crate) fn now() -> Now {
    let date = Date::new_0();
    // Both are whole numbers far below 2⁵³; the zone is at most 15 hours.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let (time_ms, behind_min) =
        (date.get_time().max(0.0) as u64, date.get_timezone_offset() as i64);
    Now { time_ms, zone_min: -behind_min }
}

/// Milliseconds since the page was opened.
pub(crate) fn page_age_ms() -> u64 {
    let age_ms = window().performance().map_or(0.0, |p| p.now());
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let age_ms = age_ms.max(0.0) as u64;
    age_ms
}

/// Whether the page is in the background.
pub(crate) fn hidden() -> bool {
    document().hidden()
}

/// Calls `act` again and again for as long as the page lives.
pub(crate) fn every(period_ms: i32, act: impl Fn() + 'static) {
    let closure = Closure::<dyn Fn()>::new(act);
    let function: &Function = closure.as_ref().unchecked_ref();
    // Fails only where a window has no timers.
    drop(window().set_interval_with_callback_and_timeout_and_arguments_0(function, period_ms));
    closure.forget();
}

/// Ends a call when the reader says so.
pub(crate) fn abort_controller() -> Option<web_sys::AbortController> {
    web_sys::AbortController::new().ok()
}

/// Puts text on the clipboard; `false` where the browser refuses.
pub(crate) async fn copy(text: &str) -> bool {
    let navigator = window().navigator();
    // Missing outside secure contexts, where the generated binding would panic.
    let clipboard = Reflect::get(&navigator, &"clipboard".into()).unwrap_or(JsValue::UNDEFINED);
    let Ok(clipboard) = clipboard.dyn_into::<web_sys::Clipboard>() else { return false };
    JsFuture::from(clipboard.write_text(text)).await.is_ok()
}

/// Whether the browser promised to keep this origin's data; `None` where it can't say.
pub(crate) async fn storage_is_kept() -> Option<bool> {
    let kept = storage_manager()?.persisted().ok()?;
    JsFuture::from(kept).await.ok()?.as_bool()
}

/// Asks the browser to keep this origin's data.
pub(crate) async fn keep_storage() -> Option<bool> {
    let kept = storage_manager()?.persist().ok()?;
    JsFuture::from(kept).await.ok()?.as_bool()
}

fn storage_manager() -> Option<web_sys::StorageManager> {
    Reflect::get(&window().navigator(), &"storage".into()).ok()?.dyn_into().ok()
}

/// What a backup of today is called.
pub(crate) fn backup_name() -> String {
    let date = Date::new_0();
    let (year, month, day) = (date.get_full_year(), date.get_month() + 1, date.get_date());
    format!("craftec-{year}-{month:02}-{day:02}.backup")
}

/// A theme: the system's, or one of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Theme {
    /// As the system is set.
    System,
    /// Light.
    Light,
    /// Dark.
    Dark,
}

impl Theme {
    /// Its name in storage and for `value` attributes.
    pub(crate) const fn key(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    /// The one that was chosen last.
    pub(crate) fn chosen() -> Self {
        let key = window().local_storage().ok().flatten().and_then(|s| s.get_item(THEME_KEY).ok());
        match key.flatten().as_deref() {
            Some("light") => Self::Light,
            Some("dark") => Self::Dark,
            _ => Self::System,
        }
    }

    /// Applies and remembers it.
    pub(crate) fn choose(self) {
        if let Some(root) = document().document_element() {
            // `theme.js` reads the same key before the first frame.
            drop(root.set_attribute("data-theme", self.key()));
        }
        if let Ok(Some(storage)) = window().local_storage() {
            // Refused in some private windows: the choice then lasts for this page.
            drop(storage.set_item(THEME_KEY, self.key()));
        }
    }
}

/// Calls a method that may return a promise, and waits for it.
async fn call(target: &JsValue, method: &str, arguments: &[JsValue]) -> Result<JsValue, JsValue> {
    let function: Function = Reflect::get(target, &method.into())?.dyn_into()?;
    let returned = function.apply(target, &arguments.iter().collect())?;
    JsFuture::from(js_sys::Promise::resolve(&returned)).await
}

/// A file that the reader chose to write a download to; `None` where the browser has no such
/// picker and keeps downloads by itself.
pub(crate) async fn pick_save_target(name: &str) -> Result<Option<JsValue>, JsValue> {
    let window: JsValue = window().into();
    let picker = Reflect::get(&window, &"showSaveFilePicker".into())?;
    let Ok(picker) = picker.dyn_into::<Function>() else { return Ok(None) };
    let options = js_sys::Object::new();
    Reflect::set(&options, &"suggestedName".into(), &name.into())?;
    let handle = picker.call1(&window, &options)?;
    let handle = JsFuture::from(js_sys::Promise::resolve(&handle)).await?;
    call(&handle, "createWritable", &[]).await.map(Some)
}

/// Writes the body of an opened object to the picked file, or gathers it into a download.
pub(crate) async fn save_stream(
    opened: &JsValue,
    name: &str,
    target: Option<JsValue>,
) -> Result<(), JsValue> {
    let body = Reflect::get(opened, &"body".into())?;
    if let Some(target) = target {
        return call(&body, "pipeTo", &[target]).await.map(drop);
    }
    let response = Reflect::get(&js_sys::global(), &"Response".into())?;
    let arguments = js_sys::Array::of1(&body);
    let response = Reflect::construct(&response.dyn_into()?, &arguments)?;
    let blob: web_sys::Blob = call(&response, "blob", &[]).await?.dyn_into()?;
    let url = web_sys::Url::create_object_url_with_blob(&blob)?;
    let link: web_sys::HtmlElement = document().create_element("a")?.dyn_into()?;
    link.set_attribute("href", &url)?;
    link.set_attribute("download", name)?;
    link.click();
    // The download has its own hold on the blob once it began.
    let revoke = Closure::once_into_js(move || drop(web_sys::Url::revoke_object_url(&url)));
    leptos::prelude::window()
        .set_timeout_with_callback_and_timeout_and_arguments_0(revoke.unchecked_ref(), 60_000)?;
    Ok(())
}
