//! The policy's rules, over all states that a few numbers can describe.

use proptest::prelude::*;

use super::*;

fn holders(count: u16, standing: Standing) -> Vec<Held> {
    let held = Held { pieces: 1, whole: false, standing, groups: [0, 0] };
    vec![held; usize::from(count)]
}

fn whole(standing: Standing) -> Held {
    Held { pieces: 0, whole: true, standing, groups: [0, 0] }
}

fn aim() -> Aim {
    Aim { k: 64, wholes: 1, floor: 75, fill: 75, urgent: 72, ceiling: 160, group_most: 5 }
}

const FULL: Rank = Rank { reachable: 64, counted: 64 };
const AWAY: Standing = Standing::Absent { returns: 0.9 };

fn decided(aim: &Aim, holders: &[Held], rank: Rank) -> Decision {
    decide(aim, &Tally::of(holders, aim.group_most), rank, 0)
}

#[test]
fn a_whole_copy_mends_for_the_bytes_it_sends() {
    let mut all = holders(75, Standing::Present);
    all.push(whole(Standing::Present));
    assert_eq!(decided(&aim(), &all, FULL), Decision::Rest(Rest::Healthy));
    all.iter_mut().take(2).for_each(|held| held.standing = Standing::Lost);
    let Decision::Act(repair) = decided(&aim(), &all, FULL) else { panic!() };
    assert_eq!((repair.way, repair.pieces), (Way::FromWhole, 2));
    assert_eq!(repair.bytes(1000), 2000);
}

#[test]
fn an_absent_whole_copy_is_waited_for_until_it_is_urgent() {
    let mut all = holders(73, Standing::Present);
    all.push(whole(AWAY));
    assert_eq!(decided(&aim(), &all, FULL), Decision::Rest(Rest::WholeAway));
    all.iter_mut().take(2).for_each(|held| held.standing = Standing::Lost);
    let Decision::Act(repair) = decided(&aim(), &all, FULL) else { panic!() };
    assert_eq!(repair.way, Way::Recode { helpers: 8 });
    assert_eq!((repair.pieces, repair.read_pieces, repair.write_pieces), (4, 32, 0));
    // One that rather doesn't return has to be replaced anyway.
    let mut gone = all.clone();
    gone[73].standing = Standing::Absent { returns: 0.4 };
    let Decision::Act(repair) = decided(&aim(), &gone, FULL) else { panic!() };
    assert_eq!(repair.way, Way::Decode { keeps_whole: true });
    // Out of sight of enough pieces, nobody recodes.
    let Decision::Act(repair) = decided(&aim(), &all, Rank { reachable: 63, counted: 64 }) else {
        panic!()
    };
    // The whole copy that is away is rather coming back: there are not to be two.
    assert_eq!(repair.way, Way::Decode { keeps_whole: false });
}

#[test]
fn a_lost_whole_copy_is_made_anew_by_decoding() {
    let aim = aim();
    let tally = Tally::of(&holders(75, Standing::Present), 5);
    let Decision::Act(repair) = decide(&aim, &tally, FULL, 1) else { panic!() };
    assert_eq!(repair.way, Way::Decode { keeps_whole: true });
    assert_eq!((repair.read_pieces, repair.write_pieces), (63, 0));
    // A fresh object does without until its pieces have become few.
    let fresh = holders(160, Standing::Present);
    assert_eq!(decided(&aim, &fresh, FULL), Decision::Rest(Rest::Healthy));
}

#[test]
fn what_cannot_be_decoded_waits() {
    let few = holders(63, Standing::Present);
    let rank = Rank { reachable: 63, counted: 63 };
    assert_eq!(decided(&aim(), &few, rank), Decision::Rest(Rest::Stranded));
}

