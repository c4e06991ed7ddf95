//! Counters for Prometheus (text format 0.0.4): what HTTP answered, and what the node says of
//! itself. No label holds a peer, a CID or a person.

use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::{Mutex, PoisonError},
};

use axum::http::StatusCode;
use craftec_api::{Link, Status};
use craftec_p2p::counters::{ByCarrier, Carrier, Count, Counters, Refusal};

use crate::edge::{EdgeCounters, HttpRefusal};

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
            metric(&mut text, name, kind, help, rows);
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
        if let Some(mended) = &status.mended {
            for (name, help, value) in [
                ("mend_looks_total", "Times that others' objects were looked after.", mended.looks),
                ("mended_shards_total", "Shards made again and placed.", mended.shards),
                ("mended_copies_total", "Whole copies placed.", mended.copies),
                ("mend_read_bytes_total", "Bytes read from others for that.", mended.read),
                ("mend_written_bytes_total", "Bytes written to new holders.", mended.written),
            ] {
                metric(name, "counter", help, &one(value));
            }
        }
        let uptime = one(status.uptime_ms / 1000);
        metric("uptime_seconds", "gauge", "Seconds since the node started.", &uptime);
        text
    }
}

/// Writes one metric.
fn metric(text: &mut String, name: &str, kind: &str, help: &str, rows: &[(String, u64)]) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "# HELP craftec_{name} {help}\n# TYPE craftec_{name} {kind}");
    for (labels, value) in rows {
        let _ = writeln!(text, "craftec_{name}{labels} {value}");
    }
}

fn by_carrier(of: &ByCarrier) -> Vec<(String, u64)> {
    let sides = [(true, "in"), (false, "out")];
    let rows = sides.iter().flat_map(|(inbound, side)| {
        Carrier::ALL.iter().map(move |carrier| {
            let labels = format!("{{direction=\"{side}\",transport=\"{}\"}}", carrier.name());
            (labels, of.of(*carrier, *inbound).now())
        })
    });
    rows.collect()
}

/// What the network counted.
pub(crate) fn network(text: &mut String, of: &Counters) {
    let mut rows = |name: &str, kind: &str, help: &str, rows: &[(String, u64)]| {
        metric(text, name, kind, help, rows);
    };
    let open = "Connections of peers now.";
    rows("connections", "gauge", open, &by_carrier(&of.open));
    let since = "Connections of peers since the start.";
    rows("connections_total", "counter", since, &by_carrier(&of.established));
    let moved = "Bytes on streams of peers, inside encryption.";
    rows("stream_bytes_total", "counter", moved, &by_carrier(&of.bytes));
    let refused: Vec<_> = Refusal::ALL
        .iter()
        .map(|why| (format!("{{reason=\"{}\"}}", why.name()), of.refused[*why as usize].now()))
        .collect();
    rows("connections_refused_total", "counter", "Connections of peers refused.", &refused);
    let asked = |accepted: &Count, refused: &Count| {
        [("accepted", accepted), ("refused", refused)]
            .map(|(name, count)| (format!("{{outcome=\"{name}\"}}"), count.now()))
    };
    let circuits = asked(&of.circuits_accepted, &of.circuits_refused);
    rows("circuits_total", "counter", "Circuits asked for.", &circuits);
    let reservations = asked(&of.reservations_accepted, &of.reservations_refused);
    rows("reservations_total", "counter", "Reservations asked for.", &reservations);
    for (name, help, count) in [
        ("prefixes", "Address prefixes connected now.", &of.prefixes),
        ("circuits", "Circuits carried now.", &of.circuits),
        ("reservations", "Reservations held here now.", &of.reservations),
        ("dht_records", "DHT records kept.", &of.records),
        ("dht_record_bytes", "Bytes of DHT records kept.", &of.record_bytes),
        ("dht_provider_keys", "DHT keys with providers kept.", &of.provider_keys),
    ] {
        rows(name, "gauge", help, &[(String::new(), count.now())]);
    }
    for (name, help, count) in [
        ("streams_slowed_total", "Waits of streams for their prefix's share.", &of.slowed),
        ("dht_refused_total", "DHT records and providers over a limit.", &of.records_refused),
        ("dht_evicted_total", "DHT records that gave way.", &of.records_evicted),
        ("requests_total", "Requests of peers answered.", &of.requests),
        ("requests_slowed_total", "Requests of peers held back.", &of.requests_slowed),
        ("request_streams_cut_total", "Request streams over a limit.", &of.streams_cut),
    ] {
        rows(name, "counter", help, &[(String::new(), count.now())]);
    }
}

/// What HTTP, STUN and the files counted.
pub(crate) fn edge(text: &mut String, of: &EdgeCounters) {
    let refused: Vec<_> = HttpRefusal::ALL
        .iter()
        .map(|why| (format!("{{reason=\"{}\"}}", why.name()), of.refusals(*why)))
        .collect();
    let help = "HTTP connections and requests refused or shed.";
    metric(text, "http_refused_total", "counter", help, &refused);
    for (name, help, count) in [
        ("http_connections", "HTTP connections now.", &of.connections),
        ("http_requests", "HTTP requests under way.", &of.requests),
    ] {
        metric(text, name, "gauge", help, &[(String::new(), count.now())]);
    }
    let stun = [
        ("answered", &of.stun_answers),
        ("dropped", &of.stun_dropped),
        ("invalid", &of.stun_invalid),
    ]
    .map(|(name, count)| (format!("{{outcome=\"{name}\"}}"), count.now()));
    metric(text, "stun_packets_total", "counter", "STUN packets received.", &stun);
    let reloads = [
        ("certificate", &of.tls_reloads),
        ("denylist", &of.denylist_reloads),
        ("failed", &of.reload_failures),
    ]
    .map(|(name, count)| (format!("{{file=\"{name}\"}}"), count.now()));
    metric(text, "reloads_total", "counter", "Files read again.", &reloads);
}
