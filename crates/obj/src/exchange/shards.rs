//! Which shards of coded files are here, and telling peers about it (`/craftec/code/1`): one question
//! and one answer per stream, canonical DAG-CBOR.
//!
//! | message | largest | fields |
//! |---|---|---|
//! | question | 64 bytes | `v` 1, the file, the slot of a healer's turn (0 from readers) |
//! | answer | 8 KiB | `v` 1, whether the whole file is here, per code its shards here, other holders |
//!
//! What is told is not proved: whoever relies on a shard asks for its pieces, which are checked.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use bytes::Bytes;
use craftec_core::{
    Cid, PeerId,
    cbor::{self, CborError},
};
use craftec_p2p::Protocol;
use serde::{Deserialize, Serialize};

use super::Shared;

/// The protocol.
pub const PROTOCOL: Protocol = Protocol { name: "code", versions: &[1] };
/// Codes of one file that are told at most: there is one, unless parameters were changed.
const CODES: usize = 8;
/// Largest question.
const QUESTION_BYTES: usize = 128;
/// Other holders that are told at most: as many as a reader deals with.
const OTHERS: usize = 64;
/// Largest answer: eight codes of 64 shards each, and 64 peers.
const ANSWER_BYTES: usize = 8 << 10;
/// Turns of healers that are remembered, some 8 MB: of what is here, which the space that is lent bounds.
const TURNS: usize = 1 << 17;

/// Asks what is there of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Version of this layout: 1.
    pub v: u16,
    /// The file.
    pub object: Cid,
    /// The slot of the turn that a healer takes; 0 from whoever only reads.
    pub slot: u64,
}

/// What is there of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Version of this layout: 1.
    pub v: u16,
    /// All of it.
    pub whole: bool,
    /// Shards.
    pub codes: Vec<Shards>,
    /// Others that had something of it when they were last asked: so that finding one is finding all,
    /// whatever the DHT forgot.
    pub others: Vec<PeerId>,
}

/// Shards of one code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shards {
    /// The code's block.
    pub code: Cid,
    /// Which, ascending.
    pub indices: serde_bytes::ByteBuf,
}

impl Told {
    /// Reads an answer.
    ///
    /// # Errors
    /// When it is longer than allowed, not canonical, or of another version.
    pub fn read(message: &[u8]) -> Result<Self, CborError> {
        let told: Self = cbor::decode(message, ANSWER_BYTES)?;
        let ascends = |s: &Shards| s.indices.windows(2).all(|two| two[0] < two[1]);
        if told.v != 1
            || told.codes.len() > CODES
            || told.others.len() > OTHERS
            || !told.codes.iter().all(ascends)
        {
            let reason = "not an answer of version 1 about shards".to_owned();
            return Err(CborError::Malformed { reason });
        }
        Ok(told)
    }
}

/// Shards of one file: code, number, and the root of each.
type Roots = BTreeMap<(Cid, u8), Cid>;

/// What is here, by file.
#[derive(Default)]
pub(super) struct Kept {
    /// By file, then by code and number: the shard's root.
    shards: RefCell<BTreeMap<Cid, Roots>>,
    whole: RefCell<BTreeSet<Cid>>,
    packs: RefCell<Packs>,
    /// The latest turn that a healer took, by file.
    turns: RefCell<BTreeMap<Cid, u64>>,
    /// Other holders, by file, as a healer found them.
    others: RefCell<BTreeMap<Cid, Vec<PeerId>>>,
    healer: RefCell<Option<Healer>>,
}

/// Packs that are here.
#[derive(Default)]
struct Packs {
    members: BTreeMap<Cid, Vec<Cid>>,
    /// In how many packs an object is.
    of: BTreeMap<Cid, usize>,
}

impl Packs {
    fn keep(&mut self, pack: Cid, members: &[Cid]) {
        if self.members.insert(pack, members.to_vec()).is_none() {
            members.iter().for_each(|member| *self.of.entry(*member).or_default() += 1);
        }
    }

    fn drop(&mut self, pack: &Cid) -> Vec<Cid> {
        let members = self.members.remove(pack).unwrap_or_default();
        for member in &members {
            if let Some(packs) = self.of.get_mut(member) {
                *packs -= 1;
                if *packs == 0 {
                    self.of.remove(member);
                }
            }
        }
        members
    }
}

