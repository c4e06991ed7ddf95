//! Reads what the page configures. Unknown fields are ignored: the SDK is typed.

use js_sys::{Array, Reflect};
use wasm_bindgen::{JsCast, JsValue};

use super::failure::Failure;

/// Relays that one tab keeps connections to.
const RELAYS: u32 = 16;
/// Turns of looking after coded objects: shorter ones would only ask more, longer ones find what is
/// lost too late.
const MEND_SECONDS: std::ops::RangeInclusive<u64> = 2..=86_400;
/// Longest agent string (what identify sends).
const AGENT_CHARS: usize = 128;

/// How a tab's node is started.
pub(super) struct StartConfig {
    /// Multiaddrs.
    pub(super) relays: Vec<String>,
    /// Folder in the origin private file system.
    pub(super) folder: String,
    /// Bytes kept for others; the node decides where absent.
    pub(super) lend_bytes: Option<u64>,
    /// Seconds of a turn in which one holder of a coded object looks after it; the node decides where
    /// absent.
    pub(super) mend_seconds: Option<u64>,
    /// Software and version.
    pub(super) agent: Option<String>,
    /// An `RTCConfiguration`, or undefined.
    pub(super) rtc: JsValue,
}

impl StartConfig {
    pub(super) fn read(config: &JsValue) -> Result<Self, JsValue> {
        let text = |name: &str| match field(config, name) {
            value if value.is_undefined() => Ok(None),
            value => value.as_string().map(Some).ok_or_else(|| wrong(name, "a string")),
        };
        let folder = text("folder")?.unwrap_or_else(|| "craftec".to_owned());
        let agent = text("agent")?;
        if agent.as_ref().is_some_and(|agent| agent.len() > AGENT_CHARS) {
            return Err(wrong("agent", "at most 128 bytes long"));
        }
        let number = |name: &str, wanted: &str| match field(config, name) {
            value if value.is_undefined() => Ok(None),
            value => whole(&value).map(Some).ok_or_else(|| wrong(name, wanted)),
        };
        let lend_bytes = number("lendBytes", "a number of bytes")?;
        let mend_seconds = number("mendSeconds", "a number of seconds")?;
        if mend_seconds.is_some_and(|seconds| !MEND_SECONDS.contains(&seconds)) {
            return Err(wrong("mendSeconds", "2 to 86400"));
        }
        let (relays, rtc) = (relays(config)?, field(config, "rtc"));
        Ok(Self { relays, folder, lend_bytes, mend_seconds, agent, rtc })
    }
}

fn relays(config: &JsValue) -> Result<Vec<String>, JsValue> {
    let list = field(config, "relays");
    if list.is_undefined() {
        return Ok(Vec::new());
    }
    let list: Array = list.dyn_into().map_err(|_| wrong("relays", "a list of addresses"))?;
    if list.length() > RELAYS {
        return Err(wrong("relays", "at most 16 addresses"));
    }
    list.iter()
        .map(|relay| relay.as_string().ok_or_else(|| wrong("relays", "a list of addresses")))
        .collect()
}

fn field(config: &JsValue, name: &str) -> JsValue {
    Reflect::get(config, &name.into()).unwrap_or(JsValue::UNDEFINED)
}

/// A whole number that a double holds exactly.
fn whole(value: &JsValue) -> Option<u64> {
    let number = value.as_f64()?;
    let whole = (0.0..=js_sys::Number::MAX_SAFE_INTEGER).contains(&number) && number.fract() == 0.0;
    whole.then_some(number as u64)
}

fn wrong(name: &str, wanted: &str) -> JsValue {
    Failure::input(format!("`{name}` must be {wanted}")).into()
}
