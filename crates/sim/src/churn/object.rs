//! One simulated object: who holds what of it, in truth; and how the policy is shown it.

use craftec_obj::heal::{
    aim::Aim,
    history::Standing,
    policy::{Held, Rank, Tally},
};

use super::node::NodeId;

/// What all holders know of one node, close together in memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    pub(super) here: bool,
    /// Not given up: for its pieces, for its whole copies.
    pub(super) counted: bool,
    pub(super) trusted: bool,
    pub(super) group: u64,
}

impl View {
    /// For a holder of pieces the probability of return has had its effect when it was given up.
    pub(super) fn standing(self, whole: bool) -> Standing {
        match (self.here, if whole { self.trusted } else { self.counted }) {
            (true, _) => Standing::Present,
            (false, true) => Standing::Absent { returns: 0.5 },
            (false, false) => Standing::Lost,
        }
    }
}

/// A holder's part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) node: NodeId,
    pub(super) whole: bool,
}

/// A decoding under way: its reader collects pieces as their holders show up.
#[derive(Clone, Debug)]
pub(super) struct Decoding {
    pub(super) by: NodeId,
    /// Of the reader: another may have come to its index.
    pub(super) life: u32,
    pub(super) from: Vec<NodeId>,
    pub(super) keeps_whole: bool,
    pub(super) began_ms: u64,
}

/// Pieces to be made anew by why they are missing.
pub(super) type Debts = [u16; 3];

#[derive(Clone, Debug, Default)]
pub(super) struct Object {
    /// Index into the world's schemes.
    pub(super) scheme: usize,
    pub(super) slots: Vec<Slot>,
    /// In truth: pieces and whole copies on disks of nodes that neither departed nor lied.
    pub(super) alive_coded: u16,
    pub(super) alive_wholes: u16,
    pub(super) decoding: Option<Box<Decoding>>,
    /// Pieces that the reader of a decoding has, of holders that departed since.
    pub(super) saved: u16,
    /// A look or a turn is due.
    pub(super) awaited: bool,
    pub(super) debts: Debts,
    pub(super) born_ms: u64,
    /// Counts its lives at this index.
    pub(super) life: u32,
}

impl Object {
    pub(super) fn root(index: u32) -> [u8; 4] {
        index.to_le_bytes()
    }

    pub(super) fn slot(&self, node: NodeId) -> Option<usize> {
        self.slots.iter().position(|slot| slot.node == node)
    }

    /// Nothing that decodes is left anywhere.
    pub(super) fn is_lost(&self, k: u16) -> bool {
        self.alive_wholes == 0 && self.alive_coded + self.saved < k
    }

    /// As its holders see it: liars are believed, the departed are absent until they are given up.
    pub(super) fn seen(
        &self,
        views: &[View],
        returns: impl Fn(NodeId) -> f64,
        held: &mut Vec<Held>,
    ) {
        held.clear();
        held.extend(self.slots.iter().map(|slot| {
            let view = views[slot.node.at()];
            let mut standing = view.standing(slot.whole);
            // Of pieces the policy reads no more than that they count.
            if let (true, Standing::Absent { returns: of }) = (slot.whole, &mut standing) {
                *of = returns(slot.node);
            }
            let pieces = u16::from(!slot.whole);
            Held { pieces, whole: slot.whole, standing, groups: [view.group, 0] }
        }));
    }

    /// The rank of what is here and of what counts.
    ///
    /// Assumed, not computed: any k pieces are independent. That is measured for recoding from the
    /// policy's number of helpers (99.99% and better over 100 turnovers), and exact but for 2^-8 per
    /// missing piece for pieces made by a whole copy or a decoding.
    pub(super) fn rank(&self, aim: &Aim, held: &[Held], tally: &Tally) -> Rank {
        let pieces_here = held.iter().filter(|held| held.standing == Standing::Present);
        let here: u16 = pieces_here.map(|held| held.pieces).sum();
        let reachable = if tally.wholes_here > 0 { aim.k } else { here.min(aim.k) };
        let coded = (tally.coded + tally.crowded).min(aim.k);
        let counted = if tally.wholes > 0 { aim.k } else { coded };
        Rank { reachable, counted }
    }

    /// Takes `pieces` off the debts, in their order; how many of each, and the rest.
    pub(super) fn pay(&mut self, pieces: u16) -> ([u16; 3], u16) {
        let (mut paid, mut left) = ([0; 3], pieces);
        for (debt, paid) in self.debts.iter_mut().zip(&mut paid) {
            *paid = left.min(*debt);
            *debt -= *paid;
            left -= *paid;
        }
        (paid, left)
    }
}
