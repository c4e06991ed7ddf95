//! The options of the edge, in the configuration file and for this run. It reads and checks them;
//! the files they name are read by who uses them.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

use craftec_p2p::{LimitError, Limits};
use serde::{Deserialize, Serialize, Serializer};

use crate::{
    error::{RelayError, Result},
    units,
};

craftec_p2p::limits! {
/// Limits of HTTP and STUN.
HttpLimits {
    /// HTTP connections from one prefix: a browser opens six to each host; a proxy more.
    http_connections_per_prefix: 128, 1;
    /// HTTP requests under way: each may hold an answer of 256 KiB, or wait for the network.
    http_requests: 512, 1;
    /// The same from one prefix.
    http_requests_per_prefix: 64, 1;
    /// STUN answers to one prefix in a second, four times that at once.
    stun_per_prefix_and_second: 50, 1;
}
}

/// A limit as it is written: a number, a text such as `64MiB`, or yes and no.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum LimitValue {
    Yes(bool),
    Number(u64),
    Text(String),
}

/// What the configuration file says; all optional.
#[derive(Debug, Default)]
pub(crate) struct EdgeFile {
    pub(crate) https: Option<String>,
    pub(crate) tls_cert: Option<PathBuf>,
    pub(crate) tls_key: Option<PathBuf>,
    pub(crate) tls_trust: Option<PathBuf>,
    pub(crate) stun: Option<String>,
    pub(crate) denylist: Option<PathBuf>,
    pub(crate) limits: BTreeMap<String, LimitValue>,
}

/// Certificate and key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct TlsFiles {
    /// PEM: the node's certificate, then its chain.
    pub(crate) cert: PathBuf,
    /// PEM: its private key.
    pub(crate) key: PathBuf,
}

/// What holds for this run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct EdgeSettings {
    /// Where HTTPS listens.
    pub(crate) https: Option<SocketAddr>,
    /// Certificate files.
    pub(crate) tls: Option<TlsFiles>,
    /// PEM of authorities to believe when dialing `/tls/ws`, beside the usual ones.
    pub(crate) tls_trust: Option<PathBuf>,
    /// Where STUN listens: `None` for the default, `Some(None)` for nowhere.
    pub(crate) stun: Option<Option<SocketAddr>>,
    /// The operator's list.
    pub(crate) denylist: Option<PathBuf>,
    /// Limits of the network.
    #[serde(serialize_with = "by_name")]
    pub(crate) limits: Limits,
    /// Limits of HTTP and STUN.
    #[serde(serialize_with = "by_name_http")]
    pub(crate) http_limits: HttpLimits,
}

fn by_name<S: Serializer>(limits: &Limits, to: S) -> std::result::Result<S::Ok, S::Error> {
    to.collect_map(limits.all())
}

fn by_name_http<S: Serializer>(limits: &HttpLimits, to: S) -> std::result::Result<S::Ok, S::Error> {
    to.collect_map(limits.all())
}

impl EdgeSettings {
    /// Checks what was written.
    pub(crate) fn of(file: EdgeFile) -> Result<Self> {
        let addr = |text: String| crate::config::http_addr(&text);
        let tls = match (file.tls_cert, file.tls_key) {
            (Some(cert), Some(key)) => Some(TlsFiles { cert, key }),
            (None, None) => None,
            (cert, _) => {
                let (there, missing) =
                    if cert.is_some() { ("tls_cert", "tls_key") } else { ("tls_key", "tls_cert") };
                return Err(RelayError::usage(
                    format!("`{there}` is set without `{missing}`"),
                    "TLS needs both: the certificate's file and its private key's.",
                ));
            }
        };
        let https = file.https.map(addr).transpose()?;
        if https.is_some() && tls.is_none() {
            return Err(RelayError::usage(
                "`https` is set without a certificate",
                "Name the files with `tls_cert` and `tls_key`.",
            ));
        }
        let stun = match file.stun.as_deref() {
            Some("off") => Some(None),
            Some(text) => Some(Some(addr(text.to_owned())?)),
            None => None,
        };
        let (mut limits, mut http_limits) = (Limits::default(), HttpLimits::default());
        for (name, value) in &file.limits {
            let value = number(name, value)?;
            let set = match limits.set(name, value) {
                Err(LimitError::Unknown(_)) => http_limits.set(name, value),
                set => set,
            };
            set.map_err(|error| {
                RelayError::usage(
                    format!("in `[limits]`: {error}"),
                    "`craftec --check-config` shows all limits and their values.",
                )
            })?;
        }
        Ok(Self {
            https,
            tls,
            tls_trust: file.tls_trust,
            stun,
            denylist: file.denylist,
            limits,
            http_limits,
        })
    }
}

fn number(name: &str, value: &LimitValue) -> Result<u64> {
    match value {
        LimitValue::Yes(yes) => Ok(u64::from(*yes)),
        LimitValue::Number(number) => Ok(*number),
        LimitValue::Text(text) => units::parse_bytes(text).ok_or_else(|| {
            RelayError::usage(
                format!("in `[limits]`: `{name}` is `{text}`, which is no number"),
                "Write for instance 256, or \"64MiB\" where bytes are counted.",
            )
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(pairs: &[(&str, LimitValue)]) -> Result<EdgeSettings> {
        let limits = pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        EdgeSettings::of(EdgeFile { limits: limits.collect(), ..EdgeFile::default() })
    }

    #[test]
    fn limits_are_found_by_name_in_both_sets() {
        let set = limits(&[
            ("connections", LimitValue::Number(9)),
            ("limit_loopback", LimitValue::Yes(true)),
            ("record_bytes", LimitValue::Text("2MiB".to_owned())),
            ("http_requests", LimitValue::Number(3)),
        ])
        .unwrap();
        assert_eq!((set.limits.connections, set.limits.limit_loopback), (9, 1));
        assert_eq!((set.limits.record_bytes, set.http_limits.http_requests), (2 << 20, 3));
        let says = |name, value| limits(&[(name, value)]).unwrap_err().to_string();
        assert!(says("conections", LimitValue::Number(1)).contains("`conections`"));
        assert!(says("connections", LimitValue::Number(0)).contains("at least 1"));
        assert!(says("requests", LimitValue::Text("many".into())).contains("`many`"));
    }

    #[test]
    fn half_of_tls_is_a_mistake() {
        let half = EdgeFile { tls_cert: Some("c.pem".into()), ..EdgeFile::default() };
        let said = EdgeSettings::of(half).unwrap_err().to_string();
        assert!(said.contains("without `tls_key`"), "{said}");
        let bare = EdgeFile { https: Some("[::]:443".into()), ..EdgeFile::default() };
        assert!(EdgeSettings::of(bare).unwrap_err().to_string().contains("certificate"));
        let off = EdgeFile { stun: Some("off".into()), ..EdgeFile::default() };
        assert_eq!(EdgeSettings::of(off).unwrap().stun, Some(None));
        let wrong = EdgeFile { stun: Some("3478".into()), ..EdgeFile::default() };
        assert!(EdgeSettings::of(wrong).is_err());
    }
}
