//! Decoders of signed structures keep their promises on anything: the bodies of the fuzz targets, on
//! random bytes and on damaged copies of real ones.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../../../fuzz/src/signed.rs"]
mod bodies;

use std::path::Path;

use craftec_core::{
    Cid, Codec, TransportKey, cbor,
    certificate::{Certificate, SignedCertificate},
    head::{Head, HeadRecord, SignedHead, label},
    identity::{Delegation, IdentityLog},
    placement::{Placement, PlacementRecord, Promise, SignedPromise},
    sign::SecretKey,
    wallet::Wallet,
};
use proptest::{prelude::*, sample::Index};

/// One of each signed structure, encoded.
struct Good {
    log: Vec<u8>,
    head: Vec<u8>,
    placement: Vec<u8>,
    promise: Vec<u8>,
    certificate: Vec<u8>,
    texts: Vec<Vec<u8>>,
}

fn good() -> Good {
    let wallet = Wallet::from_entropy([1; 32]);
    let device = SecretKey::from_seed([5; 32]);
    let mut log = IdentityLog::incept(&wallet).unwrap();
    let names = Some(vec!["blog".to_owned()]);
    let expires_ms = 2_000_000_000_000;
    log.delegate(&wallet, Delegation { device: device.public(), names, expires_ms }).unwrap();
    log.rotate(&wallet).unwrap();
    let did = log.verify().unwrap().did;
    let root = Cid::of(Codec::Raw, b"root");
    let head = Head {
        v: 1,
        did,
        name: "blog".to_owned(),
        seq: 0,
        root,
        prev: None,
        writer: device.public(),
        epoch: 0,
        time_ms: 1_600_000_000_000,
        expires_ms,
    };
    let head = SignedHead::sign(head, &device).unwrap();
    let transport = TransportKey::from_seed([2; 32]);
    let promise = Promise {
        v: 1,
        root,
        bytes: 4,
        owner: did,
        epoch: 1,
        holder: transport.peer_id(),
        until_ms: 9,
    };
    let promise = SignedPromise::sign(promise, &transport).unwrap();
    let key = wallet.identity_key(1);
    let placement = Placement {
        v: 1,
        root,
        owner: did,
        epoch: 1,
        n: 1,
        holders: vec![promise.clone()],
        pieces: Vec::new(),
        writer: key.public(),
        time_ms: 5,
    };
    let placement = PlacementRecord::sign(placement, &key, log.clone()).unwrap();
    let peer = transport.peer_id();
    let certificate = Certificate { v: 1, peer, device: key.public(), expires_ms };
    let certificate = SignedCertificate::sign(certificate, &key).unwrap();
    let texts = [did.to_string(), peer.to_string(), label(&did, "blog"), wallet.words().join(" ")];
    let mut texts: Vec<Vec<u8>> = texts.into_iter().map(String::into_bytes).collect();
    texts.push(peer.to_bytes().to_vec());
    Good {
        head: cbor::encode(&HeadRecord { head, rival: None, settled: None, log: log.clone() })
            .unwrap(),
        log: cbor::encode(&log).unwrap(),
        placement: cbor::encode(&placement).unwrap(),
        promise: cbor::encode(&promise).unwrap(),
        certificate: cbor::encode(&certificate).unwrap(),
        texts,
    }
}

fn damaged(good: &[u8], damage: &[(Index, u8, u8)]) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for (at, how, byte) in damage {
        if bytes.is_empty() {
            break;
        }
        let at = at.index(bytes.len());
        match how % 5 {
            0 => bytes.truncate(at),
            1 => bytes[at] = *byte,
            2 => bytes[at] ^= 1 << (byte % 8),
            3 => bytes.insert(at, *byte),
            _ => bytes.extend_from_within(at..),
        }
    }
    bytes
}

/// Runs a body on good bytes and on damaged copies of them.
fn check(good: &[Vec<u8>], body: fn(&[u8])) {
    good.iter().for_each(|bytes| body(bytes));
    let damage = prop::collection::vec(any::<(Index, u8, u8)>(), 1..4);
    proptest!(ProptestConfig::with_cases(500), |(which in any::<Index>(), damage in damage)| {
        body(&damaged(&good[which.index(good.len())], &damage));
    });
}

#[test]
fn signed_structures_decode_before_they_are_damaged() {
    let good = good();
    assert!(cbor::decode::<IdentityLog>(&good.log, 1 << 15).unwrap().verify().is_ok());
    let head: HeadRecord = cbor::decode(&good.head, 1 << 15).unwrap();
    assert!(head.verify(1_700_000_000_000).is_ok());
    let placement: PlacementRecord = cbor::decode(&good.placement, 1 << 15).unwrap();
    assert!(placement.verify().is_ok());
    let promise: SignedPromise = cbor::decode(&good.promise, 1 << 15).unwrap();
    assert!(promise.verify().is_ok());
}

#[test]
fn damaged_identities_break_nothing() {
    check(&[good().log], bodies::identity);
}

#[test]
fn damaged_heads_break_nothing() {
    check(&[good().head], bodies::head);
}

#[test]
fn damaged_placements_and_promises_break_nothing() {
    let good = good();
    check(&[good.placement, good.promise], bodies::placement);
}

#[test]
fn damaged_certificates_break_nothing() {
    check(&[good().certificate], bodies::certificate);
}

/// Whatever `tests/vectors/receipt.json` has under `hex` below `kind`.
fn golden(kind: &str) -> Vec<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/receipt.json");
    let vectors: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let unhex = |text: &str| {
        let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
        (0..text.len()).step_by(2).map(byte).collect()
    };
    let found = &vectors[kind];
    let all = found.as_array().cloned().unwrap_or_else(|| vec![found.clone()]);
    all.iter().map(|vector| unhex(vector["hex"].as_str().unwrap())).collect()
}

#[test]
fn damaged_receipts_break_nothing() {
    check(&golden("receipts"), bodies::receipt);
}

#[test]
fn damaged_contracts_and_audits_break_nothing() {
    check(&[golden("contract"), golden("audits")].concat(), bodies::contract);
}

#[test]
fn damaged_texts_break_nothing() {
    check(&good().texts, bodies::texts);
}

proptest! {
    #[test]
    fn random_bytes_break_nothing(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        bodies::identity(&bytes);
        bodies::head(&bytes);
        bodies::placement(&bytes);
        bodies::certificate(&bytes);
        bodies::receipt(&bytes);
        bodies::contract(&bytes);
        bodies::texts(&bytes);
    }
}
