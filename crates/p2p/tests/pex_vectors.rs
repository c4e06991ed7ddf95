//! Golden vectors of peer exchange: `tests/vectors/pex.json`, which the TypeScript tests read too.
//! `UPDATE_VECTORS=1 cargo test -p craftec-p2p --test pex_vectors` writes the file anew; a change in
//! it is a change of the wire and needs a new version number.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;

use craftec_core::TransportKey;
use craftec_p2p::pex::wire::{Answer, Ask, PROTOCOL, Told};
use serde_json::{Value, json};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

fn told(seed: u8, addrs: &[&str]) -> Told {
    let id = TransportKey::from_seed([seed; 32]).peer_id();
    Told { id, addrs: addrs.iter().map(|&addr| addr.to_owned()).collect() }
}

fn answers() -> Vec<(&'static str, Answer)> {
    let relay = TransportKey::from_seed([9; 32]).peer_id();
    let circuit = format!("/dns4/relay.example/tcp/443/wss/p2p/{relay}/p2p-circuit");
    let peers = vec![told(1, &[]), told(2, &["/ip4/203.0.113.7/udp/4001/quic-v1", &circuit])];
    vec![
        ("two peers", Answer { peers, wait_ms: 30_000 }),
        ("too soon", Answer { peers: Vec::new(), wait_ms: 30_000 }),
    ]
}

fn vectors() -> Value {
    let asks = [1u8, 16, 255]
        .map(|count| json!({ "count": count, "hex": hex(&Ask { count }.encode().unwrap()) }));
    let answers: Vec<Value> = answers()
        .into_iter()
        .map(|(name, answer)| {
            let peers: Vec<Value> = answer
                .peers
                .iter()
                .map(|told| json!({ "id": told.id.to_string(), "addrs": told.addrs }))
                .collect();
            let hex = hex(&answer.encode().unwrap());
            json!({ "name": name, "hex": hex, "peers": peers, "wait_ms": answer.wait_ms })
        })
        .collect();
    // Not canonical, an unknown field, too many peers, an address that is no text.
    let (many, none): (Vec<Told>, Vec<Told>) = ((0..17).map(|n| told(n, &[])).collect(), vec![]);
    let many = craftec_core::cbor::encode(&Answer { peers: many, wait_ms: 0 }).unwrap();
    let mut unsorted = Answer { peers: none, wait_ms: 0 }.encode().unwrap();
    unsorted[1..].rotate_left(7);
    let refused = [
        json!({ "name": "more peers than allowed", "hex": hex(&many) }),
        json!({ "name": "keys out of order", "hex": hex(&unsorted) }),
        json!({ "name": "cut off", "hex": hex(&many[..many.len() - 1]) }),
    ];
    json!({
        "protocol": format!("/craftec/{}/{}", PROTOCOL.name, PROTOCOL.versions[0]),
        "asks": asks,
        "answers": answers,
        "refused": refused,
    })
}

#[test]
fn the_wire_is_as_it_was() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/pex.json");
    let now = serde_json::to_string_pretty(&vectors()).unwrap() + "\n";
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    assert!(golden == now, "{} differs: the wire changed", path.display());
    let golden: Value = serde_json::from_str(&golden).unwrap();
    for refused in golden["refused"].as_array().unwrap() {
        let bytes = unhex(refused["hex"].as_str().unwrap());
        assert!(Answer::decode(&bytes).is_err(), "{}", refused["name"]);
    }
}
