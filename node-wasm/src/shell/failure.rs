//! Why a node did not start, or ended, as JavaScript gets to know it.

use std::{cell::RefCell, io, panic};

use craftec_api::{ApiError, ErrorCode};
use craftec_node::NodeError;
use craftec_obj::StoreError;
use craftec_p2p::NetError;
use js_sys::{Function, Object, Reflect};
use wasm_bindgen::JsValue;

thread_local! {
    /// Whom to tell of a panic. The hook itself must be `Send`, a function of JavaScript is not.
    static PANICKED: RefCell<Option<Function>> = const { RefCell::new(None) };
}

/// A failure on its way to JavaScript.
#[derive(Debug)]
pub(super) struct Failure(ApiError);

impl Failure {
    /// What the page gave us is wrong.
    pub(super) fn input(reason: impl ToString) -> Self {
        Self(ApiError::new(ErrorCode::BadInput, reason.to_string()))
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::InvalidInput {
            return Self::input(error);
        }
        let hint = "Private windows and blocked site data leave no room for a node.";
        Self(ApiError::new(ErrorCode::Storage, error.to_string()).hint(hint))
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let code = match error {
            StoreError::Full { .. } => ErrorCode::Full,
            StoreError::Busy => ErrorCode::Unavailable,
            _ => ErrorCode::Storage,
        };
        let mut api = ApiError::new(code, error.to_string());
        api.retryable = error.is_retryable();
        Self(api)
    }
}

impl From<NodeError> for Failure {
    fn from(error: NodeError) -> Self {
        match error {
            NodeError::Store(error) => error.into(),
            other => Self(ApiError::new(ErrorCode::Storage, other.to_string())),
        }
    }
}

impl From<NetError> for Failure {
    fn from(error: NetError) -> Self {
        let code = match error {
            NetError::Address { .. } => ErrorCode::BadInput,
            _ => ErrorCode::Unavailable,
        };
        Self(ApiError::new(code, error.to_string()))
    }
}

/// `{ code, message, hint, retryable }`, as in the node's language.
impl From<Failure> for JsValue {
    fn from(Failure(error): Failure) -> Self {
        let code = match error.code {
            ErrorCode::BadInput => "bad_input",
            ErrorCode::Full => "full",
            ErrorCode::Unavailable => "unavailable",
            ErrorCode::Storage => "storage",
            _ => "internal",
        };
        let object = Object::new();
        let fields = [
            ("code", code.into()),
            ("message", error.message.into()),
            ("hint", error.hint.map_or(JsValue::NULL, JsValue::from)),
            ("retryable", error.retryable.into()),
        ];
        for (name, value) in fields {
            // A fresh plain object takes every field.
            let _ = Reflect::set(&object, &name.into(), &value);
        }
        object.into()
    }
}

/// From now on a panic is written to the console and told to `panicked`.
pub(super) fn on_panic(panicked: Function) {
    PANICKED.set(Some(panicked));
    panic::set_hook(Box::new(|info| {
        console_error_panic_hook::hook(info);
        let told = PANICKED.try_with(|panicked| {
            if let Ok(panicked) = panicked.try_borrow()
                && let Some(panicked) = panicked.as_ref()
            {
                let _ = panicked.call1(&JsValue::NULL, &info.to_string().into());
            }
        });
        let _ = told;
    }));
}
