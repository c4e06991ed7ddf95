//! The edges of what is believed: every condition of a check by itself, and both sides of each limit.
//! Written so that no single change of the verifying modules goes unnoticed (`make mutants`).
#![allow(clippy::unwrap_used, reason = "tests")]

mod settled;

use std::sync::LazyLock;

use craftec_core::{
    Cid, CidError, Codec, Did, TransportKey,
    cbor::{self, CborError},
    certificate::{Certificate, CertificateError, SignedCertificate},
    cid::CID_BYTES,
    head::{Head, HeadError, HeadRecord, SignedHead, check_name, head_key, key_of_label, label},
    identity::{
        Action, Delegation, Event, IdentityError, IdentityLog, SignedEvent, key_commitment,
    },
    limits,
    placement::{Placement, PlacementError, PlacementRecord},
    record::{Record, RecordError},
    sign::{BadSignature, Domain, Hash, SecretKey},
    wallet::Wallet,
};

const NOW_MS: u64 = 1_700_000_000_000;
/// What a head's clock may be ahead: ten minutes.
const SKEW_MS: u64 = 600_000;

/// One for all tests: its keys take a while to stretch.
fn wallet() -> &'static Wallet {
    static WALLET: LazyLock<Wallet> = LazyLock::new(|| Wallet::from_entropy([1; 32]));
    &WALLET
}

fn device() -> SecretKey {
    SecretKey::from_seed([5; 32])
}

/// An identity with one device that may write `blog` for ever.
fn log() -> IdentityLog {
    let mut log = IdentityLog::incept(wallet()).unwrap();
    let names = Some(vec!["blog".to_owned()]);
    let leave = Delegation { device: device().public(), names, expires_ms: u64::MAX };
    log.delegate(wallet(), leave).unwrap();
    log
}

fn did() -> Did {
    log().verify().unwrap().did
}

fn head(seq: u64, root: &[u8]) -> Head {
    Head {
        v: 1,
        did: did(),
        name: "blog".to_owned(),
        seq,
        root: Cid::of(Codec::Raw, root),
        prev: (seq > 0).then_some(Hash([9; 32])),
        writer: device().public(),
        epoch: 0,
        time_ms: NOW_MS,
        expires_ms: NOW_MS + 1,
    }
}

fn signed(head: Head) -> SignedHead {
    SignedHead::sign(head, &device()).unwrap()
}

fn record(head: Head) -> HeadRecord {
    HeadRecord { head: signed(head), rival: None, settled: None, log: log() }
}

/// Two valid heads with one number, in the order in which a proof names them.
fn rivals(seq: u64) -> (SignedHead, SignedHead) {
    let (a, b) = (signed(head(seq, b"a")), signed(head(seq, b"b")));
    if a.hash().unwrap() < b.hash().unwrap() { (a, b) } else { (b, a) }
}

#[test]
fn a_cid_is_what_it_names_in_one_form() {
    for (codec, code) in [(Codec::Raw, 0x55), (Codec::DagPb, 0x70), (Codec::DagCbor, 0x71)] {
        let cid = Cid::of(codec, b"bytes");
        assert_eq!((cid.codec(), codec.code()), (codec, code));
        assert_eq!(Cid::from_hash(codec, *cid.hash()), cid);
        assert!(cid.matches(b"bytes") && !cid.matches(b"Bytes"));
        let bytes = cid.to_bytes();
        assert_eq!((bytes.len(), bytes[..4].to_vec()), (CID_BYTES, vec![1, code as u8, 0x1e, 32]));
        assert_eq!(Cid::from_bytes(&bytes), Ok(cid));
        let longer = [bytes.as_slice(), &[0]].concat();
        assert!(matches!(Cid::from_bytes(&longer), Err(CidError::Malformed { .. })));
        assert!(matches!(Cid::from_bytes(&bytes[..35]), Err(CidError::Malformed { .. })));
        let json = serde_json::to_string(&cid).unwrap();
        assert_eq!(json, format!("\"{cid}\""));
        assert_eq!(serde_json::from_str::<Cid>(&json).unwrap(), cid);
        let link = cbor::encode(&cid).unwrap();
        assert_eq!(link[..5], [0xd8, 0x2a, 0x58, 0x25, 0]);
        assert_eq!(cbor::decode::<Cid>(&link, 99), Ok(cid));
    }
    let mut other = Cid::of(Codec::Raw, b"").to_bytes();
    other[1] = 0x12;
    assert_eq!(Cid::from_bytes(&other), Err(CidError::Codec { code: 0x12 }));
    // BLAKE3 of another length, and another function of the right one.
    let short = [&[1, 0x55, 0x1e, 20][..], &[0; 20]].concat();
    assert_eq!(Cid::from_bytes(&short), Err(CidError::Hash { code: 0x1e, bytes: 20 }));
    let sha = [&[1, 0x55, 0x12, 32][..], &[0; 32]].concat();
    assert_eq!(Cid::from_bytes(&sha), Err(CidError::Hash { code: 0x12, bytes: 32 }));
}