/// Hears that a peer takes its turn to look after a file.
pub type Healer = Rc<dyn Fn(PeerId, Cid, u64)>;

impl Kept {
    /// A shard is here: the file, its code, which one, and its root.
    pub(super) fn keep(&self, object: Cid, code: Cid, index: u8, root: Cid) {
        self.shards.borrow_mut().entry(object).or_default().insert((code, index), root);
    }

    /// A shard is here no longer.
    pub(super) fn drop(&self, object: &Cid, code: &Cid, index: u8) {
        let mut shards = self.shards.borrow_mut();
        if let Some(of) = shards.get_mut(object) {
            of.remove(&(*code, index));
            if of.is_empty() {
                shards.remove(object);
            }
            if !shards.contains_key(object) && !self.whole.borrow().contains(object) {
                self.turns.borrow_mut().remove(object);
                self.others.borrow_mut().remove(object);
            }
        }
    }

    /// Whether a file is here, or a shard of it.
    pub(super) fn has_any_of(&self, object: &Cid) -> bool {
        self.is_whole(object) || self.shards.borrow().contains_key(object)
    }

    /// Whether all of a file is here.
    pub(super) fn keep_whole(&self, object: Cid, whole: bool) {
        let mut wholes = self.whole.borrow_mut();
        if whole {
            wholes.insert(object);
        } else if wholes.remove(&object) && !self.shards.borrow().contains_key(&object) {
            self.turns.borrow_mut().remove(&object);
            self.others.borrow_mut().remove(&object);
        }
    }

    /// Everything of which something is here by itself, not in a pack; sorted.
    pub(super) fn all(&self) -> Vec<Cid> {
        let (shards, whole) = (self.shards.borrow(), self.whole.borrow());
        let mut all: Vec<Cid> = shards.keys().chain(whole.iter()).copied().collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Shards of a file that are here: code, index, root.
    pub(super) fn of(&self, object: &Cid) -> Vec<(Cid, u8, Cid)> {
        let shards = self.shards.borrow();
        let of = shards.get(object).into_iter().flatten();
        of.map(|((code, index), root)| (*code, *index, *root)).collect()
    }

    /// The file, the code and the number of a shard that is here.
    fn at(&self, root: &Cid) -> Option<(Cid, Cid, u8)> {
        let shards = self.shards.borrow();
        shards.iter().find_map(|(object, of)| {
            let ((code, index), _) = of.iter().find(|(_, at)| *at == root)?;
            Some((*object, *code, *index))
        })
    }

    pub(super) fn is_whole(&self, object: &Cid) -> bool {
        self.whole.borrow().contains(object) || self.packs.borrow().of.contains_key(object)
    }

    /// The latest turn that somebody took for a file.
    pub(super) fn turn(&self, object: &Cid) -> u64 {
        self.turns.borrow().get(object).copied().unwrap_or_default()
    }

    /// Notes a turn of ours or of a peer.
    pub(super) fn took_turn(&self, object: Cid, slot: u64) {
        let mut turns = self.turns.borrow_mut();
        if turns.len() >= TURNS && !turns.contains_key(&object) {
            turns.pop_first();
        }
        let latest = turns.entry(object).or_default();
        *latest = slot.max(*latest);
    }

    pub(super) fn told(&self, object: &Cid) -> Told {
        let mut codes: BTreeMap<Cid, Vec<u8>> = BTreeMap::new();
        for (code, index, _) in self.of(object) {
            codes.entry(code).or_default().push(index);
        }
        let codes = codes
            .into_iter()
            .take(CODES)
            .map(|(code, indices)| Shards { code, indices: serde_bytes::ByteBuf::from(indices) });
        let others = self.others.borrow().get(object).cloned().unwrap_or_default();
        Told { v: 1, whole: self.is_whole(object), codes: codes.collect(), others }
    }
}

/// Answers from now on.
pub(super) fn start(shared: &Rc<Shared>) {
    let weak = Rc::downgrade(shared);
    let handler = move |peer: PeerId, _version: u16, body: Bytes| {
        let answer = weak.upgrade().and_then(|shared| shared.tell(peer, &body)).unwrap_or_default();
        let future: futures::future::LocalBoxFuture<'static, Bytes> =
            Box::pin(std::future::ready(Bytes::from(answer)));
        future
    };
    shared.rpc.serve(PROTOCOL, Rc::new(handler));
}

impl Shared {
    fn tell(&self, peer: PeerId, body: &[u8]) -> Option<Vec<u8>> {
        self.standing.borrow_mut().asked(peer, self.clock.monotonic()).ok()?;
        let question: Question = cbor::decode(body, QUESTION_BYTES).ok()?;
        let nothing = Told { v: 1, whole: false, codes: Vec::new(), others: Vec::new() };
        let told = match question.v == 1 && !self.is_denied(&question.object) {
            true => self.kept.told(&question.object),
            false => nothing,
        };
        if question.slot > 0 && (told.whole || !told.codes.is_empty()) {
            let healer = self.kept.healer.borrow().clone();
            healer.into_iter().for_each(|heard| heard(peer, question.object, question.slot));
        }
        cbor::encode(&told).ok()
    }
}

impl super::Exchange {
    /// A shard of a file is here from now on.
    pub fn keeps_shard(&self, object: Cid, code: Cid, index: u8, root: Cid) {
        self.0.kept.keep(object, code, index, root);
    }

