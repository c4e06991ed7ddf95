//! Whose turn it is to look after an object: in each slot of time, the holders of its placement
//! record come in another order; the first acts, and each next one only after it has waited a step
//! longer and seen nothing done. So one does it, and others take over if it doesn't.
//!
//! The order is over the record's holders, never over anyone's view of who is alive: all who have
//! the record agree on it without a word.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A slot of time, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot(pub u64);

impl Slot {
    /// The slot of an object at a moment. Objects change slots at moments of their own, so that a
    /// holder of many doesn't scan all of them at once.
    #[inline]
    pub fn at(root: &[u8], now_ms: u64, slot_ms: u64) -> Self {
        Self((now_ms + phase_ms(root, slot_ms)) / slot_ms.max(1))
    }

    /// When it begins (0 for slots before the first).
    #[inline]
    pub fn begins_ms(self, root: &[u8], slot_ms: u64) -> u64 {
        (self.0 * slot_ms.max(1)).saturating_sub(phase_ms(root, slot_ms))
    }

    /// The next one.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// What the order of holders in one slot is made from.
#[derive(Clone, Copy, Debug)]
pub struct Order(u64);

impl Order {
    /// Of an object in a slot.
    #[inline]
    pub fn of(root: &[u8], slot: Slot) -> Self {
        Self(xxh3_64_with_seed(root, slot.0))
    }

    /// A holder with less comes first; of equal ones the one whose name is less.
    ///
    /// Not secret, and needn't be: who takes a turn and does nothing wins a step's delay.
    #[inline]
    pub fn weight(self, holder: &[u8]) -> u64 {
        xxh3_64_with_seed(holder, self.0)
    }
}

/// The holders' order in a slot, as indices into `holders`: the first one's turn comes first.
pub fn order<K: AsRef<[u8]>>(root: &[u8], slot: Slot, holders: &[K]) -> Vec<usize> {
    let of = Order::of(root, slot);
    let weight = |holder: &K| of.weight(holder.as_ref());
    let mut order: Vec<(u64, usize)> = holders.iter().map(weight).zip(0..).collect();
    order.sort_unstable_by(|(a, i), (b, j)| {
        a.cmp(b).then_with(|| holders[*i].as_ref().cmp(holders[*j].as_ref()))
    });
    order.into_iter().map(|(_, index)| index).collect()
}

/// How long after the slot's begin the holder at `place` of the order acts, if it has seen nobody
/// act until then. The slot is divided among all holders: even the last one's turn is within it.
pub fn delay_ms(place: usize, holders: usize, slot_ms: u64) -> u64 {
    slot_ms / holders.max(1) as u64 * place as u64
}

/// How long after the slot's begin a holder acts that does not know who the others are: a time of its
/// own, anywhere in the slot. Of n holders the first acts after about the n-th part of a slot.
pub fn own_delay_ms(root: &[u8], slot: Slot, holder: &[u8], slot_ms: u64) -> u64 {
    let weight = Order::of(root, slot).weight(holder);
    ((u128::from(weight) * u128::from(slot_ms)) >> 64) as u64
}

#[inline]
fn phase_ms(root: &[u8], slot_ms: u64) -> u64 {
    xxh3_64_with_seed(root, 0) % slot_ms.max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SLOT_MS: u64 = 3_600_000;

    fn holders(n: u8) -> Vec<[u8; 4]> {
        (0..n).map(|i| [i, 1, 2, 3]).collect()
    }

    #[test]
    fn each_holder_has_one_place_and_all_agree() {
        let holders = holders(40);
        let backwards: Vec<_> = holders.iter().rev().collect();
        for slot in (0..20).map(Slot) {
            let ours = order(b"root", slot, &holders);
            let theirs = order(b"root", slot, &backwards);
            assert!(ours.iter().zip(&theirs).all(|(a, b)| holders[*a] == *backwards[*b]));
            let mut places = ours;
            places.sort_unstable();
            assert_eq!(places, (0..40).collect::<Vec<_>>());
        }
        assert!(order::<[u8; 4]>(b"root", Slot(0), &[]).is_empty());
    }

    #[test]
    fn turns_go_round() {
        let holders = holders(10);
        let mut firsts = [0; 10];
        for slot in (0..2000).map(Slot) {
            firsts[order(b"x", slot, &holders)[0]] += 1;
        }
        assert!(firsts.iter().all(|n| (140..260).contains(n)), "{firsts:?}");
    }

    proptest! {
        /// Each holder works out its own delay and acts when it has passed, unless it saw another act.
        #[test]
        fn whoever_is_here_one_acts_and_within_the_slot(
            here in prop::collection::vec(any::<bool>(), 1..160),
            slot in any::<u32>(),
        ) {
            let holders = holders(u8::try_from(here.len()).unwrap());
            let order = order(b"root", Slot(slot.into()), &holders);
            let place = |holder: usize| order.iter().position(|at| *at == holder).unwrap();
            let delay = |holder: &usize| delay_ms(place(*holder), holders.len(), SLOT_MS);
            let mut present: Vec<usize> = (0..here.len()).filter(|at| here[*at]).collect();
            let acts = present.iter().copied().min_by_key(delay);
            prop_assert_eq!(acts, order.iter().copied().find(|at| here[*at]));
            if let Some(first) = acts {
                prop_assert!(delay(&first) < SLOT_MS);
                prop_assert_eq!(present.iter().filter(|at| delay(at) == delay(&first)).count(), 1);
                // It fails: exactly one other takes over, later in the same slot.
                present.retain(|at| *at != first);
                let next = present.iter().min_by_key(|at| delay(at));
                prop_assert!(next.is_none_or(|at| (delay(&first)..SLOT_MS).contains(&delay(at))));
            }
        }
    }

    #[test]
    fn delays_lie_within_the_slot_a_step_apart() {
        for n in [1, 3, 64, 160] {
            let delays: Vec<u64> = (0..n).map(|place| delay_ms(place, n, SLOT_MS)).collect();
            assert_eq!(delays[0], 0);
            assert!(delays.windows(2).all(|two| two[0] + SLOT_MS / n as u64 == two[1]));
            assert!(delays[n - 1] < SLOT_MS);
        }
        assert_eq!(delay_ms(0, 0, SLOT_MS), 0);
    }

    #[test]
    fn slots_begin_where_they_are_said_to() {
        for now in [SLOT_MS * 5, SLOT_MS * 5 + 17, SLOT_MS * 9 - 1] {
            let slot = Slot::at(b"root", now, SLOT_MS);
            let (begin, end) =
                (slot.begins_ms(b"root", SLOT_MS), slot.next().begins_ms(b"root", SLOT_MS));
            assert!((begin..end).contains(&now) && end - begin == SLOT_MS);
            assert_eq!(Slot::at(b"root", end, SLOT_MS), slot.next());
        }
        assert_eq!(Slot::at(b"root", 5, 0).begins_ms(b"root", 0), 5);
    }
}