#[test]
fn a_length_limit_includes_its_own_value() {
    let bytes = cbor::encode(&vec![7_u64; 10]).unwrap();
    assert!(cbor::decode::<Vec<u64>>(&bytes, bytes.len()).is_ok());
    let limit = bytes.len() - 1;
    let too_long = CborError::TooLong { bytes: bytes.len(), limit };
    assert_eq!(cbor::decode::<Vec<u64>>(&bytes, limit), Err(too_long));
    // Shorter than what it would be written as, in its last part.
    assert!(cbor::decode::<(u64, u64)>(&[0x82, 1, 0x18, 2], 99).is_err());
}

#[test]
fn each_condition_of_a_head_counts() {
    assert!(record(head(0, b"x")).verify(NOW_MS).is_ok());
    assert!(record(head(1, b"x")).verify(NOW_MS).is_ok());
    let refused = |change: fn(&mut Head)| {
        let mut head = head(0, b"x");
        change(&mut head);
        record(head).verify(NOW_MS).unwrap_err()
    };
    assert_eq!(refused(|h| h.v = 0), HeadError::Version(0));
    assert_eq!(refused(|h| h.prev = Some(Hash([0; 32]))), HeadError::Broken { seq: 0 });
    assert_eq!(refused(|h| h.seq = 1), HeadError::Broken { seq: 1 });
    assert_eq!(refused(|h| h.expires_ms = NOW_MS), HeadError::Expiry);
    let shop = HeadError::NotAllowed { name: "shop".to_owned() };
    assert_eq!(refused(|h| h.name = "shop".to_owned()), shop);
    let other = Did(Hash([3; 32]));
    let foreign = HeadError::Foreign { head: other, log: did() };
    assert_eq!(refused(|h| h.did = Did(Hash([3; 32]))), foreign);
    // Ten minutes ahead is taken, one millisecond more is not.
    let ahead = |ms: u64| {
        let (time_ms, expires_ms) = (NOW_MS + ms, NOW_MS + ms + 1);
        record(Head { time_ms, expires_ms, ..head(0, b"x") }).verify(NOW_MS)
    };
    assert!(ahead(SKEW_MS).is_ok());
    assert_eq!(ahead(SKEW_MS + 1), Err(HeadError::Future { ahead_ms: SKEW_MS + 1 }));
}

#[test]
fn names_have_their_limits() {
    let (longest, too_long) = ("x".repeat(255), "x".repeat(256));
    for good in ["a", "ü b", "...", longest.as_str()] {
        assert_eq!(check_name(good), Ok(()), "{good}");
    }
    for bad in ["", ".", "..", "a/b", "a\n", "\u{7f}", too_long.as_str()] {
        assert!(matches!(check_name(bad), Err(HeadError::Name(_))), "{bad:?}");
    }
    // A key depends on where the identity ends and the name begins, and on both.
    let key = head_key(&did(), "blog");
    assert_ne!(key, head_key(&did(), "blo"));
    assert_ne!(key, head_key(&Did(Hash([3; 32])), "blog"));
    let label = label(&did(), "blog");
    assert_eq!(key_of_label(&label), Some(key));
    for other in [&label[1..], &label[..52], &format!("{label}a"), &label.replace('n', "m")] {
        assert_eq!(key_of_label(other), None, "{other}");
    }
}

