//! The plan over values: who is asked for what, when, and when it ends.

use craftec_core::Codec;

use super::*;

const WINDOW: usize = limits::IN_FLIGHT_BYTES_NATIVE;

fn cid(n: u32) -> Cid {
    Cid::of(Codec::Raw, &n.to_be_bytes())
}

fn peer(n: u8) -> PeerId {
    PeerId::from_public_key([n; 32])
}

fn at(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A plan that wants blocks `0..count`, and a confirmed peer 1 that delivered block 0.
fn running(count: u32) -> Plan {
    let mut plan = Plan::new(cid(0), at(0));
    plan.want(cid(0), at(0), false);
    plan.add_peer(peer(1), WINDOW, true);
    let asks = plan.next(at(0));
    assert_eq!(asks.len(), 1);
    plan.answered(asks[0].id, &[(cid(0), 256 << 10)], &[], at(10));
    (1..count).for_each(|n| plan.want(cid(n), at(10), false));
    plan
}

fn wanted(ask: &Ask) -> &[Cid] {
    match &ask.kind {
        AskKind::Want { cids, .. } => cids,
        AskKind::Have { .. } => &[],
    }
}

#[test]
fn the_first_block_is_asked_of_one_and_the_others_are_probed() {
    let mut plan = Plan::new(cid(0), at(0));
    for n in 1..=3 {
        plan.add_peer(peer(n), WINDOW, n == 3);
    }
    assert_eq!(plan.next(at(0)), []);
    plan.want(cid(0), at(0), false);
    let asks = plan.next(at(0));
    assert_eq!(asks[0].peer, peer(3), "a named holder comes first");
    assert_eq!(wanted(&asks[0]), [cid(0)]);
    assert!(asks[1..].iter().all(|ask| ask.kind == AskKind::Have { cids: vec![cid(0)] }));
    assert_eq!(asks.len(), 3);
    // The named holder lacks it, another has it.
    plan.answered(asks[0].id, &[], &[cid(0)], at(1));
    plan.held(asks[2].id, &[true], at(1));
    let again = plan.next(at(1));
    assert_eq!(again.len(), 1);
    assert_eq!((again[0].peer, wanted(&again[0])), (asks[2].peer, [cid(0)].as_slice()));
}

#[test]
fn a_confirmed_peer_gets_as_many_requests_as_its_window_allows() {
    let mut plan = running(200);
    let asks = plan.next(at(10));
    let blocks: usize = asks.iter().map(|ask| wanted(ask).len()).sum();
    let bytes = blocks * (256 << 10);
    assert!(asks.len() >= 4, "{} requests keep the pipe full", asks.len());
    assert!((WINDOW / 2..=WINDOW + (1 << 20)).contains(&bytes), "{bytes}");
    let order: Vec<Cid> = asks.iter().flat_map(wanted).copied().collect();
    assert_eq!(order, (1..=blocks as u32).map(cid).collect::<Vec<_>>(), "in the order wanted");
}

#[test]
fn a_narrow_window_still_has_several_requests_on_their_way() {
    let mut plan = running(200);
    plan.add_peer(peer(1), limits::IN_FLIGHT_BYTES_TAB, true);
    let asks = plan.next(at(10));
    let bytes: usize = asks.iter().map(|ask| wanted(ask).len() * (256 << 10)).sum();
    assert_eq!((asks.len(), bytes), (2, limits::IN_FLIGHT_BYTES_TAB));
}

#[test]
fn what_did_not_fit_is_asked_again_and_comes_first() {
    let mut plan = running(40);
    let asks = plan.next(at(10));
    let first = wanted(&asks[0]).to_vec();
    plan.answered(asks[0].id, &[(first[0], 1 << 20)], &[], at(20));
    let again = plan.next(at(20));
    assert_eq!(wanted(&again[0])[0], first[1]);
}

#[test]
fn a_slow_peer_is_doubled_and_its_late_answer_is_harmless() {
    let mut plan = running(3);
    let asks = plan.next(at(10));
    assert_eq!(asks.len(), 1);
    plan.add_peer(peer(2), WINDOW, true);
    assert!(plan.next(at(20)).iter().all(|ask| matches!(ask.kind, AskKind::Have { .. })));
    let probe = plan.pending.keys().next_back().copied().unwrap();
    plan.held(probe, &[true; 3], at(30));
    assert_eq!(plan.next(at(500)), []);
    let doubled = plan.next(at(1500));
    assert_eq!(doubled.len(), 1);
    assert_eq!((doubled[0].peer, wanted(&doubled[0]).len()), (peer(2), 2));
    assert_eq!(plan.next(at(9000)), [], "nobody else is there to ask");
    let got = [(cid(1), 9), (cid(2), 9)];
    plan.answered(doubled[0].id, &got, &[], at(1600));
    assert!(plan.is_idle());
    plan.answered(asks[0].id, &got, &[], at(1700));
    assert!(plan.is_idle() && plan.pending.is_empty() && plan.queue.is_empty());
}

#[test]
fn those_that_stall_are_joined_by_another_one_each_second_or_so() {
    let mut plan = running(2);
    for n in 1..=20 {
        plan.add_peer(peer(n), WINDOW, true);
    }
    let (mut asked, mut times) = (Vec::new(), Vec::new());
    for now in (10..14_000).step_by(100) {
        for ask in plan.next(at(now)) {
            match &ask.kind {
                AskKind::Want { cids, .. } => {
                    assert_eq!(cids, &[cid(1)]);
                    asked.push(ask.peer);
                    times.push(now);
                }
                AskKind::Have { cids } => plan.held(ask.id, &vec![true; cids.len()], at(now)),
            }
        }
    }
    assert!((9..=12).contains(&asked.len()), "{asked:?}");
    assert_eq!(asked.iter().collect::<BTreeSet<_>>().len(), asked.len(), "each once");
    let apart = times.windows(2).all(|two| two[1] >= two[0] + 1_000);
    assert!(apart, "one after the other: {times:?}");
    assert!(times[2] < 5_000, "well before the block is given up: {times:?}");
}

#[test]
fn leaves_that_only_the_silent_may_have_do_not_wait_for_them() {
    let mut plan = running(2);
    // It says that it has neither; the other one says nothing at all.
    let ask = plan.next(at(10)).remove(0);
    plan.add_peer(peer(2), WINDOW, true);
    let silent = plan.next(at(10)).remove(0);
    assert!(matches!(silent.kind, AskKind::Have { .. }));
    plan.answered(ask.id, &[], &[cid(1)], at(20));
    assert!(plan.next(at(30)).is_empty() && plan.is_offered(&cid(1)));
    assert_eq!(plan.stranded(at(600)), []);
    assert_eq!(plan.stranded(at(1_100)), [cid(1)]);
    // Once it has spoken it is waited for.
    plan.held(silent.id, &[true], at(1_200));
    assert_eq!(plan.stranded(at(1_300)), []);
}

#[test]
fn a_peer_whose_connection_is_gone_is_not_counted_on() {
    let mut plan = running(2);
    let ask = plan.next(at(10)).remove(0);
    assert_eq!(plan.unsure(), []);
    plan.left(&peer(1));
    assert_eq!(plan.unsure(), [cid(1)]);
    assert!(plan.is_offered(&cid(1)), "it may still come");
    plan.answered(ask.id, &[(cid(1), 1)], &[], at(20));
    plan.want(cid(2), at(20), false);
    assert_eq!(plan.unsure(), [], "it was heard of again");
}

#[test]
fn after_a_while_nobody_is_counted_on_before_being_heard_of_again() {
    let mut plan = running(2);
    plan.add_peer(peer(2), WINDOW, true);
    plan.narrow(&peer(2), Some(Rc::new(BTreeSet::from([cid(1)]))));
    assert_eq!(plan.unsure(), []);
    plan.doubt();
    assert_eq!(plan.unsure(), [cid(1)]);
    assert!(plan.is_offered(&cid(1)), "they are asked all the same");
    plan.narrow(&peer(2), Some(Rc::new(BTreeSet::from([cid(1)]))));
    assert_eq!(plan.unsure(), [], "one said what it has now");
}

#[test]
fn after_a_while_a_peer_is_asked_for_what_it_lacked() {
    let mut plan = running(2);
    let ask = plan.next(at(10)).remove(0);
    plan.answered(ask.id, &[], &[cid(1)], at(20));
    assert!(plan.next(at(4_000)).is_empty() && !plan.is_offered(&cid(1)));
    plan.doubt();
    assert!(plan.is_offered(&cid(1)));
    assert_eq!(wanted(&plan.next(at(4_000))[0]), [cid(1)]);
}

#[test]
fn a_dropped_peer_is_not_asked_again_and_others_take_over() {
    let mut plan = running(10);
    plan.next(at(10));
    plan.drop_peer(&peer(1));
    plan.add_peer(peer(1), WINDOW, true);
    assert_eq!(plan.next(at(10)), []);
    plan.add_peer(peer(2), WINDOW, false);
    let asks = plan.next(at(20));
    assert_eq!((asks[0].peer, wanted(&asks[0])[0]), (peer(2), cid(1)));
}

#[test]
fn failures_back_off_and_a_returning_peer_is_asked_at_once() {
    let mut plan = running(2);
    let mut now = 10;
    for _ in 0..FAILURES {
        let ask = plan.next(at(now)).remove(0);
        plan.failed(ask.id, Failure::Retry, at(now));
        assert_eq!(plan.next(at(now)), [], "it waits before it tries again");
        now += 2_500;
    }
    assert_eq!(plan.next(at(now)), []);
    plan.revive(&peer(1));
    assert_eq!(plan.next(at(now)).len(), 1);
}

#[test]
fn nothing_is_given_up_while_bytes_arrive_and_everything_once_they_stop() {
    let mut plan = running(4);
    let ask = plan.next(at(10)).remove(0);
    assert_eq!(plan.give_up(at(14_000)), []);
    plan.answered(ask.id, &[(cid(1), 1)], &[cid(2), cid(3)], at(14_000));
    assert_eq!(plan.give_up(at(20_000)), []);
    let mut lost = plan.give_up(at(29_000));
    lost.sort();
    let mut expected = vec![cid(2), cid(3)];
    expected.sort();
    assert_eq!(lost, expected);
    assert!(plan.is_idle());
}

#[test]
fn with_everyone_asked_and_no_search_left_it_gives_up_sooner() {
    let mut plan = Plan::new(cid(0), at(0));
    plan.want(cid(0), at(0), false);
    plan.set_searching(false);
    plan.add_peer(peer(1), WINDOW, false);
    let mut now = 0;
    while now < 6_000 && !plan.is_idle() {
        for ask in plan.next(at(now)) {
            plan.answered(ask.id, &[], &[cid(0)], at(now));
        }
        plan.give_up(at(now));
        now += 100;
    }
    assert!(plan.is_idle(), "gave up after {now} ms");
    assert!(now >= 5_000);
    assert_eq!(plan.asked(), 1);
}

#[test]
fn candidates_are_bounded_and_useless_ones_make_room() {
    let mut plan = Plan::new(cid(0), at(0));
    plan.want(cid(0), at(0), false);
    for n in 0..100 {
        plan.add_peer(peer(n), WINDOW, false);
    }
    assert_eq!(plan.peers.len(), CANDIDATES);
    for ask in plan.next(at(0)) {
        match ask.kind {
            AskKind::Want { .. } => plan.answered(ask.id, &[], &[cid(0)], at(1)),
            AskKind::Have { .. } => plan.held(ask.id, &[false], at(1)),
        }
    }
    assert!(plan.add_peer(peer(200), WINDOW, true));
    assert_eq!(plan.peers.len(), CANDIDATES);
}

#[test]
fn what_somebody_waits_for_comes_before_errands() {
    let mut plan = running(1);
    (10..14).for_each(|n| plan.want(cid(n), at(20), true));
    (20..22).for_each(|n| plan.want(cid(n), at(20), false));
    // Somebody waits for what an errand wants too; and an errand for what somebody waits for.
    plan.want(cid(12), at(20), false);
    plan.want(cid(20), at(20), true);
    let asks = plan.next(at(20));
    let asked: Vec<Cid> = asks.iter().flat_map(|ask| wanted(ask).iter().copied()).collect();
    assert_eq!(asked, [20, 21, 12, 10, 11, 13].map(cid));
}
