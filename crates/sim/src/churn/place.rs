//! Who gets a piece, who lets go of what, and what crosses a link for it.

use craftec_obj::heal::policy::{Held, Tally, surplus};

use super::{dice::mix, figures::Cause, node::NodeId, plan::Scheme, world::World};

/// Attempts to find a candidate that may be asked.
const TRIES: u32 = 64;
/// Parts that are let go in one look, at most.
const RELEASED: usize = 32;
/// Hole punches that succeed between two nodes that nobody can dial (arXiv 2510.27500).
const PUNCHED: u64 = 70;

impl World<'_> {
    pub(super) fn disperse(&mut self, index: u32, source: NodeId, pieces: u16) {
        for _ in 0..pieces {
            let Some(target) = self.new_holder(index) else { return };
            let (paid, rest) = self.objects[index as usize].pay(1);
            self.charge(index, source, target, paid, rest);
            self.give(index, target, false);
        }
    }

    pub(super) fn done(&mut self, index: u32) {
        let scheme = usize::from(self.objects[index as usize].scheme);
        let measures = u64::from(self.measures());
        self.kept[scheme].figures.repairs += measures;
        let holders = self.objects[index as usize].pieces.len() as u64;
        self.note(index, holders);
    }

    /// Whether the budget of `node` has room; if not, the object is looked at later.
    pub(super) fn may_spend(&mut self, index: u32, node: NodeId, pieces: u64) -> bool {
        let k = self.kept[usize::from(self.objects[index as usize].scheme)].aim.k;
        // Budgets are in pieces of the main scheme's size.
        let pieces = pieces * u64::from(self.config.k) / u64::from(k);
        let spent = self.nodes[node.at()].budget.spend(pieces, self.now_ms).is_ok();
        if !spent {
            self.await_look(index);
        }
        spent
    }

    /// Someone here who has nothing of the object yet and whose operator hasn't too much of it.
    pub(super) fn new_holder(&mut self, index: u32) -> Option<NodeId> {
        let (mut best, mut found): (Option<(NodeId, f64)>, u32) = (None, 0);
        for _ in 0..TRIES {
            if found >= self.config.choices || self.here.is_empty() {
                break;
            }
            let candidate = self.here[self.dice.below(self.here.len())];
            if !self.may_hold(index, candidate) {
                continue;
            }
            found += 1;
            let merit = self.nodes[candidate.at()].history.merit(self.now_ms);
            if best.is_none_or(|(_, most)| merit > most) {
                best = Some((candidate, merit));
            }
        }
        best.map(|(node, _)| node)
    }

    fn may_hold(&self, index: u32, candidate: NodeId) -> bool {
        let object = &self.objects[index as usize];
        if object.is_of(candidate) {
            return false;
        }
        let most = self.kept[usize::from(object.scheme)].aim.group_most;
        if most == 0 || !self.views[candidate.at()].operated {
            return true;
        }
        let all = object.pieces.iter().chain(&object.wholes);
        all.filter(|id| self.views[id.at()].operated).count() < usize::from(most)
    }

    /// Holders of too much let go of it.
    pub(super) fn release(&mut self, index: u32) {
        for _ in 0..RELEASED {
            let object = &mut self.objects[index as usize];
            let aim = &self.kept[usize::from(object.scheme)].aim;
            let most = object.coded() + object.wholes.len() as u16 * aim.k;
            if most <= aim.ceiling {
                return;
            }
            let merit = |node: &NodeId| self.nodes[node.at()].history.merit(self.now_ms);
            object.wholes.sort_by(|a, b| merit(b).total_cmp(&merit(a)));
            let mut held: Vec<Held> = std::mem::take(&mut self.held);
            let object = &self.objects[index as usize];
            object.seen(&self.views, |node| self.returns(node), &mut held);
            let gone = surplus(aim, &held, &Tally::of(&held, aim.group_most));
            self.held = held;
            let Some(at) = gone else { return };
            let object = &self.objects[index as usize];
            let pieces = object.pieces.len();
            let id = if at < pieces { object.pieces[at] } else { object.wholes[at - pieces] };
            // Who is away can't free its disk; it asks when it is back.
            if !self.views[id.at()].here {
                return;
            }
            self.let_go(index, at);
        }
    }

    /// A whole copy shrinks to a piece; a piece goes. Pieces come first in what was seen.
    fn let_go(&mut self, index: u32, at: usize) {
        self.weigh(index);
        let object = &mut self.objects[index as usize];
        let pieces = object.pieces.len();
        let id = if at < pieces { object.pieces[at] } else { object.wholes[at - pieces] };
        let (node, view) = (&mut self.nodes[id.at()], self.views[id.at()]);
        let there = u16::from(node.alive && !node.liar);
        if at >= pieces {
            object.wholes.swap_remove(at - pieces);
            object.pieces.push(id);
            if view.counted {
                object.counts(view);
            }
            object.alive_wholes = object.alive_wholes.saturating_sub(there);
            object.alive_coded += there;
            node.drop_whole(index);
            node.pieces.push(index);
            return;
        }
        object.pieces.swap_remove(at);
        if view.counted {
            object.counts_not(view);
        }
        object.alive_coded = object.alive_coded.saturating_sub(there);
        node.drop_piece(index);
    }

    /// Counts a piece that was written, for what it was missing.
    pub(super) fn charge(
        &mut self,
        index: u32,
        from: NodeId,
        to: NodeId,
        paid: [u16; 3],
        rest: u16,
    ) {
        let scheme = usize::from(self.objects[index as usize].scheme);
        let mut pieces = 1.0;
        if self.kept[scheme].scheme == Scheme::Msr {
            // Helpers: all others that count.
            let k = f64::from(self.kept[scheme].aim.k);
            let helpers = self.objects[index as usize].pieces.len() as f64;
            pieces = helpers / (helpers - k + 1.0).max(1.0);
        }
        let cause = match (paid, rest) {
            ([1, _, _], _) => Cause::Lied,
            ([_, 1, _], _) => Cause::Departed,
            ([_, _, 1], _) => Cause::Absent,
            _ => Cause::Other,
        };
        self.count(index, cause, pieces, from, to);
    }

    pub(super) fn count(
        &mut self,
        index: u32,
        cause: Cause,
        pieces: f64,
        from: NodeId,
        to: NodeId,
    ) {
        if !self.measures() {
            return;
        }
        let kept = &mut self.kept[usize::from(self.objects[index as usize].scheme)];
        let size = pieces / f64::from(kept.aim.k);
        kept.figures.traffic[cause as usize] += size;
        let dialable = self.nodes[from.at()].dialable || self.nodes[to.at()].dialable;
        let pair = mix(u64::from(from.0.min(to.0)) << 32 | u64::from(from.0.max(to.0)));
        if !dialable && pair % 100 >= PUNCHED {
            kept.figures.relayed += size;
        }
    }
}