#[test]
fn a_proof_of_contradiction_is_exactly_two_heads_of_one_place() {
    let (first, second) = rivals(4);
    let proof = |head: &SignedHead, rival: &SignedHead| {
        let record = HeadRecord {
            head: head.clone(),
            rival: Some(rival.clone()),
            settled: None,
            log: log(),
        };
        record.verify(NOW_MS).map(drop)
    };
    let none = Err(HeadError::NoEquivocation);
    assert_eq!(proof(&first, &second), Ok(()));
    assert_eq!(proof(&second, &first), none, "one proof, in one order");
    assert_eq!(proof(&first, &first), none);
    // Another number, in either order.
    let fifth = signed(head(5, b"a"));
    assert_eq!((proof(&first, &fifth), proof(&fifth, &first)), (none.clone(), none));
    // A rival that is not valid itself.
    let forged = SignedHead { sig: first.sig, ..second.clone() };
    assert_eq!(proof(&first, &forged), Err(BadSignature.into()));
    // Another name: under a device that may write both.
    let mut log = IdentityLog::incept(wallet()).unwrap();
    let leave = Delegation { device: device().public(), names: None, expires_ms: u64::MAX };
    log.delegate(wallet(), leave).unwrap();
    let other = signed(Head { name: "shop".to_owned(), ..head(4, b"b") });
    let (a, b) =
        if first.hash().unwrap() < other.hash().unwrap() { (first, other) } else { (other, first) };
    let record = HeadRecord { head: a, rival: Some(b), settled: None, log };
    assert_eq!(record.verify(NOW_MS).map(drop), Err(HeadError::NoEquivocation));
}

#[test]
fn a_contradiction_is_found_in_one_place_only_and_keeps_the_longer_log() {
    let (a, b) = (record(head(4, b"a")), record(head(4, b"b")));
    let (first, second) = rivals(4);
    let proof = a.equivocation(&b).unwrap().unwrap();
    assert_eq!((&proof.head, proof.rival.as_ref()), (&first, Some(&second)));
    assert_eq!(a.equivocation(&a).unwrap(), None);
    let elsewhere: [fn(&mut Head); 3] =
        [|h| h.seq = 5, |h| h.name = "shop".to_owned(), |h| h.did = Did(Hash([3; 32]))];
    for change in elsewhere {
        let mut other = head(4, b"b");
        change(&mut other);
        assert_eq!(a.equivocation(&record(other)).unwrap(), None);
    }
    let mut longer = b.clone();
    longer.log.rotate(wallet()).unwrap();
    assert_eq!(a.equivocation(&longer).unwrap().unwrap().log, longer.log);
    assert_eq!(longer.equivocation(&a).unwrap().unwrap().log, longer.log);
}

#[test]
fn only_what_follows_replaces() {
    let old = record(head(3, b"old"));
    let follow = |seq: u64, prev: Hash| {
        let head = Head { prev: Some(prev), ..head(seq, b"new") };
        record(head).replaces(&old)
    };
    let hash = old.head.hash().unwrap();
    assert_eq!(follow(4, hash), Ok(true));
    assert_eq!(follow(4, Hash([9; 32])), Err(HeadError::Fork { seq: 4, held: 3 }));
    // What lies between is not known here.
    assert_eq!(follow(5, Hash([9; 32])), Ok(true));
    assert_eq!(follow(3, hash), Ok(false));
    assert_eq!(follow(2, hash), Ok(false));
    // The same head with more of its author's history, but not with another or less of it.
    let mut longer = old.clone();
    longer.log.rotate(wallet()).unwrap();
    assert_eq!(longer.replaces(&old), Ok(true));
    assert_eq!(old.replaces(&longer), Ok(false));
    assert_eq!(old.replaces(&old), Ok(false));
    let mut other = old.clone();
    other.log.revoke(wallet(), device().public()).unwrap();
    let mut longest = longer.clone();
    longest.log.rotate(wallet()).unwrap();
    assert_eq!(longest.replaces(&other), Ok(false), "another history");
    let mut newer_log = record(head(3, b"other"));
    newer_log.log.rotate(wallet()).unwrap();
    assert_eq!(newer_log.replaces(&old), Ok(false), "another head with one number");
    // A proof beats everything and stays.
    let (first, second) = rivals(3);
    let proof = HeadRecord { head: first, rival: Some(second), settled: None, log: log() };
    assert_eq!(proof.replaces(&old), Ok(true));
    assert_eq!(follow(4, hash), Ok(true));
    assert_eq!(record(head(9, b"new")).replaces(&proof), Ok(false));
    assert_eq!(proof.replaces(&proof), Ok(false));
}

