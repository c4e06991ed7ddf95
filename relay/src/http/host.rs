//! Which of our origins a request is for, read from its Host. Every site has an origin of its own;
//! a host that is none of ours gets no content, which also stops DNS rebinding.

use std::net::IpAddr;

use craftec_core::{Cid, CidError};

/// Length of a name's label after its `n`: 32 bytes in base32.
const LABEL_CHARS: usize = 52;

/// What a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// `localhost`, an IP address, or the domain itself: health and redirects.
    Bare {
        /// Whether the host can only mean this machine.
        loopback: bool,
    },
    /// The web app.
    App,
    /// A site by its content.
    Site(Cid),
    /// A site by the label of its name.
    Name(String),
}

/// Why a host is not served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HostError {
    /// No host, or more than one, or not a host at all.
    #[error("the request names no valid host")]
    Malformed,
    /// Somebody else's.
    #[error("`{0}` is not a host of this node")]
    Foreign(String),
    /// One of ours, but no address of content.
    #[error("`{label}` is no site: {reason}")]
    Label {
        /// What stands before the domain.
        label: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// A host as the browser sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// `http` or `https`.
    pub(crate) scheme: &'static str,
    /// The domain of app and sites.
    pub(crate) domain: String,
    /// The port, where it is not the scheme's own.
    pub(crate) port: Option<u16>,
}

impl Origin {
    fn suffix(&self) -> String {
        self.port.map(|port| format!(":{port}")).unwrap_or_default()
    }

    /// The web app's origin.
    pub(crate) fn app(&self) -> String {
        format!("{}://app.{}{}", self.scheme, self.domain, self.suffix())
    }

    /// Whether this node serves one person's own machine, rather than the web: the names below
    /// `localhost` never leave it.
    pub(crate) fn is_local(&self) -> bool {
        self.domain == "localhost" || self.domain.ends_with(".localhost")
    }

    /// What sites are below.
    pub(crate) fn gateway(&self) -> String {
        format!("{}://{}{}", self.scheme, self.domain, self.suffix())
    }

    /// All sites, as Content-Security-Policy writes it.
    pub(crate) fn sites(&self) -> String {
        format!("{}://*.{}{}", self.scheme, self.domain, self.suffix())
    }
}

/// Splits `host:port`.
pub(crate) fn split(host: &str) -> Result<(&str, Option<u16>), HostError> {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (name, rest) = rest.split_once(']').ok_or(HostError::Malformed)?;
            match rest.strip_prefix(':') {
                Some(port) => (name, Some(port)),
                None if rest.is_empty() => (name, None),
                None => return Err(HostError::Malformed),
            }
        }
        None => match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        },
    };
    if name.is_empty() {
        return Err(HostError::Malformed);
    }
    let port = match port {
        None => None,
        Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => {
            Some(port.parse().map_err(|_| HostError::Malformed)?)
        }
        Some(_) => return Err(HostError::Malformed),
    };
    Ok((name, port))
}

/// Finds the place of a host name without its port.
pub(crate) fn place(name: &str, domain: &str) -> Result<Place, HostError> {
    if let Ok(ip) = name.parse::<IpAddr>() {
        return Ok(Place::Bare { loopback: ip.is_loopback() });
    }
    if name.eq_ignore_ascii_case("localhost") {
        return Ok(Place::Bare { loopback: true });
    }
    if name.eq_ignore_ascii_case(domain) {
        return Ok(Place::Bare { loopback: false });
    }
    let label = name
        .len()
        .checked_sub(domain.len() + 1)
        .and_then(|cut| name.split_at_checked(cut))
        .filter(|(_, rest)| rest.starts_with('.') && rest[1..].eq_ignore_ascii_case(domain))
        .map(|(label, _)| label)
        .ok_or_else(|| HostError::Foreign(name.to_owned()))?;
    if label.eq_ignore_ascii_case("app") {
        return Ok(Place::App);
    }
    site(label).map_err(|reason| HostError::Label { label: label.to_owned(), reason })
}

