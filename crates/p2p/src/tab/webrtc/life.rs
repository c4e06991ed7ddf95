//! Tells the page when this worker ends. A terminated or crashed worker fires no event in the page,
//! and its peer connections would live on there, open and dead to the other side. So the worker
//! holds a Web Lock all its life and the page queues for it: being granted it means the end.

use js_sys::{Function, Promise, Reflect};
use wasm_bindgen::{JsCast, JsValue, closure::Closure};

fn member(of: &JsValue, key: &str) -> Option<JsValue> {
    Reflect::get(of, &key.into()).ok().filter(|v| !v.is_undefined() && !v.is_null())
}

fn fresh_name(global: &JsValue) -> Option<String> {
    let crypto = member(global, "crypto")?;
    let random: Function = member(&crypto, "randomUUID")?.dyn_into().ok()?;
    Some(format!("craftec-node-{}", random.call0(&crypto).ok()?.as_string()?))
}

/// Takes a lock of a fresh name and calls `held` with that name once it is ours.
pub(crate) fn hold_lock(held: impl FnOnce(String) + 'static) {
    if request(held).is_none() {
        // Only without HTTPS or `localhost`; then `pagehide` alone closes what the page lends.
        tracing::warn!("no Web Locks here: the page cannot see this worker end");
    }
}

fn request(held: impl FnOnce(String) + 'static) -> Option<()> {
    let global = JsValue::from(js_sys::global());
    let name = fresh_name(&global)?;
    let locks = member(&member(&global, "navigator")?, "locks")?;
    let request: Function = member(&locks, "request")?.dyn_into().ok()?;
    let granted = {
        let name = name.clone();
        Closure::once_into_js(move || {
            held(name);
            // Never settles: the lock is held until the worker is gone.
            JsValue::from(Promise::new(&mut |_, _| {}))
        })
    };
    request.call2(&locks, &name.into(), &granted).ok().map(drop)
}
