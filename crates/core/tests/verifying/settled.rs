//! What ends a contradiction of two heads.

use craftec_core::head::Settled;

use super::*;

/// A head that follows both of two, and the record of it.
fn settling(seq: u64, heads: &(SignedHead, SignedHead)) -> HeadRecord {
    let (one, other) = heads.clone();
    let prev = Some(Settled::prev(&one, &other).unwrap());
    let by = signed(Head { prev, ..head(seq, b"both") });
    let settled = Some(Box::new(Settled { one, other, by: by.clone() }));
    HeadRecord { head: by, rival: None, settled, log: log() }
}

#[test]
fn only_a_head_that_names_both_settles() {
    let heads = rivals(3);
    let good = settling(4, &heads);
    assert!(good.verify(NOW_MS).is_ok());
    assert!(settling(6, &heads).verify(NOW_MS).is_ok(), "numbers may be left out");
    let refused = |change: fn(&mut Settled)| {
        let mut record = good.clone();
        change(record.settled.as_mut().unwrap());
        record.verify(NOW_MS).map(drop)
    };
    let none = Err(HeadError::NotSettled);
    assert_eq!(refused(|s| std::mem::swap(&mut s.one, &mut s.other)), none, "in one order");
    assert_eq!(refused(|s| s.other = s.one.clone()), none);
    assert_eq!(refused(|s| s.by = signed(head(4, b"both"))), none, "it names neither");
    assert_eq!(refused(|s| s.one.sig = s.other.sig), Err(BadSignature.into()));
    assert_eq!(refused(|s| s.by.sig = s.other.sig), Err(BadSignature.into()));
    assert_eq!(settling(3, &heads).verify(NOW_MS).map(drop), none, "it is no later");
    // A later head carries it; an earlier one can't.
    let carried = |seq: u64| {
        let settled = good.settled.clone();
        HeadRecord { settled, ..record(head(seq, b"later")) }.verify(NOW_MS).map(drop)
    };
    assert_eq!((carried(5), carried(3)), (Ok(()), none.clone()));
    // Under keys that are no longer the author's it proves nothing: a later head goes without.
    let mut rotated = good.clone();
    rotated.log.revoke(wallet(), device().public()).unwrap();
    assert!(matches!(rotated.verify(NOW_MS), Err(HeadError::NotAllowed { .. })));
    // Of another name, under a device that may write both.
    let mut log = IdentityLog::incept(wallet()).unwrap();
    let leave = Delegation { device: device().public(), names: None, expires_ms: u64::MAX };
    log.delegate(wallet(), leave).unwrap();
    let shop = signed(Head { name: "shop".to_owned(), ..head(5, b"later") });
    let foreign = HeadRecord { head: shop, log, ..good.clone() };
    assert_eq!(foreign.verify(NOW_MS).map(drop), none);
}

#[test]
fn what_is_settled_is_over_and_nothing_else() {
    let heads = rivals(3);
    let one = HeadRecord { head: heads.0.clone(), ..record(head(3, b"a")) };
    let other = HeadRecord { head: heads.1.clone(), ..one.clone() };
    let proof = one.equivocation(&other).unwrap().unwrap();
    let settled = settling(4, &heads);
    for held in [&one, &other, &proof] {
        assert_eq!((settled.replaces(held), held.replaces(&settled)), (Ok(true), Ok(false)));
        assert!(settled.settles(held) && !held.settles(&settled));
    }
    let next = HeadRecord {
        settled: settled.settled.clone(),
        ..record(Head { prev: Some(settled.head.hash().unwrap()), ..head(5, b"next") })
    };
    assert_eq!((next.replaces(&proof), proof.replaces(&next)), (Ok(true), Ok(false)));
    assert_eq!((next.replaces(&settled), settled.replaces(&next)), (Ok(true), Ok(false)));
    assert!(!next.settles(&settled));
    // Without the proof that goes along it is a head like any other.
    let bare = HeadRecord { settled: None, ..next.clone() };
    assert_eq!((bare.replaces(&proof), proof.replaces(&bare)), (Ok(false), Ok(true)));
    // Another contradiction later: its proof keeps what was settled, and stays.
    let rival = HeadRecord { settled: None, ..record(head(5, b"rival")) };
    for (a, b) in [(&next, &rival), (&rival, &next)] {
        let later = a.equivocation(b).unwrap().unwrap();
        assert!(later.verify(NOW_MS).is_ok());
        assert_eq!(later.settled, settled.settled);
        assert_eq!((later.replaces(&proof), settled.replaces(&later)), (Ok(true), Ok(false)));
        assert_eq!((later.replaces(&next), next.replaces(&later)), (Ok(true), Ok(false)));
    }
}