#[test]
fn batches_decode_and_single_losses_recode() {
    // Storj's published example, and its cost: 40 read, 70 written.
    let aim = Aim::lazy(40, 50, 120);
    assert_eq!(decided(&aim, &holders(50, AWAY), FULL), Decision::Rest(Rest::Healthy));
    let Decision::Act(repair) = decided(&aim, &holders(49, AWAY), FULL) else { panic!() };
    assert_eq!((repair.way, repair.bytes(1)), (Way::Decode { keeps_whole: false }, 40 + 71));
    let aim = Aim::lazy(40, 50, 52);
    let Decision::Act(repair) = decided(&aim, &holders(49, AWAY), FULL) else { panic!() };
    assert_eq!((repair.way, repair.bytes(1)), (Way::Recode { helpers: 8 }, 24));
}

#[test]
fn replicas_are_pieces_of_an_object_of_one() {
    let aim = Aim::lazy(1, 3, 3);
    let two = holders(2, Standing::Present);
    let tally = Tally::of(&two, 0);
    let rank = Rank { reachable: 1, counted: 1 };
    let Decision::Act(repair) = decide(&aim, &tally, rank, 1) else { panic!() };
    assert_eq!(repair.bytes(1), 1);
}

#[test]
fn a_crowded_group_counts_no_more_than_it_may() {
    let mut all = holders(75, Standing::Present);
    all.iter_mut().take(8).for_each(|held| held.groups = [7, 0]);
    all.iter_mut().skip(8).take(4).for_each(|held| held.groups = [0, 9]);
    all.push(whole(Standing::Present));
    let tally = Tally::of(&all, 5);
    assert_eq!((tally.coded, tally.crowded, tally.wholes), (72, 3, 1));
    let Decision::Act(repair) = decided(&aim(), &all, FULL) else { panic!() };
    assert_eq!((repair.way, repair.pieces), (Way::FromWhole, 3));
    // Once they are placed elsewhere, and space is short, the crowd goes first.
    let tight = Aim { ceiling: 100, ..aim() };
    assert_eq!(surplus(&tight, &all, &tally), Some(7));
}

#[test]
fn who_is_here_lets_go_before_who_is_away() {
    let tight = Aim { ceiling: 140, ..aim() };
    let mut all = vec![whole(Standing::Present)];
    all.extend(holders(80, Standing::Present));
    all.iter_mut().skip(60).for_each(|held| held.standing = AWAY);
    assert_eq!(surplus(&tight, &all, &Tally::of(&all, 5)), Some(59));
    all.iter_mut().for_each(|held| held.standing = AWAY);
    assert_eq!(surplus(&tight, &all, &Tally::of(&all, 5)), Some(80));
}

#[test]
fn a_second_whole_copy_goes_before_pieces_do() {
    let mut all = vec![whole(Standing::Present), whole(Standing::Present)];
    all.extend(holders(75, Standing::Present));
    let tally = Tally::of(&all, 5);
    assert_eq!(surplus(&aim(), &all, &tally), Some(1));
    // The one that may be gone goes first, whatever its place.
    all[0].standing = AWAY;
    assert_eq!(surplus(&aim(), &all, &tally), Some(0));
    all[0].standing = Standing::Present;
    all[1] = Held { pieces: 1, whole: false, ..all[1] };
    assert_eq!(surplus(&aim(), &all, &Tally::of(&all, 5)), None);
}

fn standing() -> impl Strategy<Value = Standing> {
    prop_oneof![
        4 => Just(Standing::Present),
        3 => (0.5f64..1.0).prop_map(|returns| Standing::Absent { returns }),
        2 => Just(Standing::Lost),
    ]
}

fn held() -> impl Strategy<Value = Held> {
    (1u16..4, prop::bool::weighted(0.02), standing(), [0u64..6, 0u64..4]).prop_map(
        |(pieces, whole, standing, groups)| Held {
            pieces: if whole { 0 } else { pieces },
            whole,
            standing,
            groups,
        },
    )
}

