//! Contracts: every condition by itself, the largest that fits, and what time makes of one.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::{cid::Codec, wallet::Wallet};

const FROM_MS: u64 = 1_700_000_000_000;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// One for all tests: its keys take a while to stretch.
fn wallet() -> &'static Wallet {
    static WALLET: LazyLock<Wallet> = LazyLock::new(|| Wallet::from_entropy([1; 32]));
    &WALLET
}

pub(crate) fn key(n: u8) -> TransportKey {
    TransportKey::from_seed([n; 32])
}

/// Thirty days of three holders (10, 11, 12), audited by 20, 21 and 12.
pub(crate) fn contract() -> Contract {
    let log = IdentityLog::incept(wallet()).unwrap();
    Contract {
        v: 1,
        object: Cid::of(Codec::DagPb, b"object"),
        bytes: 1 << 20,
        n: 80,
        k: 32,
        from_ms: FROM_MS,
        until_ms: FROM_MS + 30 * DAY_MS,
        period_ms: DAY_MS,
        samples: 688,
        price: Amount::new(1_000_000).unwrap(),
        asset: "usd:test".to_owned(),
        scale: 6,
        holders: [10, 11, 12].map(|n| key(n).peer_id()).to_vec(),
        auditors: [20, 21, 12].map(|n| key(n).peer_id()).to_vec(),
        payer: log.verify().unwrap().did,
        writer: wallet().identity_key(0).public(),
        time_ms: FROM_MS - 1,
    }
}

pub(crate) fn offer(contract: Contract) -> ContractOffer {
    let log = IdentityLog::incept(wallet()).unwrap();
    ContractOffer::sign(contract, &wallet().identity_key(0), log).unwrap()
}

pub(crate) fn record(contract: Contract, holders: &[u8]) -> ContractRecord {
    let offer = offer(contract);
    let signatures = holders.iter().map(|n| offer.countersign(&key(*n)).unwrap()).collect();
    ContractRecord { offer, signatures }
}

fn refused(change: impl FnOnce(&mut Contract)) -> ContractError {
    let mut contract = contract();
    change(&mut contract);
    offer(contract).verify().unwrap_err()
}

#[test]
fn a_contract_stands_on_its_own() {
    let good = record(contract(), &[10, 11, 12]);
    assert_eq!(good.verify().unwrap().did, good.contract().payer);
    let bytes = good.encode().unwrap();
    assert_eq!(cbor::decode::<ContractRecord>(&bytes, limits::RECORD_BYTES), Ok(good.clone()));
    let short = record(contract(), &[10, 11]);
    assert_eq!(short.verify(), Err(ContractError::Unsigned { found: 2, wanted: 3 }));
    let holder = key(11).peer_id();
    let swapped = record(contract(), &[10, 12, 11]);
    assert_eq!(swapped.verify(), Err(ContractError::Holder { holder }));
    let mut cheaper = good;
    cheaper.offer.contract.price = Amount::ZERO;
    assert_eq!(cheaper.verify(), Err(BadSignature.into()));
}

#[test]
fn each_term_of_a_contract_is_checked() {
    assert_eq!(refused(|c| c.v = 2), ContractError::Version(2));
    assert_eq!(refused(|c| c.k = 0), ContractError::Pieces { n: 80, k: 0 });
    assert_eq!(refused(|c| c.k = 81), ContractError::Pieces { n: 80, k: 81 });
    for change in [
        |c: &mut Contract| c.until_ms = c.from_ms,
        |c: &mut Contract| c.until_ms = c.from_ms - 1,
        |c: &mut Contract| c.until_ms += 1,
        |c: &mut Contract| c.period_ms = 0,
        |c: &mut Contract| c.until_ms = c.from_ms + (PERIODS + 1) * c.period_ms,
    ] {
        assert!(matches!(refused(change), ContractError::Term { .. }));
    }
    for change in [
        |c: &mut Contract| c.asset.clear(),
        |c: &mut Contract| c.asset = "USD".to_owned(),
        |c: &mut Contract| c.asset = "a".repeat(ASSET_BYTES + 1),
        |c: &mut Contract| c.scale = SCALE_MOST + 1,
    ] {
        assert!(matches!(refused(change), ContractError::Asset { .. }));
    }
    for change in [
        |c: &mut Contract| c.holders.clear(),
        |c: &mut Contract| c.holders[1] = c.holders[0],
        |c: &mut Contract| (c.n, c.k) = (2, 1),
    ] {
        assert_eq!(refused(change), ContractError::Holders);
    }
    for change in [
        |c: &mut Contract| c.auditors.clear(),
        |c: &mut Contract| c.auditors[1] = c.auditors[0],
        |c: &mut Contract| c.auditors = vec![c.holders[0]],
        |c: &mut Contract| c.auditors = (0..=AUDITORS as u8).map(|n| key(n).peer_id()).collect(),
    ] {
        assert_eq!(refused(change), ContractError::Auditors);
    }
    let payer = Did(Hash([9; 32]));
    assert_eq!(refused(|c| c.payer = payer), ContractError::NotAllowed(payer));
    let contract = contract();
    let denied = ContractError::NotAllowed(contract.payer);
    assert_eq!(refused(|c| c.writer = PublicKey([9; 32])), denied);
}

