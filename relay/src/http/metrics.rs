//! Counters for Prometheus (text format 0.0.4): what HTTP answered, and what the node says of
//! itself. No label holds a peer, a CID or a person.

use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::{Mutex, PoisonError},
};

use axum::http::StatusCode;
use craftec_api::{Link, Status};

/// What kind of request was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// The web app.
    App,
    /// A site.
    Site,
    /// The trustless gateway.
    Gateway,
    /// The local API.
    Api,
    /// Health, metrics, relay.json, redirects.
    Service,
    /// No place of ours.
    Refused,
}

impl Class {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Site => "site",
            Self::Gateway => "gateway",
            Self::Api => "api",
            Self::Service => "service",
            Self::Refused => "refused",
        }
    }
}

/// Requests answered so far.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    requests: Mutex<BTreeMap<(Class, u16), u64>>,
}

impl Metrics {
    /// Counts one answer.
    pub(crate) fn count(&self, class: Class, status: StatusCode) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        *requests.entry((class, status.as_u16() / 100)).or_default() += 1;
    }

    /// Everything as text.
    pub(crate) fn text(&self, status: &Status) -> String {
        let mut text = String::new();
        let mut metric = |name: &str, kind: &str, help: &str, rows: &[(String, u64)]| {
            // Writing to a string does not fail.
            let _ = writeln!(text, "# HELP craftec_{name} {help}\n# TYPE craftec_{name} {kind}");
            for (labels, value) in rows {
                let _ = writeln!(text, "craftec_{name}{labels} {value}");
            }
        };
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let rows: Vec<_> = requests
            .into_iter()
            .map(|((class, hundred), count)| {
                (format!("{{class=\"{}\",status=\"{hundred}xx\"}}", class.name()), count)
            })
            .collect();
        metric("http_requests_total", "counter", "HTTP requests answered.", &rows);
        let links = [Link::Webrtc, Link::Quic, Link::Tcp, Link::Websocket, Link::Relayed];
        let peers: Vec<_> = links
            .iter()
            .map(|link| {
                let count = status.peers.iter().filter(|peer| peer.link == *link).count();
                let name = format!("{link:?}").to_lowercase();
                (format!("{{link=\"{name}\"}}"), count as u64)
            })
            .collect();
        metric("peers", "gauge", "Connected peers by link.", &peers);
        let received = status.peers.iter().map(|peer| peer.received).sum();
        let sent = status.peers.iter().map(|peer| peer.sent).sum();
        let moved = [
            ("{direction=\"received\"}".to_owned(), received),
            ("{direction=\"sent\"}".to_owned(), sent),
        ];
        metric("peer_bytes", "gauge", "Bytes exchanged with the peers connected now.", &moved);
        let one = |value| [(String::new(), value)];
        let storage = &status.storage;
        metric("stored_bytes", "gauge", "Bytes of blocks kept.", &one(storage.used));
        let lent = one(storage.for_others);
        metric("stored_for_others_bytes", "gauge", "Of these, kept for others.", &lent);
        let limit = one(storage.lend_limit);
        metric("lend_limit_bytes", "gauge", "The most that is kept for others.", &limit);
        if let Some(free) = storage.free {
            metric("free_bytes", "gauge", "Bytes that the disk still allows.", &one(free));
        }
        metric("objects", "gauge", "Objects put or pinned here.", &one(status.objects));
        let short = one(status.objects_short);
        metric("objects_short", "gauge", "Of these, with fewer copies than wanted.", &short);
        let uptime = one(status.uptime_ms / 1000);
        metric("uptime_seconds", "gauge", "Seconds since the node started.", &uptime);
        text
    }
}
