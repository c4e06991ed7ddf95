//! Reading JavaScript's plain values as ours: numbers, texts, lists, and objects field by field.
//!
//! What is not there is `None`, `false` or empty; what is there must fit. Reading by hand what a
//! general deserializer could read saves a tenth of the app's download.

use js_sys::{Array, Reflect};
use wasm_bindgen::{JsCast as _, JsValue};

/// A value that does not fit, as a sentence's end: `peers.rttMs is no whole number`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Misfit(String);

impl Misfit {
    fn of(wanted: &str) -> Self {
        Self(format!(" is no {wanted}"))
    }

    fn below(self, name: &str) -> Self {
        let dot = if self.0.starts_with(' ') { "" } else { "." };
        Self(format!("{name}{dot}{}", self.0))
    }

    /// What does not fit, and why.
    pub(crate) fn words(&self) -> &str {
        self.0.trim_start()
    }
}

/// What can be read from a JavaScript value.
pub(crate) trait FromJs: Sized {
    /// Reads it.
    fn from_js(value: &JsValue) -> Result<Self, Misfit>;
}

impl FromJs for String {
    fn from_js(value: &JsValue) -> Result<Self, Misfit> {
        value.as_string().ok_or_else(|| Misfit::of("text"))
    }
}

impl FromJs for bool {
    fn from_js(value: &JsValue) -> Result<Self, Misfit> {
        match value.as_bool() {
            None if !value.is_undefined() => Err(Misfit::of("boolean")),
            known => Ok(known.unwrap_or_default()),
        }
    }
}

impl FromJs for u64 {
    fn from_js(value: &JsValue) -> Result<Self, Misfit> {
        // The cast saturates, so that only a whole number in range comes back as it was.
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss
        )]
        let whole = value.as_f64().map(|n| (n as Self, n)).filter(|(whole, n)| *whole as f64 == *n);
        whole.map(|(whole, _)| whole).ok_or_else(|| Misfit::of("whole number"))
    }
}

impl FromJs for u32 {
    fn from_js(value: &JsValue) -> Result<Self, Misfit> {
        u64::from_js(value)?.try_into().map_err(|_| Misfit::of("number below 2³²"))
    }
}

impl FromJs for u16 {
    fn from_js(value: &JsValue) -> Result<Self, Misfit> {
        u64::from_js(value)?.try_into().map_err(|_| Misfit::of("number below 2¹⁶"))
    }
}

impl<T: FromJs> FromJs for Option<T> {
    fn from_js(value: &JsValue) -> Result<Self, Misfit> {
        if value.is_undefined() || value.is_null() {
            return Ok(None);
        }
        T::from_js(value).map(Some)
    }
}

impl<T: FromJs> FromJs for Vec<T> {
    fn from_js(value: &JsValue) -> Result<Self, Misfit> {
        match value.dyn_ref::<Array>() {
            Some(list) => list.iter().map(|item| T::from_js(&item)).collect(),
            None if value.is_undefined() => Ok(Self::new()),
            None => Err(Misfit::of("list")),
        }
    }
}

/// A field of an object; `name` is ours, `rtt_ms`, and JavaScript's is `rttMs`.
pub(super) fn field<T: FromJs>(object: &JsValue, name: &str) -> Result<T, Misfit> {
    T::from_js(&property(object, name)?).map_err(|misfit| misfit.below(name))
}

fn property(object: &JsValue, name: &str) -> Result<JsValue, Misfit> {
    let mut camel = String::with_capacity(name.len());
    for part in name.split('_') {
        let first = if camel.is_empty() { "" } else { part.get(..1).unwrap_or("") };
        camel.push_str(&first.to_ascii_uppercase());
        camel.push_str(part.get(first.len()..).unwrap_or(""));
    }
    Reflect::get(object, &camel.into()).map_err(|_| Misfit::of("object"))
}

/// Which of `names` a text is; JavaScript writes them in lower case.
pub(super) fn named(value: &JsValue, names: &[&str]) -> Result<usize, Misfit> {
    let text = String::from_js(value)?;
    let named = names.iter().position(|name| name.eq_ignore_ascii_case(&text));
    named.ok_or_else(|| Misfit::of("word that this app knows"))
}

/// Structs that are read from an object's fields of the same names.
macro_rules! records {
    ($($(#[$meta:meta])* pub(crate) struct $name:ident {
        $($(#[$field_meta:meta])* pub(crate) $field:ident: $type:ty,)*
    })*) => {$(
        $(#[$meta])*
        pub(crate) struct $name {
            $($(#[$field_meta])* pub(crate) $field: $type,)*
        }

        impl $crate::node::js::FromJs for $name {
            fn from_js(value: &JsValue) -> Result<Self, $crate::node::js::Misfit> {
                Ok(Self { $($field: $crate::node::js::field(value, stringify!($field))?,)* })
            }
        }
    )*};
}

/// Enums that are read from a text, the name of one of their variants.
macro_rules! words {
    ($($(#[$meta:meta])* pub(crate) enum $name:ident {
        $($(#[$variant_meta:meta])* $variant:ident,)*
    })*) => {$(
        $(#[$meta])*
        pub(crate) enum $name {
            $($(#[$variant_meta])* $variant,)*
        }

        impl $crate::node::js::FromJs for $name {
            fn from_js(value: &JsValue) -> Result<Self, $crate::node::js::Misfit> {
                let names = [$(stringify!($variant)),*];
                Ok([$(Self::$variant),*][$crate::node::js::named(value, &names)?])
            }
        }
    )*};
}

pub(super) use {records, words};
