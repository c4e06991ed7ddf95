//! A world: nodes come, go and return, objects lose pieces, and whoever's turn it is mends them.
//! Event-driven; one seed, one run.

use std::{cmp::Reverse, collections::BinaryHeap};

use craftec_obj::heal::{
    aim::{Aim, Goal},
    forecast::Exposure,
    history::Kind,
    policy::Held,
};

use super::{
    config::{Config, DAY_MS, HOUR_MS, MONTH_MS},
    dice::Dice,
    figures::{Cause, Figures},
    node::{Node, NodeId, OPERATOR, Shell},
    object::{Object, Slot},
    plan::Scheme,
};

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Happens {
    /// A node leaves, or comes back.
    Toggle(NodeId, u32),
    /// A node departs for good, at whatever turn it then is.
    Depart(NodeId, u32),
    /// An absent node has been waited for long enough.
    GiveUp(NodeId, u32),
    /// A liar is asked for proofs.
    Audit(NodeId, u32),
    /// The holders' look at an object, and the turn of one of them to act.
    Look(u32),
    Turn(u32, NodeId, u32),
    /// Many tabs close.
    Close,
    /// Nodes of one hand depart.
    Together,
    /// A day has passed.
    Day,
    /// Measure.
    Sample,
}

/// One scheme's state.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) scheme: Scheme,
    pub(super) aim: Aim,
    pub(super) figures: Figures,
}

#[derive(Debug)]
pub(super) struct World<'a> {
    pub(super) config: &'a Config,
    pub(super) now_ms: u64,
    pub(super) dice: Dice,
    events: BinaryHeap<Reverse<(u64, u64, Happens)>>,
    sequence: u64,
    pub(super) nodes: Vec<Node>,
    free: Vec<NodeId>,
    pub(super) here: Vec<NodeId>,
    pub(super) objects: Vec<Object>,
    pub(super) kept: Vec<Kept>,
    /// Tabs and steady nodes, as they are known.
    pub(super) kinds: [Kind; 2],
    counted: [u64; 2],
    /// Time from a decoding's begin to its end, on average.
    pub(super) mend_ms: f64,
    /// From departures to giving up, in hours.
    pub(super) delays: Vec<u32>,
    pub(super) false_alarms: u64,
    pub(super) convicted: u64,
    samples: u32,
    /// A buffer for what the policy is shown.
    pub(super) held: Vec<Held>,
    pub(super) trace: blake3::Hasher,
}

impl<'a> World<'a> {
    pub(super) fn new(config: &'a Config, seed: u64) -> Self {
        let kept = Scheme::ALL.map(|scheme| {
            let aim = scheme.aim(config.k);
            Kept { scheme, aim, figures: Figures::default() }
        });
        let mut world = Self {
            config,
            now_ms: 0,
            dice: Dice::new(seed),
            events: BinaryHeap::new(),
            sequence: 0,
            nodes: Vec::new(),
            free: Vec::new(),
            here: Vec::new(),
            objects: Vec::new(),
            kept: kept.into(),
            kinds: [Kind::default(), Kind::default()],
            counted: [0; 2],
            mend_ms: DAY_MS as f64,
            delays: Vec::new(),
            false_alarms: 0,
            convicted: 0,
            samples: 0,
            held: Vec::new(),
            trace: blake3::Hasher::new(),
        };
        (0..config.nodes).for_each(|_| world.spawn());
        for scheme in 0..world.kept.len() {
            let share = if scheme == 0 { 1 } else { 8 };
            for _ in 0..(config.objects / share).max(1) {
                let index = world.objects.len() as u32;
                world.objects.push(Object { scheme, ..Object::default() });
                world.put(index);
            }
        }
        world.at(DAY_MS, Happens::Day);
        world.at(13 * HOUR_MS, Happens::Sample);
        world.plan_close();
        world.plan_together();
        world
    }

    pub(super) fn at(&mut self, at_ms: u64, what: Happens) {
        self.sequence += 1;
        self.events.push(Reverse((at_ms.max(self.now_ms), self.sequence, what)));
    }

    /// Lives through all of it.
    pub(super) fn run(&mut self) {
        let end_ms = self.config.end_ms();
        while let Some(Reverse((at_ms, _, what))) = self.events.pop() {
            if at_ms >= end_ms {
                break;
            }
            self.now_ms = at_ms;
            match what {
                Happens::Toggle(node, turn) if self.is_at(node, turn) => self.toggle(node),
                Happens::Depart(node, life) if self.lives(node, life) => self.depart(node),
                Happens::GiveUp(node, turn) if self.is_at(node, turn) => self.give_up(node),
                Happens::Audit(node, life) if self.lives(node, life) => self.audit(node),
                Happens::Look(object) => self.look(object),
                Happens::Turn(object, node, place) => self.turn(object, node, place),
                Happens::Close => self.close(),
                Happens::Together => self.together(),
                Happens::Day => self.day(),
                Happens::Sample => self.sample(),
                _ => {}
            }
        }
        self.now_ms = end_ms;
    }

