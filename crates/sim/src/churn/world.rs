//! A world: nodes come, go and return, objects lose pieces, and whoever's turn it is mends them.
//! Event-driven; one seed, one run.

use std::{cmp::Reverse, collections::BinaryHeap};

use craftec_obj::heal::{aim::Aim, history::Kind, policy::Held};

use super::{
    config::{Config, DAY_MS, HOUR_MS, MONTH_MS},
    dice::Dice,
    figures::Figures,
    node::{Node, NodeId},
    object::{Object, Slot, View},
    plan::Scheme,
};

/// One object of each other scheme for so many of ours.
const PEERS: u32 = 48;

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Happens {
    /// A node leaves, or comes back.
    Toggle(NodeId, u32),
    /// A node departs for good, at whatever turn it then is.
    Depart(NodeId, u32),
    /// An absent node has been waited for long enough.
    GiveUp(NodeId, u32),
    /// The same for its whole copies.
    GiveUpWhole(NodeId, u32),
    /// A liar is asked for proofs.
    Audit(NodeId, u32),
    /// The holders' look at an object, and the turn of one of them to act.
    Look(u32),
    Turn(u32, NodeId, u32),
    /// Many tabs close.
    Close,
    /// Nodes of one hand depart.
    Together,
    /// All objects are put.
    Put,
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
    /// What is known of each node.
    pub(super) views: Vec<View>,
    pub(super) free: Vec<NodeId>,
    pub(super) here: Vec<NodeId>,
    pub(super) objects: Vec<Object>,
    pub(super) kept: Vec<Kept>,
    /// Tabs and steady nodes, as they are known.
    pub(super) kinds: [Kind; 2],
    /// Nodes of each kind that are not given up.
    pub(super) counted: [u64; 2],
    /// Time from a decoding's begin to its end, on average.
    pub(super) mend_ms: f64,
    /// From departures to giving up, in hours.
    pub(super) delays: Vec<u32>,
    pub(super) false_alarms: u64,
    pub(super) convicted: u64,
    pub(super) samples: u32,
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
            views: Vec::new(),
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
        world.at(config.put_ms(), Happens::Put);
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
                Happens::GiveUpWhole(node, turn) if self.is_at(node, turn) => {
                    self.give_up_whole(node);
                }
                Happens::Audit(node, life) if self.lives(node, life) => self.audit(node),
                Happens::Look(object) => self.look(object),
                Happens::Turn(object, node, place) => self.turn(object, node, place),
                Happens::Close => self.close(),
                Happens::Together => self.together(),
                Happens::Put => self.put_all(),
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
        let view = View { here: false, counted: true, trusted: true, group: node.group() };
        let life_ms = Node::life_ms(self.config, &mut self.dice);
        let session_ms = node.session_ms(self.config, &mut self.dice);
        if id.at() == self.nodes.len() {
            self.nodes.push(node);
            self.views.push(view);
        } else {
            self.nodes[id.at()] = node;
            self.views[id.at()] = view;
        }
        self.list(id);
        self.at(now_ms + life_ms, Happens::Depart(id, life));
        self.at(now_ms + session_ms, Happens::Toggle(id, turn));
    }

    pub(super) fn list(&mut self, id: NodeId) {
        self.views[id.at()].here = true;
        self.nodes[id.at()].listed = self.here.len();
        self.here.push(id);
    }

    pub(super) fn unlist(&mut self, id: NodeId) {
        self.views[id.at()].here = false;
        let at = self.nodes[id.at()].listed;
        self.here.swap_remove(at);
        if let Some(moved) = self.here.get(at) {
            self.nodes[moved.at()].listed = at;
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

    fn put_all(&mut self) {
        for scheme in 0..self.kept.len() {
            let share = if scheme == 0 { 1 } else { PEERS };
            for _ in 0..(self.config.objects / share).max(1) {
                let index = self.objects.len() as u32;
                self.objects.push(Object { scheme, ..Object::default() });
                self.put(index);
            }
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

    pub(super) fn lose(&mut self, index: u32) {
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
}
