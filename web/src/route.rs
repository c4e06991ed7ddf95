//! Places in the app as text: the path and query of its address, and the screen that each shows.
//!
//! Pure text. A path that belongs to no screen is [`Screen::Lost`], never an error.

use crate::address::decode;

/// A place: what stands in the address bar behind the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// With its leading slash and without a trailing one: `/sites`.
    pub(crate) path: String,
    query: String,
}

/// What is shown at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Screen {
    /// How the node is.
    Home,
    /// Making a site.
    Publish,
    /// What was published.
    Sites,
    /// One site.
    Site,
    /// What was put.
    Files,
    /// Databases, and one of them.
    Databases,
    /// What somebody sent.
    Open,
    /// Who is connected.
    Network,
    /// What can be chosen.
    Settings,
    /// Nothing is there.
    Lost,
}

impl Place {
    /// Reads `/path?query`; `#` and what follows is no part of a place.
    pub(crate) fn of(address: &str) -> Self {
        let address = address.split('#').next().unwrap_or("");
        let (path, query) = address.split_once('?').unwrap_or((address, ""));
        Self { path: format!("/{}", path.trim_matches('/')), query: query.to_owned() }
    }

    /// What is shown here.
    pub(crate) fn screen(&self) -> Screen {
        match self.path.as_str() {
            "/" => Screen::Home,
            "/publish" => Screen::Publish,
            "/sites" => Screen::Sites,
            "/files" => Screen::Files,
            "/databases" => Screen::Databases,
            "/open" => Screen::Open,
            "/network" => Screen::Network,
            "/settings" => Screen::Settings,
            _ if self.site().is_some() => Screen::Site,
            _ => Screen::Lost,
        }
    }

    /// The site that is named by `/sites/<cid>`.
    pub(crate) fn site(&self) -> Option<String> {
        let name = self.path.strip_prefix("/sites/")?;
        (!name.contains('/')).then(|| decode(name))
    }

    /// A value of the query as a form would have sent it: `+` is a space.
    pub(crate) fn query(&self, key: &str) -> Option<String> {
        let named = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (name == key).then(|| decode(&value.replace('+', " ")))
        };
        self.query.split('&').find_map(named)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_has_its_screen() {
        let screens = [
            ("", Screen::Home),
            ("/", Screen::Home),
            ("/?x=y", Screen::Home),
            ("/publish", Screen::Publish),
            ("/sites", Screen::Sites),
            ("/sites/", Screen::Sites),
            ("/sites/bafy?x#y", Screen::Site),
            ("/sites/bafy/", Screen::Site),
            ("/sites/bafy/more", Screen::Lost),
            ("/files?cid=bafk", Screen::Files),
            ("/databases?db=shop&at=bafy", Screen::Databases),
            ("/open#top", Screen::Open),
            ("/network", Screen::Network),
            ("/settings", Screen::Settings),
            ("/siteson", Screen::Lost),
            ("/nowhere", Screen::Lost),
        ];
        for (address, screen) in screens {
            assert_eq!(Place::of(address).screen(), screen, "{address}");
        }
    }

    #[test]
    fn a_site_is_named_by_its_path() {
        assert_eq!(Place::of("/sites/bafy").site().as_deref(), Some("bafy"));
        assert_eq!(Place::of("/sites/a%20b/").site().as_deref(), Some("a b"));
        assert_eq!(Place::of("/sites").site(), None);
        assert_eq!(Place::of("/files/bafy").site(), None);
    }

    #[test]
    fn a_query_is_read_as_forms_write_it() {
        let place = Place::of("/open?root=bafy&path=a+b/%C3%BC%26.html&empty=&flag#query");
        assert_eq!(place.query("root").as_deref(), Some("bafy"));
        assert_eq!(place.query("path").as_deref(), Some("a b/ü&.html"));
        assert_eq!(place.query("empty").as_deref(), Some(""));
        assert_eq!(place.query("flag").as_deref(), Some(""));
        assert_eq!(place.query("roo"), None);
        assert_eq!(Place::of("/open").query("root"), None);
    }
}
