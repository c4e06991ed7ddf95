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
            for object in self.nodes[id.at()].holds.clone() {
                let debt = &mut self.objects[object as usize].debts[Cause::Absent as usize];
                *debt = debt.saturating_sub(1);
                self.await_look(object);
            }
        }
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
            for object in node.holds.clone() {
                self.vanish(object, id);
            }
        }
        if !self.views[id.at()].counted {
            self.forget(id, false, Cause::Departed);
        }
        if !self.views[id.at()].trusted {
            self.forget(id, true, Cause::Departed);
            self.release_index(id);
        }
        self.spawn();
    }

    /// What a node had is gone, though nobody knows.
    fn vanish(&mut self, index: u32, id: NodeId) {
        let object = &mut self.objects[index as usize];
        let Some(slot) = object.slot(id).map(|at| object.slots[at]) else { return };
        if slot.whole {
            object.alive_wholes = object.alive_wholes.saturating_sub(1);
        } else {
            object.alive_coded = object.alive_coded.saturating_sub(1);
            let read = object.decoding.as_ref().is_some_and(|reading| reading.from.contains(&id));
            object.saved += u16::from(read);
        }
        if object.is_lost(self.kept[object.scheme].aim.k) {
            self.lose(index);
        }
    }

    /// A holder of pieces was waited for long enough.
    pub(super) fn give_up(&mut self, id: NodeId) {
        self.views[id.at()].counted = false;
        let (now_ms, measures) = (self.now_ms, self.measures());
        let node = &self.nodes[id.at()];
        let (shell, alive) = (node.shell as usize, node.alive);
        self.counted[shell] -= 1;
        self.kinds[shell].gave_up(now_ms - node.left_ms);
        if !alive {
            if measures {
                self.delays.push(((now_ms - node.departed_ms) / HOUR_MS) as u32);
            }
            self.forget(id, false, Cause::Departed);
            return;
        }
        self.false_alarms += u64::from(measures);
        for object in node.holds.clone() {
            self.objects[object as usize].debts[Cause::Absent as usize] += 1;
            self.await_look(object);
        }
    }

    /// The same for whole copies, for which more patience pays.
    pub(super) fn give_up_whole(&mut self, id: NodeId) {
        self.views[id.at()].trusted = false;
        let node = &self.nodes[id.at()];
        self.kinds[node.shell as usize].gave_up_whole(self.now_ms - node.left_ms);
        if node.alive {
            self.nodes[id.at()].holds.clone().into_iter().for_each(|o| self.await_look(o));
        } else {
            // Also what it has been told to keep of a whole copy since its pieces were given up.
            self.forget(id, false, Cause::Departed);
            self.forget(id, true, Cause::Departed);
            self.release_index(id);
        }
    }

    /// A stranger may have this index, now that no object names it.
    fn release_index(&mut self, id: NodeId) {
        assert!(self.nodes[id.at()].holds.is_empty(), "{id:?} is still named");
        self.free.push(id);
    }

    /// Takes a node out of the objects of which it has pieces, or whole copies; what it had is owed.
    fn forget(&mut self, id: NodeId, wholes: bool, cause: Cause) {
        let mut left = Vec::new();
        for index in std::mem::take(&mut self.nodes[id.at()].holds) {
            let object = &mut self.objects[index as usize];
            let Some(at) = object.slot(id) else { continue };
            if object.slots[at].whole != wholes {
                left.push(index);
                continue;
            }
            object.slots.remove(at);
            object.debts[cause as usize] += 1;
            self.await_look(index);
        }
        self.nodes[id.at()].holds = left;
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
        self.forget(id, false, Cause::Lied);
        self.forget(id, true, Cause::Lied);
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