    /// A shard is here no longer.
    pub fn drops_shard(&self, object: &Cid, code: &Cid, index: u8) {
        self.0.kept.drop(object, code, index);
    }

    /// All of a file is here, or no longer.
    pub fn keeps_whole(&self, object: Cid, whole: bool) {
        self.0.kept.keep_whole(object, whole);
    }

    /// All objects in a pack are here.
    pub fn keeps_pack(&self, pack: Cid, members: &[Cid]) {
        self.0.kept.packs.borrow_mut().keep(pack, members);
    }

    /// A pack is here no longer; the objects that were in it.
    pub fn drops_pack(&self, pack: &Cid) -> Vec<Cid> {
        self.0.kept.packs.borrow_mut().drop(pack)
    }

    /// Whether an object is here, by itself or in a pack, or a shard of it.
    pub fn has_any_of(&self, object: &Cid) -> bool {
        self.0.kept.has_any_of(object)
    }

    /// Everything that is here whole, or of which shards are here, sorted.
    pub fn kept_objects(&self) -> Vec<Cid> {
        self.0.kept.all()
    }

    /// Shards of a file that are here: code, index, root.
    pub fn shards_of(&self, object: &Cid) -> Vec<(Cid, u8, Cid)> {
        self.0.kept.of(object)
    }

    /// The file, the code and the number of a shard that is here, by its root.
    pub fn shard_at(&self, root: &Cid) -> Option<(Cid, Cid, u8)> {
        self.0.kept.at(root)
    }

    /// What is here of a file, as peers are told.
    pub fn told_of(&self, object: &Cid) -> Told {
        self.0.kept.told(object)
    }

    /// Hears of peers that take their turn to look after something that is here.
    pub fn hear_turns(&self, healer: Healer) {
        *self.0.kept.healer.borrow_mut() = Some(healer);
    }

    /// Notes who else has something of what is here, for those who ask.
    pub fn knows_holders(&self, object: Cid, mut others: Vec<PeerId>) {
        others.truncate(OTHERS);
        if self.0.kept.is_whole(&object) || !self.0.kept.of(&object).is_empty() {
            self.0.kept.others.borrow_mut().insert(object, others);
        }
    }

    /// The latest turn that somebody took for a file, as far as was heard.
    pub fn turn(&self, object: &Cid) -> u64 {
        self.0.kept.turn(object)
    }

    /// Notes that a turn was taken.
    pub fn took_turn(&self, object: Cid, slot: u64) {
        self.0.kept.took_turn(object, slot);
    }

    /// Asks a peer what it has of a file. `None` where it gave no answer in time.
    pub async fn ask_shards(&self, peer: PeerId, object: Cid, slot: u64) -> Option<Told> {
        self.0.ask_shards(peer, object, slot).await
    }
}

/// How long a peer may take to tell.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);

impl Shared {
    pub(super) async fn ask_shards(&self, peer: PeerId, object: Cid, slot: u64) -> Option<Told> {
        let body = cbor::encode(&Question { v: 1, object, slot }).ok()?;
        match self.rpc.request(peer, PROTOCOL, body, TIMEOUT).await {
            Ok(answer) => Told::read(&answer)
                .inspect_err(|error| tracing::debug!(%peer, %error, "no answer about shards"))
                .ok(),
            Err(error) => {
                tracing::debug!(%peer, %error, "no answer about shards");
                None
            }
        }
    }
}
