//! Golden vectors of the receipt protocol and of the book on disk: `tests/vectors/ledger.json`, whose
//! messages the TypeScript tests read too. `UPDATE_VECTORS=1 cargo test -p craftec-obj --test
//! ledger_vectors` writes the file anew; a change in it is a change of a format and needs a new
//! version number.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;

use craftec_core::{
    TransportKey, cbor,
    receipt::{Receipt, SignedReceipt, Totals},
};
use craftec_obj::ledger::{
    book::{Entry, Recent},
    record::{ENTRY_BYTES, EntryRecord},
    wire::{PROTOCOL, Swap},
};
use craftec_p2p::Prefix;
use serde_json::{Value, json};

const NOW_MS: u64 = 1_700_000_000_000;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn unhex(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}

fn receipt(giver: u8, to: u8) -> SignedReceipt {
    let key = TransportKey::from_seed([giver; 32]);
    let totals = Totals { stored_byte_hours: 7_200_000, served_bytes: 1_000, audits_passed: 2 };
    let receipt = Receipt {
        v: 1,
        giver: key.peer_id(),
        to: TransportKey::from_seed([to; 32]).peer_id(),
        since_ms: NOW_MS - 7_200_000,
        until_ms: NOW_MS,
        totals,
    };
    SignedReceipt::sign(receipt, &key).unwrap()
}

fn swaps() -> Vec<(&'static str, Swap)> {
    vec![
        ("nothing", Swap::default()),
        ("thanks", Swap { given: Some(receipt(1, 2)), known: None }),
        ("both", Swap { given: Some(receipt(1, 2)), known: Some(receipt(2, 1)) }),
    ]
}

fn entries() -> Vec<(&'static str, Entry)> {
    let totals = receipt(1, 2).receipt.totals;
    let full = Entry {
        place: Some(Prefix::V4([203, 0, 113])),
        since_ms: NOW_MS - 7_200_000,
        seen_ms: NOW_MS,
        theirs: totals,
        ours: Totals { served_bytes: 5, ..Totals::default() },
        failed_audits: 1,
        recent: Recent {
            at_ms: NOW_MS,
            together_ms: 7_200_000,
            kept_byte_hours: 7_000_000,
            received_bytes: 990,
            lent_byte_hours: 0,
            sent_bytes: 4,
        },
        receipt: Some(receipt(2, 1)),
    };
    let place = Some(Prefix::V6([0x20, 1, 0xd, 0xb8, 0, 7]));
    vec![("full", full), ("new", Entry { place, ..Entry::default() }), ("empty", Entry::default())]
}

fn vectors() -> Value {
    let message = |(name, swap): &(&str, Swap)| {
        let giver = |receipt: &Option<SignedReceipt>| {
            receipt.as_ref().map(|signed| signed.receipt.giver.to_string())
        };
        json!({
            "name": name,
            "given_by": giver(&swap.given),
            "known_by": giver(&swap.known),
            "hex": hex(&swap.encode().unwrap()),
        })
    };
    let page = |(name, entry): &(&str, Entry)| {
        let bytes = cbor::encode(&EntryRecord::of(entry)).unwrap();
        json!({ "name": name, "hex": hex(&bytes) })
    };
    json!({
        "protocol": format!("/craftec/{}/{}", PROTOCOL.name, PROTOCOL.versions[0]),
        "swaps": swaps().iter().map(message).collect::<Vec<_>>(),
        "pages": entries().iter().map(page).collect::<Vec<_>>(),
    })
}

#[test]
fn the_formats_are_as_they_were() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/ledger.json");
    let now = serde_json::to_string_pretty(&vectors()).unwrap() + "\n";
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    assert!(golden == now, "{} differs: a format changed", path.display());
    let golden: Value = serde_json::from_str(&golden).unwrap();
    for (vector, (name, swap)) in golden["swaps"].as_array().unwrap().iter().zip(swaps()) {
        assert_eq!(Swap::decode(&unhex(&vector["hex"])), Ok(swap), "{name}");
    }
    for (vector, (name, entry)) in golden["pages"].as_array().unwrap().iter().zip(entries()) {
        let record: EntryRecord = cbor::decode(&unhex(&vector["hex"]), ENTRY_BYTES).unwrap();
        assert_eq!(record.entry(), Some(entry), "{name}");
    }
}