fn site(label: &str) -> Result<Place, String> {
    if label.contains('.') {
        return Err("a site is one label below the domain".to_owned());
    }
    if is_name(label) {
        return Ok(Place::Name(label.to_owned()));
    }
    match label.parse::<Cid>() {
        Ok(cid) => Ok(Place::Site(cid)),
        Err(CidError::Text { canonical }) => {
            Err(format!("a CID is written in base32 lower case, this one as {canonical}"))
        }
        Err(error) => match label.to_ascii_lowercase() {
            lower if lower != label && (is_name(&lower) || lower.parse::<Cid>().is_ok()) => {
                Err(format!("it must be written in lower case: {lower}"))
            }
            _ => Err(error.to_string()),
        },
    }
}

/// Whether a label is the short form of a name: `n` and 52 characters of base32.
fn is_name(label: &str) -> bool {
    label.strip_prefix('n').is_some_and(|rest| {
        rest.len() == LABEL_CHARS && rest.bytes().all(|b| matches!(b, b'a'..=b'z' | b'2'..=b'7'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use craftec_core::Codec;

    const DOMAIN: &str = "craftec.localhost";

    #[test]
    fn every_host_has_its_place() {
        let cid = Cid::of(Codec::DagPb, b"x");
        let at = |name: &str| place(name, DOMAIN);
        for own in ["localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "::1"] {
            assert_eq!(at(own), Ok(Place::Bare { loopback: true }), "{own}");
        }
        for bare in ["192.0.2.7", "craftec.localhost", "2001:db8::1"] {
            assert_eq!(at(bare), Ok(Place::Bare { loopback: false }), "{bare}");
        }
        assert_eq!(at("app.craftec.localhost"), Ok(Place::App));
        assert_eq!(at("App.Craftec.Localhost"), Ok(Place::App));
        assert_eq!(at(&format!("{cid}.{DOMAIN}")), Ok(Place::Site(cid)));
        let label = format!("n{}", "a2".repeat(26));
        assert_eq!(at(&format!("{label}.{DOMAIN}")), Ok(Place::Name(label)));
    }

    #[test]
    fn hostile_hosts_are_named() {
        let at = |name: &str| place(name, DOMAIN);
        for foreign in [
            "evil.example",
            "localhost.evil.example",
            "xcraftec.localhost",
            "app.craftec.localhost.",
            "",
        ] {
            assert_eq!(at(foreign), Err(HostError::Foreign(foreign.to_owned())), "{foreign}");
        }
        let cid = Cid::of(Codec::Raw, b"x").to_string();
        let upper = cid.to_uppercase();
        let mixed = format!("b{}", cid[1..].to_uppercase());
        for bad in [upper.as_str(), mixed.as_str(), "hello", "..", "a.b", ".", "app.app", "ñ"] {
            let text = at(&format!("{bad}.{DOMAIN}")).unwrap_err().to_string();
            assert!(text.contains(bad), "{text}");
        }
        assert!(at(&format!("{upper}.{DOMAIN}")).unwrap_err().to_string().contains(&cid));
        assert!(at(&format!("{mixed}.{DOMAIN}")).unwrap_err().to_string().contains(&cid));
        assert!(matches!(at(&format!(".{DOMAIN}")), Err(HostError::Label { .. })));
    }

    #[test]
    fn ports_are_split_off() {
        assert_eq!(split("a.b:80"), Ok(("a.b", Some(80))));
        assert_eq!(split("[::1]:4080"), Ok(("::1", Some(4080))));
        assert_eq!(split("[::1]"), Ok(("::1", None)));
        for bad in ["", ":80", "a:b", "a:99999", "[::1", "[::1]x", "a:80:90", "a:+80"] {
            assert_eq!(split(bad), Err(HostError::Malformed), "{bad}");
        }
        assert_eq!(split("a:"), Err(HostError::Malformed));
        let origin = Origin { scheme: "http", domain: DOMAIN.into(), port: Some(4080) };
        assert_eq!(origin.app(), "http://app.craftec.localhost:4080");
        assert_eq!(origin.sites(), "http://*.craftec.localhost:4080");
        assert_eq!(Origin { port: None, ..origin }.gateway(), "http://craftec.localhost");
    }
}