/// An event of the wallet's, signed by a key of it.
fn event(seq: u32, prev: Option<Hash>, action: Action, rotations: u32) -> SignedEvent {
    let event = Event { v: 1, seq, prev, action };
    let body = cbor::encode(&event).unwrap();
    let sig = wallet().identity_key(rotations).sign(Domain::Identity, &body);
    SignedEvent { event, sig }
}

fn again(mut signed: SignedEvent, change: impl FnOnce(&mut Event)) -> SignedEvent {
    change(&mut signed.event);
    let Event { v, seq, prev, action } = signed.event;
    let event = Event { v, seq, prev, action };
    let body = cbor::encode(&event).unwrap();
    let sig = wallet().identity_key(0).sign(Domain::Identity, &body);
    SignedEvent { event, sig }
}

#[test]
fn each_condition_of_an_inception_counts() {
    let good = IdentityLog::incept(wallet()).unwrap().events.remove(0);
    let verified = |event: SignedEvent| IdentityLog { events: vec![event] }.verify().map(drop);
    assert_eq!(verified(good.clone()), Ok(()));
    let refused = |change: fn(&mut Event)| verified(again(good.clone(), change)).unwrap_err();
    assert_eq!(refused(|e| e.v = 2), IdentityError::Version(2));
    assert_eq!(refused(|e| e.seq = 1), IdentityError::Broken { seq: 1 });
    assert_eq!(refused(|e| e.prev = Some(Hash([0; 32]))), IdentityError::Broken { seq: 0 });
    let two = refused(|e| {
        if let Action::Inception { threshold, .. } = &mut e.action {
            *threshold = 2;
        }
    });
    assert_eq!(two, IdentityError::Threshold(2));
    let revocation = Action::Revocation { device: device().public() };
    assert_eq!(verified(event(0, None, revocation, 0)), Err(IdentityError::Misplaced { seq: 0 }));
    let forged = SignedEvent { sig: device().sign(Domain::Identity, b"x"), ..good };
    let signature = IdentityError::Signature { seq: 0, source: BadSignature };
    assert_eq!(verified(forged), Err(signature));
}

#[test]
fn each_condition_of_a_later_event_counts() {
    let first = IdentityLog::incept(wallet()).unwrap().events.remove(0);
    let prev = Some(first.hash().unwrap());
    let revocation = || Action::Revocation { device: device().public() };
    let verified = |second: SignedEvent| {
        IdentityLog { events: vec![first.clone(), second] }.verify().map(drop)
    };
    let good = event(1, prev, revocation(), 0);
    assert_eq!(verified(good.clone()), Ok(()));
    assert_eq!(verified(again(good, |e| e.v = 2)), Err(IdentityError::Version(2)));
    assert_eq!(verified(event(2, prev, revocation(), 0)), Err(IdentityError::Broken { seq: 2 }));
    assert_eq!(verified(event(0, prev, revocation(), 0)), Err(IdentityError::Broken { seq: 0 }));
    assert_eq!(verified(event(1, None, revocation(), 0)), Err(IdentityError::Broken { seq: 1 }));
    let by_another = verified(event(1, prev, revocation(), 1));
    assert!(matches!(by_another, Err(IdentityError::Signature { seq: 1, .. })));
    let inception = event(1, prev, first.event.action.clone(), 0);
    assert_eq!(verified(inception), Err(IdentityError::Misplaced { seq: 1 }));
}