    pub(super) fn measures(&self) -> bool {
        self.now_ms >= self.config.settle_ms()
    }

    fn is_at(&self, node: NodeId, turn: u32) -> bool {
        self.nodes[node.at()].turn == turn
    }

    fn lives(&self, node: NodeId, life: u32) -> bool {
        let node = &self.nodes[node.at()];
        node.alive && node.life == life
    }

    /// A stranger arrives.
    pub(super) fn spawn(&mut self) {
        let now_ms = self.now_ms;
        let id = self.free.pop().unwrap_or(NodeId(self.nodes.len() as u32));
        let (turn, life) =
            self.nodes.get(id.at()).map_or((0, 0), |old| (old.turn + 1, old.life + 1));
        let node = Node::new(self.config, (turn, life), now_ms, &mut self.dice);
        self.counted[node.shell as usize] += 1;
        let life_ms = Node::life_ms(self.config, &mut self.dice);
        let session_ms = node.session_ms(self.config, &mut self.dice);
        if id.at() == self.nodes.len() { self.nodes.push(node) } else { self.nodes[id.at()] = node }
        self.list(id);
        self.at(now_ms + life_ms, Happens::Depart(id, life));
        self.at(now_ms + session_ms, Happens::Toggle(id, turn));
    }

    fn list(&mut self, id: NodeId) {
        let node = &mut self.nodes[id.at()];
        node.here = true;
        node.listed = self.here.len();
        self.here.push(id);
    }

    fn unlist(&mut self, id: NodeId) {
        let node = &mut self.nodes[id.at()];
        node.here = false;
        let at = node.listed;
        self.here.swap_remove(at);
        if let Some(moved) = self.here.get(at) {
            self.nodes[moved.at()].listed = at;
        }
    }

