//! What `craftec-core` decodes: identity logs, heads, placements, promises, certificates, receipts,
//! contracts, keys in text.
#![allow(unreachable_pub, reason = "tests of the main workspace include this file as a module")]

use std::sync::LazyLock;

use craftec_core::{
    Did, PeerId, cbor,
    certificate::SignedCertificate,
    contract::{AuditReceipt, ContractRecord, PERIODS, Phase},
    head::{HeadRecord, check_name, key_of_label},
    identity::{Identity, IdentityLog},
    limits,
    placement::{PlacementRecord, SignedPromise},
    receipt::SignedReceipt,
    settlement::Settlement,
    sign::base32,
    wallet::Wallet,
};

/// A moment at which everything is verified.
const NOW_MS: u64 = 1_700_000_000_000;

/// An identity log: what decodes is canonical, and what verifies proves an identity that a longer
/// log of the same begins with.
pub fn identity(bytes: &[u8]) {
    let Ok(log) = cbor::decode::<IdentityLog>(bytes, limits::RECORD_BYTES) else { return };
    assert_eq!(cbor::encode(&log).as_deref(), Ok(bytes));
    match log.verify() {
        Ok(identity) => {
            assert!(log.events.len() <= limits::IDENTITY_EVENTS);
            assert!(identity.may_write(&identity.key, "any", NOW_MS));
            assert!(log.extends(&log));
        }
        Err(error) => drop(error.to_string()),
    }
}

/// A head: what verifies can't be verified under another number, and never replaces itself.
pub fn head(bytes: &[u8]) {
    let Ok(record) = cbor::decode::<HeadRecord>(bytes, limits::RECORD_BYTES) else { return };
    match record.verify(NOW_MS) {
        Ok(identity) => {
            assert_eq!(identity.did, record.head.head.did);
            assert_eq!(record.replaces(&record), Ok(false));
            assert!(check_name(&record.head.head.name).is_ok());
            let mut other = record.clone();
            other.head.head.seq ^= 1;
            assert!(other.verify(NOW_MS).is_err());
        }
        Err(error) => drop(error.to_string()),
    }
}

/// A placement and a promise: checking ends, and what verifies is as it was signed.
pub fn placement(bytes: &[u8]) {
    if let Ok(record) = cbor::decode::<PlacementRecord>(bytes, limits::RECORD_BYTES) {
        match record.verify() {
            Ok(_) => assert!(!record.replaces(&record)),
            Err(error) => drop(error.to_string()),
        }
    }
    if let Ok(promise) = cbor::decode::<SignedPromise>(bytes, limits::RECORD_BYTES)
        && promise.verify().is_ok()
    {
        let mut other = promise.clone();
        other.promise.until_ms ^= 1;
        assert!(other.verify().is_err());
    }
}

/// A certificate: nothing verifies against somebody else's identity.
pub fn certificate(bytes: &[u8]) {
    let Ok(signed) = cbor::decode::<SignedCertificate>(bytes, limits::RECORD_BYTES) else { return };
    assert_eq!(cbor::encode(&signed).as_deref(), Ok(bytes));
    static STRANGER: LazyLock<Option<Identity>> = LazyLock::new(|| {
        let log = IdentityLog::incept(&Wallet::from_entropy([77; 32])).ok()?;
        log.verify().ok()
    });
    if let Some(identity) = STRANGER.as_ref() {
        assert!(signed.verify(identity, NOW_MS).is_err());
    }
}

/// A receipt: what decodes is canonical, and what verifies is as it was signed, never replaces itself
/// and never takes the place of a larger one.
pub fn receipt(bytes: &[u8]) {
    let Ok(signed) = cbor::decode::<SignedReceipt>(bytes, limits::RECORD_BYTES) else { return };
    assert_eq!(cbor::encode(&signed).as_deref(), Ok(bytes));
    assert!(!signed.replaces(&signed));
    let mut larger = signed.clone();
    larger.receipt.totals.served_bytes = larger.receipt.totals.served_bytes.wrapping_add(1);
    if larger.receipt.totals.served_bytes != 0 {
        assert!(!signed.replaces(&larger));
    }
    match signed.verify(NOW_MS) {
        Ok(()) => assert!(larger.verify(NOW_MS).is_err()),
        Err(error) => drop(error.to_string()),
    }
}

/// A contract and an audit: checking ends, what verifies has terms that time and settlement can deal
/// with, and nobody has earned anything without audits.
pub fn contract(bytes: &[u8]) {
    if let Ok(record) = cbor::decode::<ContractRecord>(bytes, limits::RECORD_BYTES) {
        assert_eq!(record.encode().as_deref(), Ok(bytes));
        match Settlement::of(&record) {
            Ok(settlement) => {
                let contract = record.contract();
                assert!((1..=PERIODS).contains(&contract.periods()));
                assert_eq!(contract.phase(contract.from_ms), Phase::Active);
                assert!(!contract.may_let_go(u64::MAX, None));
                let earned = settlement.earned(u64::MAX);
                assert_eq!(earned.len(), contract.holders.len());
                assert!(earned.iter().all(|earned| earned.amount.units() == 0));
            }
            Err(error) => drop(error.to_string()),
        }
    }
    if let Ok(receipt) = cbor::decode::<AuditReceipt>(bytes, limits::RECORD_BYTES)
        && receipt.verify().is_ok()
    {
        let mut other = receipt.clone();
        other.audit.passed = !other.audit.passed;
        assert!(other.verify().is_err());
    }
}

/// Identities, peer ids, labels and phrases in text: what parses is the only text of what it names.
pub fn texts(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match text.parse::<Did>() {
        Ok(did) => assert_eq!(did.to_string(), text),
        Err(error) => drop(error.to_string()),
    }
    match text.parse::<PeerId>() {
        Ok(peer) => assert_eq!(peer.to_string(), text),
        Err(error) => drop(error.to_string()),
    }
    if let Ok(peer) = PeerId::from_bytes(bytes) {
        assert_eq!(peer.to_bytes(), bytes);
    }
    if let Some(key) = key_of_label(&text) {
        assert_eq!(format!("n{}", base32(&key)), text);
    }
    if let Ok(wallet) = Wallet::from_phrase(&text) {
        assert_eq!(wallet.words().len(), 24);
    }
}