#[test]
fn the_largest_contract_fits_a_record() {
    let peer = |n: usize| {
        let mut key = [7; 32];
        key[..2].copy_from_slice(&(n as u16).to_be_bytes());
        PeerId::from_public_key(key)
    };
    let mut large = contract();
    large.n = u16::MAX;
    large.holders = (0..limits::HOLDERS).map(peer).collect();
    large.auditors = (300..300 + AUDITORS).map(peer).collect();
    large.asset = "a".repeat(ASSET_BYTES);
    large.until_ms = large.from_ms + PERIODS * large.period_ms;
    let offer = offer(large);
    offer.verify().unwrap();
    let signatures = vec![Signature([1; 64]); limits::HOLDERS];
    let bytes = ContractRecord { offer, signatures }.encode().unwrap().len();
    assert!(bytes + 4096 < limits::RECORD_BYTES, "{bytes}: no room for an identity's history");
}

#[test]
fn an_ended_contract_takes_nothing_new_and_is_not_dropped_in_silence() {
    let contract = contract();
    let (from, until) = (contract.from_ms, contract.until_ms);
    let grace = Phase::Grace { until_ms: until + GRACE_MS };
    for (now_ms, phase) in [
        (0, Phase::Upcoming),
        (from - 1, Phase::Upcoming),
        (from, Phase::Active),
        (until - 1, Phase::Active),
        (until, grace),
        (until + GRACE_MS - 1, grace),
        (until + GRACE_MS, Phase::Free),
        (u64::MAX, Phase::Free),
    ] {
        assert_eq!(contract.phase(now_ms), phase, "{now_ms}");
        assert_eq!(phase.takes_data(), phase == Phase::Active);
        assert!(!contract.may_let_go(now_ms, None), "nobody was told");
    }
    let free = until + GRACE_MS;
    assert!(!contract.may_let_go(free - 1, Some(0)), "told long ago, and still in grace");
    assert!(contract.may_let_go(free, Some(free - NOTICE_MS)));
    assert!(!contract.may_let_go(free, Some(free - NOTICE_MS + 1)));
    assert!(!contract.may_let_go(free, Some(free + 1)), "told in the future");
}

#[test]
fn an_audit_is_its_auditors_word() {
    let contract = contract();
    let audit = Audit {
        v: 1,
        contract: contract.id().unwrap(),
        auditor: key(20).peer_id(),
        holder: key(10).peer_id(),
        samples: 688,
        passed: true,
        time_ms: FROM_MS,
    };
    let good = AuditReceipt::sign(audit.clone(), &key(20)).unwrap();
    good.verify().unwrap();
    assert_eq!(
        AuditReceipt::sign(audit.clone(), &key(21)).unwrap().verify(),
        Err(BadSignature.into())
    );
    let later = AuditReceipt::sign(Audit { v: 2, ..audit }, &key(20)).unwrap();
    assert_eq!(later.verify(), Err(ContractError::Version(2)));
    let mut changed = good;
    changed.audit.passed = false;
    assert_eq!(changed.verify(), Err(BadSignature.into()));
}

proptest! {
    #[test]
    fn phases_follow_each_other(a: u64, b: u64) {
        let order = |phase| match phase {
            Phase::Upcoming => 0,
            Phase::Active => 1,
            Phase::Grace { .. } => 2,
            Phase::Free => 3,
        };
        let contract = contract();
        let (early, late) = (a.min(b), a.max(b));
        prop_assert!(order(contract.phase(early)) <= order(contract.phase(late)));
    }
}
