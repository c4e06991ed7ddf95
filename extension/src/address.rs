//! What a file name means: `craftobj://<did or me>/<name>`, a root, and what a URI says besides.

use std::{ffi::CStr, path::PathBuf};

use craftec_pager::Request;

/// How names begin.
const SCHEME: &str = "craftobj://";

/// A database, as its name says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// One of the node's own.
    Mine(String),
    /// Somebody's: the DID, and the name. The node's own if it has that DID.
    Named(String, String),
    /// A snapshot, by its root.
    Root(String),
}

impl Address {
    /// Reads a request. What is wrong with it, as a sentence.
    pub(crate) fn of(request: &Request<'_>) -> Result<Self, String> {
        // Without locks a reader would see pages of several states, and a writer mix them.
        for (key, refused) in [
            (c"nolock", "A database here can't be used without its locks: leave `nolock` out."),
            (
                c"immutable",
                "What changes is not immutable: leave that out, or name a state with `at`.",
            ),
        ] {
            if is_set(request, key) {
                return Err(refused.to_owned());
            }
        }
        let name = request.name.ok_or("The address is not UTF-8.")?;
        let address = Self::parse(name)?;
        match (request.parameter)(c"at") {
            Some(root) if is_root(root) => Ok(Self::Root(root.to_owned())),
            Some(root) => Err(format!("`at={root}` is not the CID of a snapshot.")),
            None => Ok(address),
        }
    }

    fn parse(name: &str) -> Result<Self, String> {
        let Some(address) = name.strip_prefix(SCHEME) else {
            return Err(format!(
                "`{name}` is no address: write file:{SCHEME}me/NAME?vfs=craft, or a DID for `me`."
            ));
        };
        match address.split_once('/') {
            None if is_root(address) => Ok(Self::Root(address.to_owned())),
            // A name that is an address would be taken for one.
            Some((_, name)) if name.is_empty() || name.starts_with(SCHEME) => {
                Err(format!("`{address}` names no database behind the `/`."))
            }
            Some(("me", name)) => Ok(Self::Mine(name.to_owned())),
            Some((did, name)) if did.starts_with("did:") => {
                Ok(Self::Named(did.to_owned(), name.to_owned()))
            }
            _ => {
                Err(format!("`{address}` begins with neither `me/`, a DID and `/`, nor is a CID."))
            }
        }
    }

    /// As the node reads it.
    pub(crate) fn for_node(&self) -> String {
        match self {
            Self::Mine(name) => name.clone(),
            Self::Named(did, name) => format!("{SCHEME}{did}/{name}"),
            Self::Root(root) => format!("{SCHEME}{root}"),
        }
    }
}

/// Whether a request wants a database that is made to be encrypted; one that is there must be.
pub(crate) fn encrypts(request: &Request<'_>) -> bool {
    is_set(request, c"encrypt")
}

fn is_set(request: &Request<'_>, key: &CStr) -> bool {
    let value = (request.parameter)(key);
    value.is_some_and(|value| !matches!(value, "false" | "no" | "off" | "0"))
}

/// Whether it may be a CID. The node says whether it is.
fn is_root(text: &str) -> bool {
    text.len() > 8 && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// The node's data folder, as the command line finds it.
pub(crate) fn data_folder() -> Result<PathBuf, String> {
    match std::env::var_os("CRAFTEC_DATA") {
        Some(folder) if folder.is_empty() => {
            Err("CRAFTEC_DATA is set and empty: name the node's data folder.".to_owned())
        }
        Some(folder) => std::path::absolute(&folder).map_err(|error| {
            format!("The data folder {} can't be found: {error}.", folder.display())
        }),
        None => directories::ProjectDirs::from("", "", "craftec")
            .map(|dirs| dirs.data_dir().to_owned())
            .ok_or_else(|| "There is no home folder: set CRAFTEC_DATA.".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, at: Option<&str>) -> Result<Address, String> {
        let parameter = |key: &std::ffi::CStr| if key == c"at" { at } else { None };
        Address::of(&Request { name: Some(name), may_create: true, parameter: &parameter })
    }

    #[test]
    fn names_lead_to_databases_and_nothing_else() {
        let mine = |name: &str| Ok(Address::Mine(name.to_owned()));
        assert_eq!(of("craftobj://me/shop", None), mine("shop"));
        assert_eq!(of("craftobj://me/a/b ; DROP", None), mine("a/b ; DROP"));
        let named = of("craftobj://did:craftec:abc/shop", None).unwrap();
        assert_eq!(named.for_node(), "craftobj://did:craftec:abc/shop");
        let root = "bafyr4iabcdefgh".to_owned();
        assert_eq!(of(&format!("craftobj://{root}"), None), Ok(Address::Root(root.clone())));
        assert_eq!(of("craftobj://me/shop", Some(&root)), Ok(Address::Root(root)));
        for bad in [
            "",
            "shop",
            "/etc/passwd",
            "craftobj:/me/shop",
            "craftobj://",
            "craftobj://me",
            "craftobj://me/",
            "craftobj:///shop",
            "craftobj://you/shop",
            "craftobj://../x",
            "craftobj://me/craftobj://me/x",
        ] {
            assert!(of(bad, None).is_err(), "{bad}");
        }
        for at in ["", "me/shop", "../../x", "b a"] {
            assert!(of("craftobj://me/shop", Some(at)).is_err(), "{at}");
        }
    }

    #[test]
    fn what_can_not_be_had_is_said() {
        let parameter = |key: &std::ffi::CStr| (key == c"nolock").then_some("true");
        let request =
            Request { name: Some("craftobj://me/x"), may_create: true, parameter: &parameter };
        assert!(Address::of(&request).unwrap_err().contains("nolock"));
    }
}