#[test]
fn a_log_has_a_length_and_a_later_word_counts() {
    assert_eq!(IdentityLog { events: vec![] }.verify(), Err(IdentityError::Length { found: 0 }));
    let leave = |expires_ms| Delegation { device: device().public(), names: None, expires_ms };
    let mut full = IdentityLog::incept(wallet()).unwrap();
    while full.events.len() < limits::IDENTITY_EVENTS {
        full.delegate(wallet(), leave(full.events.len() as u64)).unwrap();
    }
    let last = full.events.len() as u64 - 1;
    let identity = full.verify().unwrap();
    assert!(identity.may_write(&device().public(), "any", last - 1));
    assert!(!identity.may_write(&device().public(), "any", last));
    let found = limits::IDENTITY_EVENTS + 1;
    assert_eq!(full.delegate(wallet(), leave(9)), Err(IdentityError::Length { found }));
    assert_eq!(full.events.len(), limits::IDENTITY_EVENTS, "it is as it was");
    assert_eq!(full.rotate(wallet()), Err(IdentityError::Length { found }));
    assert_eq!(full.revoke(wallet(), device().public()), Err(IdentityError::Length { found }));
}

#[test]
fn rotation_moves_to_the_committed_key_and_on() {
    let mut log = IdentityLog::incept(wallet()).unwrap();
    for rotations in 1..4 {
        log.rotate(wallet()).unwrap();
        let now = log.verify().unwrap();
        assert_eq!(
            (now.rotations, now.key),
            (rotations, wallet().identity_key(rotations).public())
        );
    }
    let cut = IdentityLog { events: log.events[..2].to_vec() };
    assert!(log.extends(&cut) && log.extends(&log) && !cut.extends(&log));
    let (a, b) = (key_commitment(&device().public()), key_commitment(&log.verify().unwrap().key));
    assert_ne!(a, b);
    let text = did().to_string();
    assert_eq!((text.len(), text.parse()), (64, Ok(did())));
    for bad in [&text[12..], &text.to_uppercase(), &format!("{text}a"), &text.replace("did", "dod")]
    {
        assert!(matches!(bad.parse::<Did>(), Err(IdentityError::Text(_))), "{bad}");
    }
}

#[test]
fn each_condition_of_a_certificate_counts() {
    let mut log = IdentityLog::incept(wallet()).unwrap();
    let leave = Delegation { device: device().public(), names: None, expires_ms: 50 };
    log.delegate(wallet(), leave).unwrap();
    let identity = log.verify().unwrap();
    let peer = TransportKey::from_seed([2; 32]).peer_id();
    let make = |v: u16, key: &SecretKey, expires_ms: u64| {
        let certificate = Certificate { v, peer, device: key.public(), expires_ms };
        SignedCertificate::sign(certificate, key).unwrap()
    };
    let by_device = make(1, &device(), 100);
    assert_eq!(by_device.verify(&identity, 49), Ok(()));
    assert_eq!(by_device.verify(&identity, 50), Err(CertificateError::NotAllowed));
    let by_wallet = make(1, &wallet().identity_key(0), 100);
    assert_eq!(by_wallet.verify(&identity, 99), Ok(()));
    let expired = Err(CertificateError::Expired { expires_ms: 100 });
    assert_eq!(by_wallet.verify(&identity, 100), expired);
    assert_eq!(make(2, &device(), 100).verify(&identity, 1), Err(CertificateError::Version(2)));
    let stranger = SecretKey::from_seed([8; 32]);
    let denied = Err(CertificateError::NotAllowed);
    assert_eq!(make(1, &stranger, 100).verify(&identity, 1), denied);
    let forged = SignedCertificate { sig: by_wallet.sig, ..by_device };
    assert_eq!(forged.verify(&identity, 1), Err(BadSignature.into()));
}

fn placement() -> PlacementRecord {
    let key = wallet().identity_key(0);
    let placement = Placement {
        v: 1,
        root: Cid::of(Codec::Raw, b"root"),
        owner: did(),
        epoch: 1,
        n: 0,
        holders: Vec::new(),
        pieces: Vec::new(),
        writer: key.public(),
        time_ms: NOW_MS,
    };
    PlacementRecord::sign(placement, &key, log()).unwrap()
}

