//! Looks, turns and repairs: the policy of `craftec-obj` decides, this does what it says and counts
//! what that costs.

use craftec_obj::heal::{
    policy::{Decision, Held, Repair, Rest, Tally, Way, decide, surplus},
    turn::{Slot as TurnSlot, delay_ms, order},
};

use super::{
    dice::mix,
    figures::Cause,
    node::NodeId,
    object::{Debts, Decoding, Object},
    plan::Scheme,
    world::{Happens, World},
};

/// Candidates for keeping a whole copy.
const KEEPERS: usize = 8;
/// Attempts to find a candidate that may be asked.
const TRIES: u32 = 64;
/// A reader that is away is replaced when its return is less probable than this: all that would be
/// lost is what it read, and a second one may begin meanwhile.
const READER_RETURNS_BELOW: f64 = 0.9;
/// Hole punches that succeed between two nodes that nobody can dial (arXiv 2510.27500).
const PUNCHED: u64 = 70;

impl World<'_> {
    /// Something about the object changed: its holders see it at their next look.
    pub(super) fn await_look(&mut self, index: u32) {
        let object = &mut self.objects[index as usize];
        if object.awaited {
            return;
        }
        object.awaited = true;
        let (root, slot_ms) = (Object::root(index), self.config.slot_ms());
        let next = TurnSlot::at(&root, self.now_ms, slot_ms).next();
        self.at(next.begins_ms(&root, slot_ms), Happens::Look(index));
    }

    /// A look: lets go of what is too much, and gives the turn where something is to be done.
    pub(super) fn look(&mut self, index: u32) {
        self.objects[index as usize].awaited = false;
        self.release(index);
        if self.objects[index as usize].decoding.is_some() {
            self.collect(index);
            return;
        }
        match self.decided(index, 0) {
            // Enough is there: what went before is owed no longer.
            Decision::Rest(Rest::Healthy) => {
                let object = &mut self.objects[index as usize];
                if self.kept[object.scheme].scheme == Scheme::Ours {
                    object.debts = Debts::default();
                }
            }
            Decision::Rest(_) => self.await_look(index),
            Decision::Act(_) => self.give_turn(index, 0),
        }
    }

    fn decided(&mut self, index: u32, own: u16) -> Decision {
        let object = &self.objects[index as usize];
        let aim = &self.kept[object.scheme].aim;
        let mut held = std::mem::take(&mut self.held);
        object.seen(&self.views, |node| self.returns(node), &mut held);
        let tally = Tally::of(&held, aim.group_most);
        let decision = decide(aim, &tally, object.rank(aim, &held, &tally), own);
        self.held = held;
        decision
    }

    fn returns(&self, node: NodeId) -> f64 {
        let node = &self.nodes[node.at()];
        node.history.returns(self.now_ms, &self.kinds[node.shell as usize])
    }

    /// The turn goes to the first holder from `from` on in the slot's order that is here.
    fn give_turn(&mut self, index: u32, from: usize) {
        let (root, slot_ms) = (Object::root(index), self.config.slot_ms());
        let slot = TurnSlot::at(&root, self.now_ms, slot_ms);
        let object = &self.objects[index as usize];
        let holders: Vec<[u8; 4]> =
            object.slots.iter().map(|slot| slot.node.0.to_le_bytes()).collect();
        let order = order(&root, slot, &holders);
        let here = |at: &usize| self.views[object.slots[*at].node.at()].here;
        let Some(place) = (from..order.len()).find(|place| here(&order[*place])) else {
            self.await_look(index);
            return;
        };
        let actor = object.slots[order[place]].node;
        let at_ms = slot.begins_ms(&root, slot_ms) + delay_ms(place, order.len(), slot_ms);
        if at_ms <= self.now_ms {
            self.turn(index, actor, place as u32);
            return;
        }
        self.objects[index as usize].awaited = true;
        self.at(at_ms, Happens::Turn(index, actor, place as u32));
    }

    /// A holder's turn has come. If it went away meanwhile, the next one's comes.
    pub(super) fn turn(&mut self, index: u32, actor: NodeId, place: u32) {
        self.objects[index as usize].awaited = false;
        let holds = self.objects[index as usize].slot(actor).is_some();
        if !holds || !self.views[actor.at()].here {
            self.give_turn(index, place as usize + 1);
            return;
        }
        let Decision::Act(repair) = self.decided(index, 1) else {
            self.await_look(index);
            return;
        };
        let scheme = self.objects[index as usize].scheme;
        self.kept[scheme].figures.taken_over += u64::from(place > 0 && self.measures());
        if self.kept[scheme].scheme == Scheme::Msr {
            self.disperse(index, actor, repair.pieces);
            self.done(index);
            return;
        }
        match repair.way {
            Way::FromWhole => self.send_from_whole(index, &repair),
            Way::Recode { helpers } => self.recode(index, helpers, &repair),
            Way::Decode { keeps_whole } => self.begin_decoding(index, actor, keeps_whole),
        }
    }

    fn send_from_whole(&mut self, index: u32, repair: &Repair) {
        let object = &self.objects[index as usize];
        let here = |node: NodeId| self.views[node.at()].here;
        let source = object.slots.iter().find(|slot| slot.whole && here(slot.node));
        let Some(source) = source.map(|slot| slot.node) else {
            self.await_look(index);
            return;
        };
        if self.nodes[source.at()].liar {
            self.convict(source);
            self.await_look(index);
            return;
        }
        if self.may_spend(index, source, u64::from(repair.write_pieces)) {
            self.disperse(index, source, repair.pieces);
            self.done(index);
        }
    }

    /// Each new holder reads from helpers of its own.
    fn recode(&mut self, index: u32, helpers: u16, repair: &Repair) {
        for _ in 0..repair.pieces {
            let object = &self.objects[index as usize];
            let here = |node: NodeId| self.views[node.at()].here;
            let mut sources: Vec<NodeId> = object
                .slots
                .iter()
                .filter(|slot| !slot.whole && here(slot.node))
                .map(|slot| slot.node)
                .collect();
            while sources.len() > usize::from(helpers) {
                let out = self.dice.below(sources.len());
                sources.swap_remove(out);
            }
            let liar = sources.iter().find(|node| self.nodes[node.at()].liar).copied();
            let Some(target) = self.new_holder(index) else { break };
            if let Some(liar) = liar {
                self.convict(liar);
                self.await_look(index);
                break;
            }
            let (paid, rest) = self.objects[index as usize].pay(1);
            for source in sources {
                self.charge(index, source, target, paid, rest);
            }
            self.give(index, target, false);
            let scheme = self.objects[index as usize].scheme;
            self.kept[scheme].figures.recoded += u64::from(self.measures());
        }
        self.done(index);
    }

    fn begin_decoding(&mut self, index: u32, actor: NodeId, keeps_whole: bool) {
        let by = if keeps_whole { self.keeper(actor) } else { actor };
        let k = self.kept[self.objects[index as usize].scheme].aim.k;
        if !self.may_spend(index, by, u64::from(k)) {
            return;
        }
        let from = Vec::with_capacity(usize::from(k));
        let began_ms = self.now_ms;
        let life = self.nodes[by.at()].life;
        let decoding = Decoding { by, life, from, keeps_whole, began_ms };
        self.objects[index as usize].decoding = Some(Box::new(decoding));
        self.collect(index);
    }

    /// The worthiest of some that are here: known for long, seldom away.
    fn keeper(&mut self, actor: NodeId) -> NodeId {
        let mut best = (actor, self.nodes[actor.at()].history.merit(self.now_ms));
        for _ in 0..KEEPERS {
            let candidate = self.here[self.dice.below(self.here.len())];
            let merit = self.nodes[candidate.at()].history.merit(self.now_ms);
            if merit > best.1 && !self.nodes[candidate.at()].operated {
                best = (candidate, merit);
            }
        }
        best.0
    }

    /// Reads what is here and was not read yet; decodes when it is enough. Ends if a whole copy is
    /// back, or the reader is away for so long that another should take over.
    fn collect(&mut self, index: u32) {
        let object = &mut self.objects[index as usize];
        let Some(mut decoding) = object.decoding.take() else { return };
        let here = |node: NodeId| self.views[node.at()].here;
        let again = object.slots.iter().any(|slot| slot.whole && here(slot.node));
        let aim = self.kept[object.scheme].aim;
        let by = decoding.by;
        let reader = &self.nodes[by.at()];
        let gone = self.returns(by) < READER_RETURNS_BELOW;
        if again || gone || reader.life != decoding.life {
            self.give_up_decoding(index, decoding.from.len());
            return;
        }
        if !self.views[by.at()].here {
            self.objects[index as usize].decoding = Some(decoding);
            self.await_look(index);
            return;
        }
        let object = &self.objects[index as usize];
        let own = u16::from(object.slot(by).is_some_and(|at| !object.slots[at].whole));
        let needed = usize::from(aim.k - own.min(aim.k));
        let mut liars = Vec::new();
        let first = decoding.from.len();
        for slot in object.slots.iter().filter(|slot| !slot.whole && slot.node != by) {
            if decoding.from.len() >= needed {
                break;
            }
            let here = self.views[slot.node.at()].here;
            if here && self.nodes[slot.node.at()].liar {
                liars.push(slot.node);
            } else if here && !decoding.from.contains(&slot.node) {
                decoding.from.push(slot.node);
            }
        }
        for source in decoding.from.iter().skip(first) {
            self.count(index, Cause::Read, 1.0, *source, by);
        }
        liars.into_iter().for_each(|liar| self.convict(liar));
        if decoding.from.len() < needed {
            self.objects[index as usize].decoding = Some(decoding);
            self.await_look(index);
            return;
        }
        self.decoded(index, &decoding);
    }

    /// What was read is read in vain; what only the reader had is gone.
    fn give_up_decoding(&mut self, index: u32, read: usize) {
        let measures = self.measures();
        let object = &mut self.objects[index as usize];
        object.saved = 0;
        let kept = &mut self.kept[object.scheme];
        let size = read as f64 / f64::from(kept.aim.k);
        kept.figures.wasted += if measures { size } else { 0.0 };
        if object.is_lost(kept.aim.k) {
            self.lose(index);
        }
        self.await_look(index);
    }

    /// The reader has everything: it gives out what is missing, and keeps the whole if it is to.
    fn decoded(&mut self, index: u32, decoding: &Decoding) {
        self.objects[index as usize].saved = 0;
        let took_ms = (self.now_ms - decoding.began_ms) as f64;
        let scheme = self.objects[index as usize].scheme;
        if scheme == 0 {
            self.mend_ms += (took_ms - self.mend_ms) / 512.0;
        }
        if decoding.keeps_whole {
            self.keep_whole(index, decoding.by);
        }
        let aim = self.kept[scheme].aim;
        let object = &self.objects[index as usize];
        let mut held = std::mem::take(&mut self.held);
        object.seen(&self.views, |node| self.returns(node), &mut held);
        let missing = aim.fill.saturating_sub(Tally::of(&held, aim.group_most).coded);
        self.held = held;
        self.disperse(index, decoding.by, missing);
        self.done(index);
    }

    fn keep_whole(&mut self, index: u32, by: NodeId) {
        let honest = u16::from(!self.nodes[by.at()].liar);
        let object = &mut self.objects[index as usize];
        match object.slot(by) {
            Some(at) if !object.slots[at].whole => {
                object.slots[at].whole = true;
                object.alive_coded = object.alive_coded.saturating_sub(honest);
                object.alive_wholes += honest;
            }
            Some(_) => {}
            None => self.give(index, by, true),
        }
        // Of those that are owed, one was the whole copy.
        self.objects[index as usize].pay(1);
    }

    fn disperse(&mut self, index: u32, source: NodeId, pieces: u16) {
        for _ in 0..pieces {
            let Some(target) = self.new_holder(index) else { return };
            let (paid, rest) = self.objects[index as usize].pay(1);
            self.charge(index, source, target, paid, rest);
            self.give(index, target, false);
        }
    }

    fn done(&mut self, index: u32) {
        let scheme = self.objects[index as usize].scheme;
        let measures = u64::from(self.measures());
        self.kept[scheme].figures.repairs += measures;
        let slots = self.objects[index as usize].slots.len() as u64;
        self.note(index, slots);
    }

    /// Whether the budget of `node` has room; if not, the object is looked at later.
    fn may_spend(&mut self, index: u32, node: NodeId, pieces: u64) -> bool {
        let k = self.kept[self.objects[index as usize].scheme].aim.k;
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
        if object.slot(candidate).is_some() {
            return false;
        }
        let (group, most) =
            (self.views[candidate.at()].group, self.kept[object.scheme].aim.group_most);
        if group == 0 || most == 0 {
            return true;
        }
        let of_group = |node: NodeId| self.views[node.at()].group == group;
        object.slots.iter().filter(|slot| of_group(slot.node)).count() < usize::from(most)
    }

    /// Holders of too much let go of it.
    fn release(&mut self, index: u32) {
        for _ in 0..8 {
            let object = &mut self.objects[index as usize];
            let aim = &self.kept[object.scheme].aim;
            let wholes = object.slots.iter().filter(|slot| slot.whole).count();
            let most = object.slots.len() + wholes * usize::from(aim.k - 1);
            if most <= usize::from(aim.ceiling) {
                return;
            }
            let merit = |node: NodeId| self.nodes[node.at()].history.merit(self.now_ms);
            object.slots.sort_by(|a, b| {
                let worth = || merit(b.node).total_cmp(&merit(a.node));
                if a.whole && b.whole { worth() } else { b.whole.cmp(&a.whole) }
            });
            let mut held: Vec<Held> = std::mem::take(&mut self.held);
            let object = &self.objects[index as usize];
            object.seen(&self.views, |node| self.returns(node), &mut held);
            let gone = surplus(aim, &held, &Tally::of(&held, aim.group_most));
            self.held = held;
            match gone {
                Some(at) => self.let_go(index, at),
                None => return,
            }
        }
    }

    /// A whole copy shrinks to a piece; a piece goes.
    fn let_go(&mut self, index: u32, at: usize) {
        let object = &mut self.objects[index as usize];
        let slot = object.slots[at];
        let node = &mut self.nodes[slot.node.at()];
        let there = u16::from(node.alive && !node.liar);
        if slot.whole {
            object.slots[at].whole = false;
            object.alive_wholes = object.alive_wholes.saturating_sub(there);
            object.alive_coded += there;
            return;
        }
        object.slots.remove(at);
        object.alive_coded = object.alive_coded.saturating_sub(there);
        node.holds.retain(|held| *held != index);
    }

    /// Counts a piece that was written, for what it was missing.
    fn charge(&mut self, index: u32, from: NodeId, to: NodeId, paid: [u16; 3], rest: u16) {
        let scheme = self.objects[index as usize].scheme;
        let mut pieces = 1.0;
        if self.kept[scheme].scheme == Scheme::Msr {
            // Helpers: all others that count.
            let k = f64::from(self.kept[scheme].aim.k);
            let helpers = self.objects[index as usize].slots.len() as f64;
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

    fn count(&mut self, index: u32, cause: Cause, pieces: f64, from: NodeId, to: NodeId) {
        if !self.measures() {
            return;
        }
        let kept = &mut self.kept[self.objects[index as usize].scheme];
        let size = pieces / f64::from(kept.aim.k);
        kept.figures.traffic[cause as usize] += size;
        let dialable = self.nodes[from.at()].dialable || self.nodes[to.at()].dialable;
        let pair = mix(u64::from(from.0.min(to.0)) << 32 | u64::from(from.0.max(to.0)));
        if !dialable && pair % 100 >= PUNCHED {
            kept.figures.relayed += size;
        }
    }
}
