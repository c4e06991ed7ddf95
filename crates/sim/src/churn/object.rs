//! One simulated object: who holds what of it, in truth and as its holders see it; and how the policy
//! is shown it. What changes seldom is counted when it changes, so that a look costs nothing.

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
    /// One of the visible operator's.
    pub(super) operated: bool,
}

impl View {
    /// For a holder of pieces the probability of return has had its effect when it was given up.
    fn standing(self, whole: bool) -> Standing {
        match (self.here, if whole { self.trusted } else { self.counted }) {
            (true, _) => Standing::Present,
            (false, true) => Standing::Absent { returns: 0.5 },
            (false, false) => Standing::Lost,
        }
    }
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
    /// In truth: pieces and whole copies on disks of nodes that neither departed nor lied.
    pub(super) alive_coded: u16,
    pub(super) alive_wholes: u16,
    /// Pieces at holders that count: of no operator, and of the operator.
    counted: [u16; 2],
    /// Pieces that the reader of a decoding has, of holders that departed since.
    pub(super) saved: u16,
    pub(super) debts: Debts,
    /// A look or a turn is due.
    pub(super) awaited: bool,
    /// Index into the world's schemes.
    pub(super) scheme: u8,
    pub(super) decoding: Option<Box<Decoding>>,
    /// Holders of pieces, and of whole copies, in no order. Those that departed are among them until
    /// they are given up.
    pub(super) pieces: Vec<NodeId>,
    pub(super) wholes: Vec<NodeId>,
    /// Until when what is stored was accounted for.
    pub(super) weighed_ms: u64,
    pub(super) born_ms: u64,
}

impl Object {
    /// Of this scheme, with nothing of it anywhere yet.
    pub(super) fn new(scheme: usize, now_ms: u64) -> Self {
        let scheme = scheme as u8;
        Self { scheme, born_ms: now_ms, weighed_ms: now_ms, ..Self::default() }
    }

    pub(super) fn root(index: u32) -> [u8; 4] {
        index.to_le_bytes()
    }

    pub(super) fn is_of(&self, node: NodeId) -> bool {
        self.pieces.contains(&node) || self.wholes.contains(&node)
    }

    /// Nothing that decodes is left anywhere.
    pub(super) fn is_lost(&self, k: u16) -> bool {
        self.alive_wholes == 0 && self.alive_coded + self.saved < k
    }

    /// Pieces on disks, a whole copy counted as k, what a reader has read until now included.
    pub(super) fn stored(&self, k: u16) -> u32 {
        let reading = self.decoding.as_ref().map_or(0, |decoding| decoding.from.len());
        u32::from(self.alive_coded) + u32::from(self.alive_wholes) * u32::from(k) + reading as u32
    }

    /// A holder of a piece counts from now on.
    pub(super) fn counts(&mut self, view: View) {
        self.counted[usize::from(view.operated)] += 1;
    }

    /// A holder of a piece counts no longer.
    pub(super) fn counts_not(&mut self, view: View) {
        let counted = &mut self.counted[usize::from(view.operated)];
        debug_assert!(*counted > 0, "a piece that did not count is counted out");
        *counted = counted.saturating_sub(1);
    }

    /// Pieces that count.
    pub(super) fn coded(&self) -> u16 {
        self.counted[0] + self.counted[1]
    }

    /// Takes a holder of a piece out.
    pub(super) fn drop_piece(&mut self, node: NodeId) -> bool {
        let at = self.pieces.iter().position(|held| *held == node);
        at.map(|at| self.pieces.swap_remove(at)).is_some()
    }

    /// Takes a holder of a whole copy out.
    pub(super) fn drop_whole(&mut self, node: NodeId) -> bool {
        let at = self.wholes.iter().position(|held| *held == node);
        at.map(|at| self.wholes.swap_remove(at)).is_some()
    }

    /// What [`Tally::of`] says of [`Object::seen`], from what was counted.
    pub(super) fn tally(
        &self,
        group_most: u16,
        views: &[View],
        returns: impl Fn(NodeId) -> f64,
    ) -> Tally {
        let most = if group_most > 0 { group_most } else { u16::MAX };
        let room = self.counted[1].min(most);
        let coded = self.counted[0] + room;
        let mut tally = Tally { coded, crowded: self.counted[1] - room, ..Tally::default() };
        for whole in &self.wholes {
            let standing = match views[whole.at()].standing(true) {
                Standing::Absent { .. } => Standing::Absent { returns: returns(*whole) },
                other => other,
            };
            let here = standing == Standing::Present;
            tally.wholes += u8::from(standing.counts());
            tally.wholes_here += u8::from(here);
            tally.whole_returns = tally.whole_returns.max(standing.returns());
        }
        tally
    }

    /// As its holders see it, pieces first: liars are believed, the departed are absent until they
    /// are given up.
    pub(super) fn seen(
        &self,
        views: &[View],
        returns: impl Fn(NodeId) -> f64,
        held: &mut Vec<Held>,
    ) {
        let groups = |view: View| [u64::from(view.operated), 0];
        held.clear();
        held.extend(self.pieces.iter().map(|node| {
            let view = views[node.at()];
            Held { pieces: 1, whole: false, standing: view.standing(false), groups: groups(view) }
        }));
        held.extend(self.wholes.iter().map(|node| {
            let view = views[node.at()];
            let standing = match view.standing(true) {
                Standing::Absent { .. } => Standing::Absent { returns: returns(*node) },
                other => other,
            };
            Held { pieces: 0, whole: true, standing, groups: groups(view) }
        }));
    }

    /// The rank of what is here and of what counts, as if `here` pieces were here.
    ///
    /// Assumed, not computed: any k pieces are independent. For the code that the node uses this is
    /// certain while each piece has a number of its own; the test `object_life` decodes real bytes.
    pub(super) fn rank(&self, aim: &Aim, tally: &Tally, here: u16) -> Rank {
        let reachable = if tally.wholes_here > 0 { aim.k } else { here.min(aim.k) };
        let counted = if tally.wholes > 0 { aim.k } else { self.coded().min(aim.k) };
        Rank { reachable, counted }
    }

    /// Pieces that are here.
    pub(super) fn pieces_here(&self, views: &[View]) -> u16 {
        self.pieces.iter().map(|node| u16::from(views[node.at()].here)).sum()
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
