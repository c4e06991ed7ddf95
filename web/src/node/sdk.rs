//! `@craftec/sdk` as JavaScript sees it, and the conversion of its values and failures.
//!
//! Only signatures and conversions; no state and no decisions.

use js_sys::{Function, Map, Reflect};
use wasm_bindgen::{JsValue, prelude::wasm_bindgen};

use super::{js::FromJs, types::Failure};

#[wasm_bindgen(module = "/js/sdk.js")]
extern "C" {
    /// Imports the SDK.
    #[wasm_bindgen(catch, js_name = loadSdk)]
    pub(crate) async fn load_sdk() -> Result<JsValue, JsValue>;
}

#[wasm_bindgen]
extern "C" {
    /// The SDK's module.
    pub(crate) type Sdk;

    #[wasm_bindgen(method, catch, js_name = createNode)]
    pub(crate) async fn create_node(this: &Sdk, options: &JsValue) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch, js_name = registerApp)]
    pub(crate) async fn register_app(this: &Sdk) -> Result<JsValue, JsValue>;

    /// A node.
    #[derive(Clone)]
    pub(crate) type Node;

    #[wasm_bindgen(method, getter)]
    pub(crate) fn obj(this: &Node) -> Obj;
    #[wasm_bindgen(method, getter)]
    pub(crate) fn sites(this: &Node) -> Sites;
    #[wasm_bindgen(method, getter)]
    pub(crate) fn sql(this: &Node) -> Sql;
    #[wasm_bindgen(method, getter)]
    pub(crate) fn role(this: &Node) -> JsValue;
    #[wasm_bindgen(method, catch)]
    pub(crate) async fn status(this: &Node) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method)]
    pub(crate) fn on(this: &Node, event: &str, listener: &Function) -> Function;
    #[wasm_bindgen(method, catch)]
    pub(crate) async fn connect(this: &Node, addr: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(crate) async fn card(this: &Node) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch, js_name = backupWords)]
    pub(crate) async fn backup_words(this: &Node) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch, js_name = lendSpace)]
    pub(crate) async fn lend_space(this: &Node, bytes: &JsValue) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch, js_name = serveLimits)]
    pub(crate) async fn serve_limits(this: &Node, limits: &JsValue) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(crate) fn backup(this: &Node, options: &JsValue) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(crate) async fn restore(
        this: &Node,
        data: &JsValue,
        options: &JsValue,
    ) -> Result<JsValue, JsValue>;

    /// `node.obj`.
    pub(crate) type Obj;

    #[wasm_bindgen(method, catch)]
    pub(crate) async fn put(
        this: &Obj,
        data: &JsValue,
        options: &JsValue,
    ) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(crate) async fn open(
        this: &Obj,
        address: &str,
        options: &JsValue,
    ) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(crate) async fn stat(this: &Obj, cid: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(crate) async fn list(this: &Obj, address: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(crate) async fn pin(this: &Obj, cid: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(crate) async fn unpin(this: &Obj, cid: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(crate) async fn mine(this: &Obj) -> Result<JsValue, JsValue>;

    /// `node.sites`.
    pub(crate) type Sites;

    #[wasm_bindgen(method, catch)]
    pub(crate) async fn publish(
        this: &Sites,
        files: &Map,
        options: &JsValue,
    ) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch, js_name = list)]
    pub(crate) async fn list_sites(this: &Sites) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(crate) fn url(this: &Sites, root: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(crate) async fn resolve(this: &Sites, label: &str) -> Result<JsValue, JsValue>;
}

#[wasm_bindgen]
extern "C" {
    /// `node.sql`.
    pub(crate) type Sql;

    #[wasm_bindgen(method, catch, js_name = open)]
    pub(crate) async fn open_database(
        this: &Sql,
        database: &str,
        options: &JsValue,
    ) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch, js_name = list)]
    pub(crate) async fn list_databases(this: &Sql) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(crate) async fn history(this: &Sql, name: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch, js_name = remove)]
    pub(crate) async fn remove_database(this: &Sql, name: &str) -> Result<JsValue, JsValue>;

    /// An open database.
    #[derive(Clone)]
    pub(crate) type Database;

    #[wasm_bindgen(method, catch)]
    pub(crate) async fn table(this: &Database, sql: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(crate) async fn exec(this: &Database, sql: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(crate) async fn snapshot(this: &Database, options: &JsValue) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch, js_name = restore)]
    pub(crate) async fn restore_to(this: &Database, cid: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(crate) async fn branches(this: &Database) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(crate) async fn merge(
        this: &Database,
        branch: &str,
        strategy: &str,
    ) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(crate) async fn encrypt(this: &Database, readers: &JsValue) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(crate) async fn share(this: &Database, reader: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(crate) async fn readers(this: &Database) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(crate) async fn retain(this: &Database, rule: &JsValue) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(crate) async fn retention(this: &Database) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch, js_name = dropBranch)]
    pub(crate) async fn drop_branch(this: &Database, branch: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch, js_name = export)]
    pub(crate) fn export_file(this: &Database) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch, js_name = import)]
    pub(crate) async fn import_file(
        this: &Database,
        data: &JsValue,
        options: &JsValue,
    ) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, js_name = on)]
    pub(crate) fn on_change(this: &Database, event: &str, listener: &Function) -> Function;
    #[wasm_bindgen(method)]
    pub(crate) fn close(this: &Database);

    /// A number as JavaScript writes it, a `bigint` too.
    #[wasm_bindgen(js_name = String)]
    pub(crate) fn text_of(number: &JsValue) -> String;
}

/// A value of the SDK as ours.
pub(crate) fn read<T: FromJs>(value: JsValue) -> Result<T, Failure> {
    T::from_js(&value).map_err(|misfit| {
        let why = misfit.words();
        let words = format!("The node answered in a way this app can’t read: {why}.");
        Failure::here("internal", words)
    })
}

/// What was thrown, as a failure with words.
pub(crate) fn failure(thrown: JsValue) -> Failure {
    let text = |key: &str| Reflect::get(&thrown, &key.into()).ok().and_then(|v| v.as_string());
    if let (Some(code), Some(message)) = (text("code"), text("message")) {
        let retryable = Reflect::get(&thrown, &"retryable".into()).is_ok_and(|v| v.is_truthy());
        return Failure { code, message, hint: text("hint"), retryable };
    }
    let code = if text("name").as_deref() == Some("AbortError") { "aborted" } else { "internal" };
    let message = text("message")
        .or_else(|| thrown.as_string())
        .unwrap_or_else(|| "The browser gave no reason.".into());
    Failure::here(code, message)
}

/// An options object of the given fields; `undefined` ones are left out.
pub(crate) fn options(fields: &[(&str, JsValue)]) -> JsValue {
    let object = js_sys::Object::new();
    for (key, value) in fields {
        if !value.is_undefined() {
            // Setting a field of a fresh plain object can't fail.
            drop(Reflect::set(&object, &(*key).into(), value));
        }
    }
    object.into()
}
