//! Looks and turns: the policy of `craftec-obj` decides whether something is done, and whose turn it is.

use craftec_obj::heal::{
    policy::{Decision, Rest, Tally, Way, decide},
    turn::{Order, Slot as TurnSlot, delay_ms, order},
};

use super::{
    node::NodeId,
    object::{Debts, Object},
    plan::Scheme,
    world::{Happens, World},
};

impl World<'_> {
    /// Something about the object changed. Its holders see it at their next look; looks that would
    /// find enough of everything are left out.
    pub(super) fn changed(&mut self, index: u32) {
        let object = &mut self.objects[index as usize];
        if object.awaited {
            return;
        }
        let kept = &self.kept[usize::from(object.scheme)];
        let aim = &kept.aim;
        // That a whole copy likely returns or not is not asked for where enough is there.
        let tally = object.tally(aim.group_most, &self.views, |_| 1.0);
        let full = tally.stored(aim.k) <= u32::from(aim.ceiling);
        let rank = object.rank(aim, &tally, aim.k);
        let idle = full && object.decoding.is_none();
        if idle && decide(aim, &tally, rank, 0) == Decision::Rest(Rest::Healthy) {
            if kept.scheme == Scheme::Ours {
                object.debts = Debts::default();
            }
            return;
        }
        self.await_look(index);
    }

    /// The object is looked at in the next slot.
    pub(super) fn await_look(&mut self, index: u32) {
        let object = &mut self.objects[index as usize];
        if object.awaited {
            return;
        }
        object.awaited = true;
        let (root, slot_ms) = (Object::root(index), self.slot_ms);
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
                if self.kept[usize::from(object.scheme)].scheme == Scheme::Ours {
                    object.debts = Debts::default();
                }
            }
            Decision::Rest(_) => self.await_look(index),
            // Whoever has it whole comes first, as in the node.
            Decision::Act(repair) if repair.way == Way::FromWhole => {
                self.send_from_whole(index, &repair);
            }
            Decision::Act(_) => self.give_turn(index, 0),
        }
    }

    pub(super) fn decided(&mut self, index: u32, own: u16) -> Decision {
        let object = &self.objects[index as usize];
        let aim = &self.kept[usize::from(object.scheme)].aim;
        let tally = object.tally(aim.group_most, &self.views, |node| self.returns(node));
        debug_assert_eq!(tally, self.tallied(index), "what was counted is what is there");
        let decision = decide(aim, &tally, object.rank(aim, &tally, aim.k), own);
        match decision {
            // Only for this it matters how many are here, which is counted now.
            Decision::Act(repair) if matches!(repair.way, Way::Recode { .. }) => {
                let here = object.pieces_here(&self.views);
                decide(aim, &tally, object.rank(aim, &tally, here), own)
            }
            _ => decision,
        }
    }

    /// What the policy itself counts.
    fn tallied(&self, index: u32) -> Tally {
        let object = &self.objects[index as usize];
        let mut held = Vec::new();
        object.seen(&self.views, |node| self.returns(node), &mut held);
        Tally::of(&held, self.kept[usize::from(object.scheme)].aim.group_most)
    }

    pub(super) fn returns(&self, node: NodeId) -> f64 {
        let node = &self.nodes[node.at()];
        node.history.returns(self.now_ms, &self.kinds[node.shell as usize])
    }

    /// The turn goes to the first holder from `from` on in the slot's order that is here.
    fn give_turn(&mut self, index: u32, from: usize) {
        let (root, slot_ms) = (Object::root(index), self.slot_ms);
        let slot = TurnSlot::at(&root, self.now_ms, slot_ms);
        let mut weights = std::mem::take(&mut self.weights);
        let object = &self.objects[index as usize];
        let found = match from {
            0 => self.first_here(object, slot, &root, &mut weights),
            _ => self.next_here(object, slot, &root, from),
        };
        let holders = object.pieces.len() + object.wholes.len();
        self.weights = weights;
        let Some((actor, place)) = found else {
            self.await_look(index);
            return;
        };
        let at_ms = slot.begins_ms(&root, slot_ms) + delay_ms(place, holders, slot_ms);
        if at_ms <= self.now_ms {
            self.turn(index, actor, place as u32);
            return;
        }
        self.objects[index as usize].awaited = true;
        self.at(at_ms, Happens::Turn(index, actor, place as u32));
    }

    /// The first holder that is here, and its place.
    fn first_here(
        &self,
        object: &Object,
        slot: TurnSlot,
        root: &[u8],
        weights: &mut Vec<(u64, NodeId)>,
    ) -> Option<(NodeId, usize)> {
        let order = Order::of(root, slot);
        let all = object.pieces.iter().chain(&object.wholes);
        weights.clear();
        weights.extend(all.map(|id| (order.weight(&id.0.to_le_bytes()), *id)));
        let first = weights.iter().filter(|(_, id)| self.views[id.at()].here).min()?;
        let place = weights.iter().filter(|other| *other < first).count();
        Some((first.1, place))
    }

    /// The same from a later place on.
    fn next_here(
        &self,
        object: &Object,
        slot: TurnSlot,
        root: &[u8],
        from: usize,
    ) -> Option<(NodeId, usize)> {
        let all: Vec<NodeId> = object.pieces.iter().chain(&object.wholes).copied().collect();
        let names: Vec<[u8; 4]> = all.iter().map(|id| id.0.to_le_bytes()).collect();
        let order = order(root, slot, &names);
        let mut places = order.iter().enumerate().skip(from);
        let (place, at) = places.find(|(_, at)| self.views[all[**at].at()].here)?;
        Some((all[*at], place))
    }

    /// A holder's turn has come. If it went away meanwhile, the next one's comes.
    pub(super) fn turn(&mut self, index: u32, actor: NodeId, place: u32) {
        self.objects[index as usize].awaited = false;
        let holds = self.objects[index as usize].is_of(actor);
        if !holds || !self.views[actor.at()].here {
            self.give_turn(index, place as usize + 1);
            return;
        }
        let Decision::Act(repair) = self.decided(index, 1) else {
            self.await_look(index);
            return;
        };
        let scheme = usize::from(self.objects[index as usize].scheme);
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
}
