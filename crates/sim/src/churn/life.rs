//! The lives of nodes: they leave, come back, depart for good, are given up, are caught.

use super::{
    config::{DAY_MS, HOUR_MS, MONTH_MS},
    figures::Cause,
    node::{Node, NodeId, Shell},
    world::{Happens, World},
};

impl World<'_> {
    pub(super) fn toggle(&mut self, id: NodeId) {
        if self.views[id.at()].here {
            let gap_ms = self.nodes[id.at()].gap_ms(self.config, self.now_ms, &mut self.dice);
            self.leave(id, Some(gap_ms));
        } else {
            self.come_back(id);
        }
    }

    /// A node leaves, for `gap_ms` or for good.
    fn leave(&mut self, id: NodeId, gap_ms: Option<u64>) {
        let now_ms = self.now_ms;
        self.unlist(id);
        let node = &mut self.nodes[id.at()];
        node.turn += 1;
        node.left_ms = now_ms;
        node.history.left(now_ms);
        let turn = node.turn;
        let back_ms = gap_ms.map_or(u64::MAX, |gap_ms| now_ms + gap_ms);
        self.plan_giving_up(id, back_ms);
        if gap_ms.is_some() {
            self.at(back_ms, Happens::Toggle(id, turn));
        }
    }

    /// Others will wait for a node that is away, though not for ever. What they would do after it is
    /// back need not be planned.
    fn plan_giving_up(&mut self, id: NodeId, back_ms: u64) {
        let node = &self.nodes[id.at()];
        let (kind, config) = (&self.kinds[node.shell as usize], self.config);
        let given_up = |below| node.history.given_up_ms(kind, below).unwrap_or(u64::MAX);
        let (turn, view) = (node.turn, self.views[id.at()]);
        let piece_ms = given_up(config.returns_below);
        if piece_ms >= back_ms {
            return;
        }
        let whole_ms = given_up(config.whole_returns_below);
        if view.counted {
            self.at(piece_ms, Happens::GiveUp(id, turn));
        }
        if view.trusted && whole_ms < back_ms {
            self.at(whole_ms, Happens::GiveUpWhole(id, turn));
        }
    }

    fn come_back(&mut self, id: NodeId) {
        let now_ms = self.now_ms;
        self.list(id);
        let node = &mut self.nodes[id.at()];
        node.turn += 1;
        let (turn, shell) = (node.turn, node.shell as usize);
        if let Some(gap_ms) = node.history.arrived(now_ms) {
            self.kinds[shell].returned(gap_ms);
        }
        let session_ms = node.session_ms(self.config, &mut self.dice);
        self.at(now_ms + session_ms, Happens::Toggle(id, turn));
        self.views[id.at()].trusted = true;
        if !std::mem::replace(&mut self.views[id.at()].counted, true) {
            self.counted[shell] += 1;
            self.kinds[shell].came_back();
            let (view, pieces) = (self.views[id.at()], self.pieces_of(id));
            for index in &pieces {
                let object = &mut self.objects[*index as usize];
                object.counts(view);
                let debt = &mut object.debts[Cause::Absent as usize];
                *debt = debt.saturating_sub(1);
            }
            self.nodes[id.at()].pieces = pieces;
            self.asks(id, false);
        }
        self.asks(id, true);
    }

    /// Who is back asks at once whether what it has is still needed: of what was made in its place it
    /// could not know.
    fn asks(&mut self, id: NodeId, wholes: bool) {
        let node = &self.nodes[id.at()];
        let mut had = std::mem::take(&mut self.asked);
        had.extend(if wholes { &node.wholes } else { &node.pieces });
        for index in had.drain(..) {
            self.release(index);
            self.changed(index);
        }
        self.asked = had;
    }

    /// Takes the list of a node's pieces out, to walk over it; the caller puts it back.
    fn pieces_of(&mut self, id: NodeId) -> Vec<u32> {
        std::mem::take(&mut self.nodes[id.at()].pieces)
    }

    /// A node departs for good, and a stranger takes its place.
    pub(super) fn depart(&mut self, id: NodeId) {
        if self.views[id.at()].here {
            self.leave(id, None);
        } else {
            self.nodes[id.at()].turn += 1;
            self.plan_giving_up(id, u64::MAX);
        }
        let node = &mut self.nodes[id.at()];
        node.alive = false;
        node.departed_ms = self.now_ms;
        if !node.liar {
            // Who loses an object for good by this is no longer its holder.
            let mut pieces = self.pieces_of(id);
            pieces.retain(|index| !self.vanish(*index, id, false));
            self.nodes[id.at()].pieces = pieces;
            let mut wholes = std::mem::take(&mut self.nodes[id.at()].wholes);
            wholes.retain(|index| !self.vanish(*index, id, true));
            self.nodes[id.at()].wholes = wholes;
        }
        if !self.views[id.at()].counted {
            self.forget_pieces(id, Cause::Departed);
        }
        if !self.views[id.at()].trusted {
            self.forget_wholes(id, Cause::Departed);
            self.release_index(id);
        }
        self.spawn();
    }

    /// What a node had is gone, though nobody knows; whether the object is.
    fn vanish(&mut self, index: u32, id: NodeId, whole: bool) -> bool {
        self.weigh(index);
        let object = &mut self.objects[index as usize];
        if whole {
            object.alive_wholes = object.alive_wholes.saturating_sub(1);
        } else {
            object.alive_coded = object.alive_coded.saturating_sub(1);
            let read = object.decoding.as_ref().is_some_and(|reading| reading.from.contains(&id));
            object.saved += u16::from(read);
        }
        let lost = object.is_lost(self.kept[usize::from(object.scheme)].aim.k);
        if lost {
            self.lose(index);
        }
        lost
    }

    /// A holder of pieces was waited for long enough.
    pub(super) fn give_up(&mut self, id: NodeId) {
        let view = self.views[id.at()];
        let (now_ms, measures) = (self.now_ms, self.measures());
        let node = &self.nodes[id.at()];
        let (shell, alive) = (node.shell as usize, node.alive);
        self.counted[shell] -= 1;
        self.kinds[shell].gave_up(now_ms - node.left_ms);
        if !alive {
            if measures {
                self.delays.push(((now_ms - node.departed_ms) / HOUR_MS) as u32);
            }
            self.forget_pieces(id, Cause::Departed);
            self.views[id.at()].counted = false;
            return;
        }
        self.views[id.at()].counted = false;
        self.false_alarms += u64::from(measures);
        let pieces = self.pieces_of(id);
        for index in &pieces {
            let object = &mut self.objects[*index as usize];
            object.counts_not(view);
            object.debts[Cause::Absent as usize] += 1;
            self.changed(*index);
        }
        self.nodes[id.at()].pieces = pieces;
    }

    /// The same for whole copies, for which more patience pays.
    pub(super) fn give_up_whole(&mut self, id: NodeId) {
        self.views[id.at()].trusted = false;
        let node = &self.nodes[id.at()];
        self.kinds[node.shell as usize].gave_up_whole(self.now_ms - node.left_ms);
        if node.alive {
            let wholes = std::mem::take(&mut self.nodes[id.at()].wholes);
            wholes.iter().for_each(|index| self.changed(*index));
            self.nodes[id.at()].wholes = wholes;
        } else {
            // Also what it has been told to keep of a whole copy since its pieces were given up.
            self.forget_pieces(id, Cause::Departed);
            self.forget_wholes(id, Cause::Departed);
            self.release_index(id);
        }
    }

    /// A stranger may have this index, now that no object names it.
    fn release_index(&mut self, id: NodeId) {
        let node = &self.nodes[id.at()];
        assert!(node.pieces.is_empty() && node.wholes.is_empty(), "{id:?} is still named");
        self.free.push(id);
    }

    /// Takes a node out of the objects of which it has pieces; what it had is owed.
    fn forget_pieces(&mut self, id: NodeId, cause: Cause) {
        let view = self.views[id.at()];
        for index in self.pieces_of(id) {
            let object = &mut self.objects[index as usize];
            if object.drop_piece(id) {
                if view.counted {
                    object.counts_not(view);
                }
                object.debts[cause as usize] += 1;
                self.changed(index);
            }
        }
    }

    /// The same for whole copies.
    fn forget_wholes(&mut self, id: NodeId, cause: Cause) {
        for index in std::mem::take(&mut self.nodes[id.at()].wholes) {
            let object = &mut self.objects[index as usize];
            if object.drop_whole(id) {
                object.debts[cause as usize] += 1;
                self.changed(index);
            }
        }
    }

    /// A liar was caught: it is shut out, and comes again under another name.
    pub(super) fn convict(&mut self, id: NodeId) {
        if !self.nodes[id.at()].alive {
            return;
        }
        self.convicted += u64::from(self.measures());
        if self.views[id.at()].here {
            self.unlist(id);
        }
        let node = &mut self.nodes[id.at()];
        node.turn += 1;
        node.alive = false;
        if self.views[id.at()].counted {
            self.counted[node.shell as usize] -= 1;
        }
        self.forget_pieces(id, Cause::Lied);
        self.forget_wholes(id, Cause::Lied);
        self.release_index(id);
        self.spawn();
    }

    pub(super) fn audit(&mut self, id: NodeId) {
        if self.views[id.at()].here {
            self.convict(id);
        } else {
            let life = self.nodes[id.at()].life;
            self.at(self.now_ms + 6 * HOUR_MS, Happens::Audit(id, life));
        }
    }

    pub(super) fn plan_close(&mut self) {
        if self.config.close_days > 0.0 {
            let after = self.dice.exponential(self.config.close_days * DAY_MS as f64);
            self.at(self.now_ms + after as u64, Happens::Close);
        }
    }

    /// A bad update, a power cut, a holiday: many tabs close at once and come back hours later.
    pub(super) fn close(&mut self) {
        self.closings += u64::from(self.measures());
        for id in self.here.clone() {
            let tab = self.nodes[id.at()].shell == Shell::Tab;
            if tab && self.dice.chance(self.config.close_share) {
                let gap = self.dice.log_normal(8.0 * HOUR_MS as f64, 0.8) as u64;
                self.leave(id, Some(gap.max(HOUR_MS)));
            }
        }
        self.plan_close();
    }

    pub(super) fn plan_together(&mut self) {
        if self.config.together_years > 0.0 {
            let mean_ms = self.config.together_years * 12.0 * MONTH_MS as f64;
            let after = self.dice.exponential(mean_ms);
            self.at(self.now_ms + after as u64, Happens::Together);
        }
    }

    pub(super) fn together(&mut self) {
        self.left_together += u64::from(self.measures());
        let secret = self.dice.chance(0.5);
        let one_hand = |node: &Node| if secret { node.colluder } else { node.operated };
        let all: Vec<NodeId> = (0..self.nodes.len() as u32)
            .map(NodeId)
            .filter(|id| self.nodes[id.at()].alive && one_hand(&self.nodes[id.at()]))
            .collect();
        all.into_iter().for_each(|id| self.depart(id));
        self.plan_together();
    }
}
