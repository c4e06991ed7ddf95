//! Repairs: where new pieces come from. A whole copy sends them, several holders recode them, or
//! somebody reads k pieces as their holders show up, and decodes.

use craftec_obj::heal::policy::Repair;

use super::{figures::Cause, node::NodeId, object::Decoding, world::World};

/// Candidates for keeping a whole copy.
const KEEPERS: usize = 8;
/// A reader that is away is replaced when its return is less probable than this: all that would be
/// lost is what it read, and a second one may begin meanwhile.
const READER_RETURNS_BELOW: f64 = 0.9;

impl World<'_> {
    pub(super) fn send_from_whole(&mut self, index: u32, repair: &Repair) {
        let wholes = &self.objects[index as usize].wholes;
        let Some(source) = wholes.iter().copied().find(|id| self.views[id.at()].here) else {
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
    pub(super) fn recode(&mut self, index: u32, helpers: u16, repair: &Repair) {
        for _ in 0..repair.pieces {
            let object = &self.objects[index as usize];
            let here = |id: &NodeId| self.views[id.at()].here;
            let mut sources: Vec<NodeId> = object.pieces.iter().copied().filter(here).collect();
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
            let scheme = usize::from(self.objects[index as usize].scheme);
            self.kept[scheme].figures.recoded += u64::from(self.measures());
        }
        self.done(index);
    }

    pub(super) fn begin_decoding(&mut self, index: u32, actor: NodeId, keeps_whole: bool) {
        let by = if keeps_whole { self.keeper(actor) } else { actor };
        let k = self.kept[usize::from(self.objects[index as usize].scheme)].aim.k;
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
    pub(super) fn collect(&mut self, index: u32) {
        self.weigh(index);
        let object = &mut self.objects[index as usize];
        let Some(mut decoding) = object.decoding.take() else { return };
        let again = object.wholes.iter().any(|id| self.views[id.at()].here);
        let aim = self.kept[usize::from(object.scheme)].aim;
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
        let own = u16::from(object.pieces.contains(&by));
        let needed = usize::from(aim.k - own.min(aim.k));
        let mut liars = Vec::new();
        let first = decoding.from.len();
        for id in object.pieces.iter().filter(|id| **id != by && self.views[id.at()].here) {
            if decoding.from.len() >= needed {
                break;
            }
            if self.nodes[id.at()].liar {
                liars.push(*id);
            } else if !decoding.from.contains(id) {
                decoding.from.push(*id);
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
        let kept = &mut self.kept[usize::from(object.scheme)];
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
        let scheme = usize::from(self.objects[index as usize].scheme);
        if scheme == 0 {
            self.mend_ms += (took_ms - self.mend_ms) / 512.0;
        }
        if decoding.keeps_whole {
            self.keep_whole(index, decoding.by);
        }
        let aim = self.kept[scheme].aim;
        let object = &self.objects[index as usize];
        let tally = object.tally(aim.group_most, &self.views, |_| 1.0);
        let missing = aim.fill.saturating_sub(tally.coded);
        self.disperse(index, decoding.by, missing);
        self.done(index);
    }

    fn keep_whole(&mut self, index: u32, by: NodeId) {
        let honest = u16::from(!self.nodes[by.at()].liar);
        let view = self.views[by.at()];
        let object = &mut self.objects[index as usize];
        if object.drop_piece(by) {
            if view.counted {
                object.counts_not(view);
            }
            object.alive_coded = object.alive_coded.saturating_sub(honest);
            object.alive_wholes += honest;
            object.wholes.push(by);
            let node = &mut self.nodes[by.at()];
            node.drop_piece(index);
            node.wholes.push(index);
        } else if !object.wholes.contains(&by) {
            self.give(index, by, true);
        }
        // Of those that are owed, one was the whole copy.
        self.objects[index as usize].pay(1);
    }
}