prop_compose! {
    fn aims()(
        k in 1u16..65,
        wholes in 0u8..3,
        above in 0u16..40,
        batch in 0u16..60,
        patience in 0u16..20,
        group_most in 0u16..20,
    ) -> Aim {
        let floor = k + above;
        Aim {
            k, wholes, floor, fill: floor + batch, urgent: floor.saturating_sub(patience).max(k),
            ceiling: k * 5 / 2 + floor, group_most,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn what_is_decided_is_possible_and_costs_what_it_says(
        aim in aims(),
        holders in prop::collection::vec(held(), 0..120),
        reachable in 0u16..70,
        more in 0u16..20,
        own in 0u16..70,
    ) {
        let rank = Rank { reachable, counted: reachable + more };
        let tally = Tally::of(&holders, aim.group_most);
        match decide(&aim, &tally, rank, own) {
            Decision::Rest(Rest::Healthy) => prop_assert!(tally.coded >= aim.floor),
            Decision::Rest(Rest::Stranded) => prop_assert!(rank.counted < aim.k),
            Decision::Rest(Rest::WholeAway) => {
                prop_assert!(tally.wholes > 0 && tally.wholes_here == 0);
                prop_assert!(tally.coded >= aim.urgent);
            }
            Decision::Act(repair) => {
                prop_assert!(rank.counted >= aim.k);
                prop_assert!(tally.coded <= aim.floor);
                prop_assert!(tally.coded + repair.pieces >= aim.fill);
                let cost = repair.bytes(1);
                let missing = u64::from(repair.pieces);
                match repair.way {
                    Way::FromWhole => {
                        prop_assert!(tally.wholes_here > 0);
                        prop_assert_eq!(cost, missing);
                    }
                    Way::Recode { helpers } => {
                        prop_assert!(rank.reachable >= aim.k);
                        prop_assert!(helpers >= recode_helpers(aim.k));
                        prop_assert_eq!(cost, missing * u64::from(helpers));
                        prop_assert!(cost < missing + u64::from(aim.k.saturating_sub(own)));
                    }
                    Way::Decode { keeps_whole } => {
                        prop_assert_eq!(cost, missing + u64::from(aim.k.saturating_sub(own)));
                        // Never beside a whole copy that is rather coming back.
                        let lacks = tally.wholes < aim.wholes || tally.whole_returns < 0.5;
                        prop_assert_eq!(keeps_whole, aim.wholes > 0 && lacks);
                    }
                }
            }
        }
    }

    #[test]
    fn a_group_never_counts_more_than_it_may(
        holders in prop::collection::vec(held(), 0..120),
        group_most in 1u16..10,
    ) {
        let tally = Tally::of(&holders, group_most);
        let pieces = |group: u64, nth: usize| -> u32 {
            let of = |held: &&Held| held.standing.counts() && held.groups[nth] == group;
            holders.iter().filter(of).map(|held| u32::from(held.pieces)).sum()
        };
        let free: u32 = holders.iter()
            .filter(|held| held.standing.counts() && held.groups == [0, 0])
            .map(|held| u32::from(held.pieces))
            .sum();
        let groups = (1..6).filter(|g| pieces(*g, 0) > 0).count()
            + (1..4).filter(|g| pieces(*g, 1) > 0).count();
        let most = free + groups as u32 * u32::from(group_most);
        prop_assert!(u32::from(tally.coded) <= most, "{:?} above {}", tally, most);
        let all = Tally::of(&holders, 0);
        prop_assert_eq!(tally.coded + tally.crowded, all.coded);
    }

    #[test]
    fn letting_go_ends_at_the_ceiling_and_never_below_the_floor(
        aim in aims(),
        mut holders in prop::collection::vec(held(), 0..120),
    ) {
        let before = Tally::of(&holders, aim.group_most);
        let mut steps = 0;
        while let Some(at) = surplus(&aim, &holders, &Tally::of(&holders, aim.group_most)) {
            prop_assert!(holders[at].standing.counts());
            if holders[at].whole {
                holders[at] = Held { pieces: 1, whole: false, groups: [0, 0], ..holders[at] };
            } else {
                holders.remove(at);
            }
            steps += 1;
            prop_assert!(steps < 400);
        }
        let after = Tally::of(&holders, aim.group_most);
        prop_assert!(after.wholes_here >= before.wholes_here.min(aim.wholes));
        prop_assert!(after.wholes >= before.wholes.min(aim.wholes));
        let least = before.coded.min(aim.floor);
        prop_assert!(after.coded >= least, "{:?} {:?} {:?}", aim, before, after);
    }
}