    fn toggle(&mut self, id: NodeId) {
        if self.nodes[id.at()].here {
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
        let kind = &self.kinds[node.shell as usize];
        let given_up = node.history.given_up_ms(kind, self.config.returns_below);
        let (turn, give_up_ms) = (node.turn, given_up.unwrap_or(u64::MAX));
        node.give_up_ms = give_up_ms;
        let back_ms = gap_ms.map_or(u64::MAX, |gap_ms| now_ms + gap_ms);
        if give_up_ms < back_ms {
            self.at(give_up_ms, Happens::GiveUp(id, turn));
        }
        if gap_ms.is_some() {
            self.at(back_ms, Happens::Toggle(id, turn));
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
        if !self.nodes[id.at()].counted {
            self.nodes[id.at()].counted = true;
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
    fn depart(&mut self, id: NodeId) {
        if self.nodes[id.at()].here {
            self.leave(id, None);
        } else {
            let node = &mut self.nodes[id.at()];
            node.turn += 1;
            let (turn, at_ms) = (node.turn, node.give_up_ms);
            if node.counted {
                self.at(at_ms, Happens::GiveUp(id, turn));
            }
        }
        let node = &mut self.nodes[id.at()];
        node.alive = false;
        node.departed_ms = self.now_ms;
        let (counted, honest) = (node.counted, !node.liar);
        for object in node.holds.clone() {
            if honest {
                self.vanish(object, id);
            }
        }
        if !counted {
            self.forget(id, Cause::Departed);
            self.free.push(id);
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
        }
        if object.is_lost(self.kept[object.scheme].aim.k) {
            self.lose(index);
        }
    }

    fn give_up(&mut self, id: NodeId) {
        let node = &mut self.nodes[id.at()];
        if node.here || !node.counted {
            return;
        }
        node.counted = false;
        let (shell, alive) = (node.shell as usize, node.alive);
        let waited_ms = self.now_ms - node.left_ms;
        let delay_ms = self.now_ms - node.departed_ms;
        self.counted[shell] -= 1;
        self.kinds[shell].gave_up(waited_ms);
        if alive {
            self.false_alarms += u64::from(self.measures());
            for object in self.nodes[id.at()].holds.clone() {
                self.objects[object as usize].debts[Cause::Absent as usize] += 1;
                self.await_look(object);
            }
        } else {
            if self.measures() {
                self.delays.push((delay_ms / HOUR_MS) as u32);
            }
            self.forget(id, Cause::Departed);
            self.free.push(id);
        }
    }

    /// Takes a node out of all its objects; what it had is owed.
    fn forget(&mut self, id: NodeId, cause: Cause) {
        let counted = self.nodes[id.at()].counted;
        for index in std::mem::take(&mut self.nodes[id.at()].holds) {
            let object = &mut self.objects[index as usize];
            if let Some(at) = object.slot(id) {
                object.slots.remove(at);
                // Of those given up before, the debt was written down as an absence's.
                let absent = &mut object.debts[Cause::Absent as usize];
                *absent = absent.saturating_sub(u16::from(!counted && cause == Cause::Departed));
                object.debts[cause as usize] += 1;
            }
            self.await_look(index);
        }
    }

    /// A liar was caught: it is shut out, and comes again under another name.
    pub(super) fn convict(&mut self, id: NodeId) {
        if !self.nodes[id.at()].alive {
            return;
        }
        self.convicted += u64::from(self.measures());
        if self.nodes[id.at()].here {
            self.unlist(id);
        }
        let node = &mut self.nodes[id.at()];
        node.turn += 1;
        node.alive = false;
        if node.counted {
            self.counted[node.shell as usize] -= 1;
        }
        self.forget(id, Cause::Lied);
        self.free.push(id);
        self.spawn();
    }

    fn audit(&mut self, id: NodeId) {
        if self.nodes[id.at()].here {
            self.convict(id);
        } else {
            let life = self.nodes[id.at()].life;
            self.at(self.now_ms + 6 * HOUR_MS, Happens::Audit(id, life));
        }
    }

    /// Gives a node a part of an object.
    pub(super) fn give(&mut self, index: u32, id: NodeId, whole: bool) {
        let node = &mut self.nodes[id.at()];
        node.holds.push(index);
        let (liar, life, asked) = (node.liar, node.life, node.audited);
        node.audited = true;
        let object = &mut self.objects[index as usize];
        object.slots.push(Slot { node: id, whole });
        if liar {
            if !asked {
                // Every holder is audited once a day, at a moment it can't know.
                let after_ms = (self.dice.unit() * DAY_MS as f64) as u64;
                self.at(self.now_ms + after_ms, Happens::Audit(id, life));
            }
        } else if whole {
            object.alive_wholes += 1;
        } else {
            object.alive_coded += 1;
        }
    }

    /// A fresh object.
    fn put(&mut self, index: u32) {
        let scheme = self.objects[index as usize].scheme;
        let pieces = self.kept[scheme].scheme.first_pieces(self.config.k);
        let life = self.objects[index as usize].life + 1;
        let born_ms = self.now_ms;
        self.objects[index as usize] = Object { scheme, life, born_ms, ..Object::default() };
        self.kept[scheme].figures.objects += 1;
        for _ in 0..pieces {
            if let Some(holder) = self.new_holder(index) {
                self.give(index, holder, false);
            }
        }
    }

    fn lose(&mut self, index: u32) {
        let object = &self.objects[index as usize];
        let (scheme, age_ms) = (object.scheme, self.now_ms - object.born_ms);
        let measures = self.measures();
        let figures = &mut self.kept[scheme].figures;
        figures.lost += u64::from(measures);
        figures.lost_settling += u64::from(!measures);
        figures.lost_at.push((age_ms / MONTH_MS) as u32);
        self.note(index, u64::MAX);
        for slot in std::mem::take(&mut self.objects[index as usize].slots) {
            let holds = &mut self.nodes[slot.node.at()].holds;
            if let Some(at) = holds.iter().position(|held| *held == index) {
                holds.swap_remove(at);
            }
        }
        let awaited = self.objects[index as usize].awaited;
        self.put(index);
        self.objects[index as usize].awaited = awaited;
    }

    /// Writes something down in the trace.
    pub(super) fn note(&mut self, index: u32, what: u64) {
        self.trace.update(&self.now_ms.to_le_bytes());
        self.trace.update(&index.to_le_bytes());
        self.trace.update(&what.to_le_bytes());
    }

    fn plan_close(&mut self) {
        if self.config.close_days > 0.0 {
            let after = self.dice.exponential(self.config.close_days * DAY_MS as f64);
            self.at(self.now_ms + after as u64, Happens::Close);
        }
    }

    /// A bad update, a power cut, a holiday: many tabs close at once and come back hours later.
    fn close(&mut self) {
        for id in self.here.clone() {
            let tab = self.nodes[id.at()].shell == Shell::Tab;
            if tab && self.dice.chance(self.config.close_share) {
                let gap = self.dice.log_normal(8.0 * HOUR_MS as f64, 0.8) as u64;
                self.leave(id, Some(gap.max(HOUR_MS)));
            }
        }
        self.plan_close();
    }

    fn plan_together(&mut self) {
        if self.config.together_years > 0.0 {
            let mean_ms = self.config.together_years * 12.0 * MONTH_MS as f64;
            let after = self.dice.exponential(mean_ms);
            self.at(self.now_ms + after as u64, Happens::Together);
        }
    }

    fn together(&mut self) {
        let secret = self.dice.chance(0.5);
        let one_hand =
            |node: &Node| if secret { node.colluder } else { node.group == OPERATOR };
        let all: Vec<NodeId> = (0..self.nodes.len() as u32)
            .map(NodeId)
            .filter(|id| self.nodes[id.at()].alive && one_hand(&self.nodes[id.at()]))
            .collect();
        all.into_iter().for_each(|id| self.depart(id));
        self.plan_together();
    }

    /// Once a day what was learned becomes the aim.
    fn day(&mut self) {
        for (kind, counted) in self.kinds.iter_mut().zip(self.counted) {
            kind.watched(counted * DAY_MS);
        }
        let (exposure, presence, whole_presence) = self.exposure();
        let goal = Goal {
            yearly_loss: self.config.yearly_loss,
            readable: self.config.readable,
            presence,
            whole_presence,
        };
        let aim = Aim::beside_whole(self.config.k, &goal, &exposure);
        self.kept[0].aim = aim;
        self.note(u32::MAX, u64::from(aim.floor));
        self.at(self.now_ms + DAY_MS, Happens::Day);
    }

    /// What holders are exposed to, as far as it is known, and how much they are here.
    pub(super) fn exposure(&self) -> (Exposure, f64, f64) {
        let mut parts = [[0.0; 3]; 2];
        // Holders of pieces and of whole copies, among a few objects: nothing a node couldn't know.
        let of_ours = self.objects.iter().filter(|object| object.scheme == 0);
        for slot in of_ours.take(200).flat_map(|object| &object.slots) {
            let node = &self.nodes[slot.node.at()];
            let part = &mut parts[usize::from(slot.whole)];
            part[0] += 1.0;
            part[1] += self.kinds[node.shell as usize].blind_ms() as f64;
            part[2] += node.history.presence(self.now_ms);
        }
        let [pieces, mut wholes] = parts;
        if wholes[0] < 20.0 {
            wholes = pieces;
        }
        let mean = |part: [f64; 3], nth: usize| part[nth] / part[0].max(1.0);
        let lifetime = |kind: &Kind| 1.0 / kind.lifetime_ms().max(1) as f64;
        let [tabs, steady] = [&self.kinds[0], &self.kinds[1]].map(lifetime);
        let counted = [self.counted[0] as f64, self.counted[1] as f64];
        let rate = (tabs * counted[0] + steady * counted[1]) / (counted[0] + counted[1]).max(1.0);
        let exposure = Exposure {
            lifetime_ms: (1.0 / rate) as u64,
            blind_ms: mean(pieces, 1) as u64,
            whole_blind_ms: mean(wholes, 1) as u64,
            mend_ms: (self.mend_ms + self.config.slot_ms() as f64) as u64,
        };
        (exposure, mean(pieces, 2), mean(wholes, 2))
    }

    /// Looks at one object in sixteen, at another hour of the day each time.
    fn sample(&mut self) {
        self.samples += 1;
        let measures = self.measures();
        let now_ms = self.now_ms;
        for index in (self.samples as usize % 16..self.objects.len()).step_by(16) {
            let object = &self.objects[index];
            let kept = &mut self.kept[object.scheme];
            let margin = i32::from(object.alive_coded) - i32::from(kept.aim.k);
            kept.figures.month(now_ms).add(margin);
            if !measures {
                continue;
            }
            let (nodes, mut coded, mut whole) = (&self.nodes, 0, false);
            for slot in &object.slots {
                let node = &nodes[slot.node.at()];
                let here = node.here && !node.liar;
                coded += u16::from(here && !slot.whole);
                whole |= here && slot.whole;
            }
            let stored = f64::from(object.alive_coded) / f64::from(kept.aim.k)
                + f64::from(object.alive_wholes);
            let figures = &mut kept.figures;
            figures.samples += 1;
            figures.stored += stored;
            figures.stored_most = figures.stored_most.max(stored);
            figures.readable += u64::from(whole || coded >= kept.aim.k);
        }
        self.at(now_ms + 25 * HOUR_MS, Happens::Sample);
    }
}
