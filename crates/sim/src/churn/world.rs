//! A world: nodes come, go and return, objects lose pieces, and whoever's turn it is mends them.
//! Event-driven; one seed, one run.

use craftec_obj::heal::{aim::Aim, forecast::YEAR_MS, history::Kind, policy::Held};

use super::{
    config::{Config, DAY_MS, HOUR_MS, MONTH_MS},
    dice::{Dice, mix},
    figures::{Figures, Stock},
    node::{Node, NodeId},
    object::{Object, View},
    plan::Scheme,
    queue::Queue,
};

/// One object of each other scheme for so many of ours, and so many at most: enough for their traffic.
const PEERS: u32 = 48;
const PEERS_MOST: u32 = 128;

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
    events: Queue<Happens>,
    /// When measurement begins.
    pub(super) settle_ms: u64,
    pub(super) slot_ms: u64,
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
    /// Closings of tabs, and departures of one hand's nodes, that were measured.
    pub(super) closings: u64,
    pub(super) left_together: u64,
    /// By hour of the world's day: sums of the share of nodes that are here, and of how many.
    pub(super) hours: [(f64, u64); 24],
    /// A buffer for what the policy is shown.
    pub(super) held: Vec<Held>,
    /// Buffers: of objects that are walked over, and of holders' places in a slot.
    pub(super) asked: Vec<u32>,
    pub(super) weights: Vec<(u64, NodeId)>,
    /// A running hash of what happened.
    pub(super) trace: u64,
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
            events: Queue::new(),
            settle_ms: config.settle_ms(),
            slot_ms: config.slot_ms(),
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
            closings: 0,
            left_together: 0,
            hours: [(0.0, 0); 24],
            held: Vec::new(),
            asked: Vec::new(),
            weights: Vec::new(),
            trace: mix(seed),
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
        self.events.push(at_ms.max(self.now_ms), what);
    }

    /// Lives through all of it; tells the years that passed, and how many objects of ours were lost.
    pub(super) fn run(&mut self, tell: &dyn Fn(f64, u64)) {
        let end_ms = self.config.end_ms();
        let mut years = 0;
        while let Some((at_ms, what)) = self.events.pop() {
            if at_ms >= end_ms {
                break;
            }
            self.now_ms = at_ms;
            if at_ms / YEAR_MS > years {
                years = at_ms / YEAR_MS;
                let figures = &self.kept[0].figures;
                tell(years as f64, figures.lost + figures.lost_settling);
            }
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
        (0..self.objects.len() as u32).for_each(|index| self.weigh(index));
    }

    pub(super) fn measures(&self) -> bool {
        self.now_ms >= self.settle_ms
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
        let operated = node.operated;
        let view = View { here: false, counted: true, trusted: true, operated };
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
        self.weigh(index);
        let node = &mut self.nodes[id.at()];
        if whole {
            node.wholes.push(index);
        } else {
            node.pieces.push(index);
        }
        let (liar, life, asked) = (node.liar, node.life, node.audited);
        node.audited = true;
        let (object, view) = (&mut self.objects[index as usize], self.views[id.at()]);
        if whole {
            object.wholes.push(id);
        } else {
            object.pieces.push(id);
            if view.counted {
                object.counts(view);
            }
        }
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
            let objects = match scheme {
                0 => self.config.objects,
                _ => (self.config.objects / PEERS).clamp(1, PEERS_MOST),
            };
            for _ in 0..objects {
                let index = self.objects.len() as u32;
                self.objects.push(Object::new(scheme, self.now_ms));
                self.put(index);
            }
        }
    }

    /// A fresh object.
    fn put(&mut self, index: u32) {
        let (now_ms, scheme) = (self.now_ms, self.objects[index as usize].scheme.into());
        let kept: &mut Kept = &mut self.kept[scheme];
        let pieces = kept.scheme.first_pieces(self.config.k);
        kept.figures.objects += 1;
        self.objects[index as usize] = Object::new(scheme, now_ms);
        for _ in 0..pieces {
            if let Some(holder) = self.new_holder(index) {
                self.give(index, holder, false);
            }
        }
    }

    /// An object is gone; another one is put in its place.
    pub(super) fn lose(&mut self, index: u32) {
        let measures = self.measures();
        let object = &mut self.objects[index as usize];
        let (scheme, age_ms) = (usize::from(object.scheme), self.now_ms - object.born_ms);
        let (pieces, wholes) =
            (std::mem::take(&mut object.pieces), std::mem::take(&mut object.wholes));
        let awaited = object.awaited;
        let figures = &mut self.kept[scheme].figures;
        figures.lost += u64::from(measures);
        figures.lost_settling += u64::from(!measures);
        figures.lost_at.push((age_ms / MONTH_MS) as u32);
        self.note(index, u64::MAX);
        for id in pieces {
            self.nodes[id.at()].drop_piece(index);
        }
        for id in wholes {
            self.nodes[id.at()].drop_whole(index);
        }
        self.put(index);
        self.objects[index as usize].awaited = awaited;
    }

    /// Accounts for what was stored of an object until now; to be called before that changes.
    pub(super) fn weigh(&mut self, index: u32) {
        let object = &mut self.objects[index as usize];
        let passed_ms = self.now_ms - object.weighed_ms;
        if passed_ms == 0 {
            return;
        }
        let measured_ms = passed_ms.min(self.now_ms.saturating_sub(self.settle_ms));
        object.weighed_ms = self.now_ms;
        let kept = &mut self.kept[usize::from(object.scheme)];
        let k = kept.aim.k;
        let reading = object.decoding.as_ref().map_or(0, |decoding| decoding.from.len());
        let stock = Stock {
            stored: object.stored(k),
            reading: reading as u32,
            wholes: object.alive_wholes,
            k,
        };
        kept.figures.weigh(stock, passed_ms, measured_ms);
    }

    /// Writes something down in the trace.
    pub(super) fn note(&mut self, index: u32, what: u64) {
        let at = mix(self.trace ^ self.now_ms);
        self.trace = mix(at ^ u64::from(index) ^ what.rotate_left(32));
    }
}
