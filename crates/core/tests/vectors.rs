//! Golden vectors of every format in this crate: `tests/vectors/core.json`, which the TypeScript
//! tests read too. `UPDATE_VECTORS=1 cargo test -p craftec-core` writes the file anew; a change in it
//! is a change of a format and needs a new version number.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;

use craftec_core::{
    Cid, Codec, TransportKey, cbor,
    certificate::{Certificate, SignedCertificate},
    head::{Head, HeadRecord, Settled, SignedHead, label},
    identity::{Delegation, IdentityLog},
    placement::{Placement, PlacementRecord, Promise, SignedPromise},
    record::Record,
    sign::SecretKey,
    wallet::Wallet,
};
use serde_json::{Value, json};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn cids() -> Value {
    let inputs: [&[u8]; 3] = [b"", b"hello", &[0xff; 1000]];
    let codecs = [("raw", Codec::Raw), ("dag-pb", Codec::DagPb), ("dag-cbor", Codec::DagCbor)];
    codecs
        .iter()
        .flat_map(|(name, codec)| {
            inputs.iter().map(move |input| {
                let cid = Cid::of(*codec, input);
                json!({
                    "codec": name,
                    "input": hex(input),
                    "text": cid.to_string(),
                    "bytes": hex(&cid.to_bytes()),
                    "cbor": hex(&cbor::encode(&cid).unwrap()),
                })
            })
        })
        .collect()
}

fn log(wallet: &Wallet, device: &SecretKey) -> IdentityLog {
    let mut log = IdentityLog::incept(wallet).unwrap();
    let names = Some(vec!["blog".to_owned()]);
    log.delegate(
        wallet,
        Delegation { device: device.public(), names, expires_ms: 2_000_000_000_000 },
    )
    .unwrap();
    log.rotate(wallet).unwrap();
    log
}

fn head_record(wallet: &Wallet, device: &SecretKey) -> HeadRecord {
    let log = log(wallet, device);
    let head = Head {
        v: 1,
        did: log.verify().unwrap().did,
        name: "blog".to_owned(),
        seq: 0,
        root: Cid::of(Codec::DagPb, b"a folder"),
        prev: None,
        writer: device.public(),
        epoch: 0,
        time_ms: 1_700_000_000_000,
        expires_ms: 1_700_086_400_000,
    };
    HeadRecord { head: SignedHead::sign(head, device).unwrap(), rival: None, settled: None, log }
}

/// A head that follows two which contradict each other.
fn settled_record(wallet: &Wallet, device: &SecretKey) -> HeadRecord {
    let first = head_record(wallet, device);
    let sign = |seq, root: &[u8], prev| {
        let root = Cid::of(Codec::DagPb, root);
        let head = Head { seq, root, prev: Some(prev), ..first.head.head.clone() };
        SignedHead::sign(head, device).unwrap()
    };
    let prev = first.head.hash().unwrap();
    let (one, other) = (sign(1, b"one", prev), sign(1, b"other", prev));
    let sides = [&one, &other].map(|head| HeadRecord { head: head.clone(), ..first.clone() });
    let proof = sides[0].equivocation(&sides[1]).unwrap().unwrap();
    let (one, other) = (proof.head, proof.rival.unwrap());
    let by = sign(2, b"both", Settled::prev(&one, &other).unwrap());
    let settled = Some(Box::new(Settled { one, other, by: by.clone() }));
    HeadRecord { head: by, settled, ..first }
}

fn placement_record(wallet: &Wallet, device: &SecretKey, holder: &TransportKey) -> PlacementRecord {
    let log = log(wallet, device);
    let (root, owner) = (Cid::of(Codec::Raw, b"object"), log.verify().unwrap().did);
    let promise = Promise {
        v: 1,
        root,
        bytes: 6,
        owner,
        epoch: 1,
        holder: holder.peer_id(),
        until_ms: 1_700_086_400_000,
    };
    let key = wallet.identity_key(1);
    let placement = Placement {
        v: 1,
        root,
        owner,
        epoch: 1,
        n: 3,
        holders: vec![SignedPromise::sign(promise, holder).unwrap()],
        pieces: vec![],
        writer: key.public(),
        time_ms: 1_700_000_000_000,
    };
    PlacementRecord::sign(placement, &key, log).unwrap()
}

fn vectors() -> Value {
    let wallet = Wallet::from_entropy([0x11; 32]);
    let device = SecretKey::from_seed([0x22; 32]);
    let transport = TransportKey::from_seed([0x33; 32]);
    let head = head_record(&wallet, &device);
    let did = head.head.head.did;
    let placement = placement_record(&wallet, &device, &transport);
    let certificate = Certificate {
        v: 1,
        peer: transport.peer_id(),
        device: wallet.identity_key(1).public(),
        expires_ms: 2_000_000_000_000,
    };
    let certificate = SignedCertificate::sign(certificate, &wallet.identity_key(1)).unwrap();
    let record = |record: Record| {
        let bytes = record.encode().unwrap();
        assert_eq!(Record::verify(&record.key(), &bytes, 1_700_000_000_000).unwrap(), record);
        json!({ "key": hex(&record.key()), "bytes": hex(&bytes) })
    };
    json!({
        "cids": cids(),
        "peer": {
            "seed": hex(transport.seed()),
            "text": transport.peer_id().to_string(),
            "bytes": hex(&transport.peer_id().to_bytes()),
        },
        "wallet": {
            "entropy": hex(wallet.entropy()),
            "words": wallet.words(),
            "identity_keys": [
                hex(&wallet.identity_key(0).public().0),
                hex(&wallet.identity_key(1).public().0),
            ],
        },
        "identity": {
            "did": did.to_string(),
            "log": hex(&cbor::encode(&head.log).unwrap()),
        },
        "head": {
            "name": "blog",
            "label": label(&did, "blog"),
            "record": record(Record::Head(Box::new(head))),
        },
        "settled": { "record": record(Record::Head(Box::new(settled_record(&wallet, &device)))) },
        "placement": { "record": record(Record::Placement(Box::new(placement))) },
        "certificate": hex(&cbor::encode(&certificate).unwrap()),
    })
}

#[test]
fn every_format_is_as_it_was() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/core.json");
    let now = serde_json::to_string_pretty(&vectors()).unwrap() + "\n";
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    assert!(golden == now, "{} differs: a format changed", path.display());
}