#[test]
fn a_record_belongs_under_its_key_and_replaces_its_own_kind() {
    let heads = [head(0, b"a"), head(2, b"b")].map(|head| Record::Head(Box::new(record(head))));
    let placed = Record::Placement(Box::new(placement()));
    for record in [&heads[0], &placed] {
        let (key, bytes) = (record.key(), record.encode().unwrap());
        assert_eq!(Record::verify(&key, &bytes, NOW_MS).as_ref(), Ok(record));
        assert!(Record::verify(&[0; 32], &bytes, NOW_MS).is_err());
    }
    let bytes = placed.encode().unwrap();
    let misplaced = Record::verify(&heads[0].key(), &bytes, NOW_MS);
    assert_eq!(misplaced, Err(RecordError::Placement(PlacementError::Key)));
    assert_eq!(heads[1].replaces(&heads[0]), Ok(true));
    assert_eq!(heads[0].replaces(&heads[1]), Ok(false));
    assert_eq!(heads[0].replaces(&placed), Ok(false));
    assert_eq!(placed.replaces(&heads[0]), Ok(false));
    // Checked, and not only decoded.
    let mut forged = placement();
    forged.placement.epoch = 2;
    let forged = Record::Placement(Box::new(forged));
    assert!(forged.encode().is_ok_and(|b| Record::verify(&forged.key(), &b, NOW_MS).is_err()));
    let mut late = record(head(0, b"a"));
    late.head.head.seq = 7;
    let late = Record::Head(Box::new(late));
    assert!(late.encode().is_ok_and(|b| Record::verify(&late.key(), &b, NOW_MS).is_err()));
}

/// A record with one more device, whose names make it as long as they are.
fn padded(events: usize, name: usize) -> Record {
    let mut record = placement();
    while record.log.events.len() < events {
        let n = record.log.events.len() as u64;
        let names = Some(vec!["x".repeat(255); 16]);
        let device = SecretKey::from_seed([n as u8; 32]).public();
        record.log.delegate(wallet(), Delegation { device, names, expires_ms: n }).unwrap();
    }
    let names = Some(vec!["x".repeat(name)]);
    let leave = Delegation { device: device().public(), names, expires_ms: 1 };
    record.log.delegate(wallet(), leave).unwrap();
    Record::Placement(Box::new(record))
}

#[test]
fn a_record_is_as_long_as_it_may_be_and_no_longer() {
    // Far enough from 256, where the length of a length changes.
    let name = 3000;
    let mut events = 2;
    while padded(events + 1, name).encode().is_ok() {
        events += 1;
    }
    let short = limits::RECORD_BYTES - padded(events, name).encode().unwrap().len();
    let longest = padded(events, name + short);
    let bytes = longest.encode().unwrap();
    assert_eq!(bytes.len(), limits::RECORD_BYTES);
    assert_eq!(Record::verify(&longest.key(), &bytes, NOW_MS), Ok(longest));
    let bytes = limits::RECORD_BYTES + 1;
    let too_long = CborError::TooLong { bytes, limit: limits::RECORD_BYTES };
    assert_eq!(padded(events, name + short + 1).encode(), Err(too_long.into()));
}

#[test]
fn limits_are_the_documented_ones() {
    assert_eq!(limits::BLOCK_BYTES, 1_048_576);
    assert_eq!(limits::SMALL_OBJECT_BYTES, 1_048_576);
    assert_eq!(limits::FRAME_BYTES, 1_064_960);
    assert_eq!(limits::RECORD_BYTES, 32_768);
    assert_eq!(limits::WANT_CIDS, 256);
    assert_eq!(limits::IN_FLIGHT_BYTES_TAB, 524_288);
    assert_eq!(limits::IN_FLIGHT_BYTES_WEBRTC, 2_097_152);
    assert_eq!(limits::IN_FLIGHT_BYTES_NATIVE, 8_388_608);
    assert_eq!(limits::DAG_DEPTH, 64);
    assert_eq!((limits::NAME_BYTES, limits::PATH_BYTES), (255, 4_096));
    assert_eq!((limits::HOLDERS, limits::IDENTITY_EVENTS), (256, 64));
    assert_eq!(limits::API_FRAME_BYTES, 1_064_960);
}
