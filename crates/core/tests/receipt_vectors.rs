//! Golden vectors of receipts, contracts and audits: `tests/vectors/receipt.json`, which the
//! TypeScript tests read too. `UPDATE_VECTORS=1 cargo test -p craftec-core --test receipt_vectors`
//! writes the file anew; a change in it is a change of a format and needs a new version number.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;

use craftec_core::{
    Cid, Codec, TransportKey,
    amount::Amount,
    cbor,
    contract::{Audit, AuditReceipt, Contract, ContractOffer, ContractRecord},
    identity::IdentityLog,
    limits,
    receipt::{RECEIPT_BYTES, Receipt, SignedReceipt, TOTAL_MOST, Totals},
    settlement::Settlement,
    wallet::Wallet,
};
use serde_json::{Value, json};

const FROM_MS: u64 = 1_700_000_000_000;
const DAY_MS: u64 = 86_400_000;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn unhex(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}

fn key(n: u8) -> TransportKey {
    TransportKey::from_seed([n; 32])
}

fn receipts() -> Vec<SignedReceipt> {
    let (giver, to) = (key(1).peer_id(), key(2).peer_id());
    let receipt = |until_ms, stored_byte_hours, served_bytes, audits_passed| {
        let totals = Totals { stored_byte_hours, served_bytes, audits_passed };
        let receipt = Receipt { v: 1, giver, to, since_ms: FROM_MS, until_ms, totals };
        SignedReceipt::sign(receipt, &key(1)).unwrap()
    };
    vec![
        receipt(FROM_MS, 0, 0, 0),
        receipt(FROM_MS + DAY_MS, 24 << 30, 1_048_576, 3),
        receipt(FROM_MS + 2 * DAY_MS, TOTAL_MOST, TOTAL_MOST, TOTAL_MOST),
    ]
}

fn record() -> ContractRecord {
    let wallet = Wallet::from_entropy([0x11; 32]);
    let log = IdentityLog::incept(&wallet).unwrap();
    let contract = Contract {
        v: 1,
        object: Cid::of(Codec::DagPb, b"a folder"),
        bytes: 1 << 20,
        n: 4,
        k: 2,
        from_ms: FROM_MS,
        until_ms: FROM_MS + 3 * DAY_MS,
        period_ms: DAY_MS,
        samples: 688,
        price: Amount::new(1_000_000).unwrap(),
        asset: "usd:test".to_owned(),
        scale: 6,
        holders: vec![key(2).peer_id(), key(3).peer_id()],
        auditors: vec![key(4).peer_id(), key(2).peer_id(), key(5).peer_id()],
        payer: log.verify().unwrap().did,
        writer: wallet.identity_key(0).public(),
        time_ms: FROM_MS,
    };
    let offer = ContractOffer::sign(contract, &wallet.identity_key(0), log).unwrap();
    let signatures = [2, 3].map(|n| offer.countersign(&key(n)).unwrap()).to_vec();
    ContractRecord { offer, signatures }
}

/// Holder 2 passes on two days; holder 3 on one, and fails on another.
fn audits(record: &ContractRecord) -> Vec<AuditReceipt> {
    let contract = record.contract().id().unwrap();
    let said = [
        (4, 2, 0, true),
        (5, 2, 0, true),
        (4, 3, 0, true),
        (2, 3, 0, true),
        (4, 2, 1, true),
        (5, 2, 1, true),
        (4, 3, 1, true),
        (5, 3, 1, false),
    ];
    let receipt = |(auditor, holder, day, passed)| {
        let audit = Audit {
            v: 1,
            contract,
            auditor: key(auditor).peer_id(),
            holder: key(holder).peer_id(),
            samples: 688,
            passed,
            time_ms: FROM_MS + day * DAY_MS + 1,
        };
        AuditReceipt::sign(audit, &key(auditor)).unwrap()
    };
    said.into_iter().map(receipt).collect()
}

fn vectors() -> Value {
    let receipts: Vec<Value> = receipts()
        .iter()
        .map(|signed| {
            let Receipt { giver, to, since_ms, until_ms, totals, .. } = &signed.receipt;
            json!({
                "giver": giver.to_string(),
                "to": to.to_string(),
                "since_ms": since_ms,
                "until_ms": until_ms,
                // Text: JSON's numbers end at 2⁵³ for some readers.
                "stored_byte_hours": totals.stored_byte_hours.to_string(),
                "served_bytes": totals.served_bytes.to_string(),
                "audits_passed": totals.audits_passed.to_string(),
                "hex": hex(&cbor::encode(signed).unwrap()),
            })
        })
        .collect();
    let record = record();
    let audits = audits(&record);
    let mut settlement = Settlement::of(&record).unwrap();
    audits.iter().for_each(|audit| settlement.add(audit).unwrap());
    let earned = |day: u64| -> Vec<String> {
        let earned = settlement.earned(FROM_MS + day * DAY_MS);
        earned.iter().map(|earned| earned.amount.to_string()).collect()
    };
    let contract = record.contract();
    json!({
        "receipts": receipts,
        "contract": {
            "id": hex(&contract.id().unwrap().0),
            "price": contract.price.to_string(),
            "asset": contract.asset,
            "scale": contract.scale,
            "from_ms": contract.from_ms,
            "until_ms": contract.until_ms,
            "hex": hex(&record.encode().unwrap()),
        },
        "audits": audits
            .iter()
            .map(|receipt| json!({
                "auditor": receipt.audit.auditor.to_string(),
                "holder": receipt.audit.holder.to_string(),
                "time_ms": receipt.audit.time_ms,
                "passed": receipt.audit.passed,
                "hex": hex(&cbor::encode(receipt).unwrap()),
            }))
            .collect::<Vec<_>>(),
        "earned_after_days": [earned(0), earned(1), earned(2), earned(3)],
    })
}

#[test]
fn every_format_is_as_it_was() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/receipt.json");
    let now = serde_json::to_string_pretty(&vectors()).unwrap() + "\n";
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    assert!(golden == now, "{} differs: a format changed", path.display());
    // What was written is read again, and verifies.
    let golden: Value = serde_json::from_str(&golden).unwrap();
    for (receipt, made) in golden["receipts"].as_array().unwrap().iter().zip(receipts()) {
        let read: SignedReceipt = cbor::decode(&unhex(&receipt["hex"]), RECEIPT_BYTES).unwrap();
        read.verify(FROM_MS + 2 * DAY_MS).unwrap();
        assert_eq!(read, made);
    }
    let bytes = unhex(&golden["contract"]["hex"]);
    let read: ContractRecord = cbor::decode(&bytes, limits::RECORD_BYTES).unwrap();
    read.verify().unwrap();
    assert_eq!(read, record());
    // 1,000,000 over two holders and three days: a sixth for each.
    let sixths =
        json!([["0", "0"], ["166666", "166666"], ["333333", "166666"], ["333333", "166666"]]);
    assert_eq!(golden["earned_after_days"], sixths);
}
