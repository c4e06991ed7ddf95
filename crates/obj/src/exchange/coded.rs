//! Reading a coded file where some of its leaves are with nobody: what else there is of their
//! generation is fetched, any k pieces of it, and the leaves are computed and checked.
//!
//! A session whose root is a file of several blocks asks each holder which shards it has, and again
//! where nothing came for a while: a session is used for as long as somebody may read, and by then
//! holders have gone and others have their shards. From then on the plan asks a holder only for what
//! its shards hold, and a leaf that nobody can give, or that is late, is recovered. What holders tell
//! is not trusted: pieces are checked by their names, and a code that does not give the file back is
//! set aside with all that was said about it.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    rc::{Rc, Weak},
    time::Duration,
};

use bytes::Bytes;
use craftec_core::{Cid, Codec, PeerId};
use craftec_platform::timeout;
use futures::{StreamExt, future::LocalBoxFuture, stream::FuturesUnordered};

use super::{
    Shared,
    session::{Inner, SEARCH_AGAIN, Session, live},
    shards::Told,
};
use crate::{
    block::Block,
    coded::{self, CODED_BYTES, CodedError, Coding, Piece},
    error::ObjError,
    unixfs::Node,
};

/// How long a generation waits for the pieces it asked for before it asks for as many others.
const PATIENCE: Duration = Duration::from_millis(700);
/// Generations recovered at one time: their pieces are in memory, 16 MiB each.
const AT_ONCE: usize = 3;
/// Codes of one file that are tried: more than one are rare, and somebody may make up many.
const CODES: usize = 4;

/// What a session knows about its file's code.
#[derive(Default)]
pub(super) struct Recovery(RefCell<State>);

/// Whether holders are asked what they have.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Survey {
    /// Not yet.
    #[default]
    Due,
    /// The root is no file that may be coded.
    Needless,
    /// They were, from then on.
    Since(Duration),
}

#[derive(Default)]
struct State {
    survey: Survey,
    asked: BTreeSet<PeerId>,
    told: BTreeMap<PeerId, Told>,
    coding: Option<Rc<Coding>>,
    loading: bool,
    refuted: BTreeSet<Cid>,
    /// Generations being recovered, each with the coded pieces that it asked for.
    running: BTreeMap<u64, BTreeSet<Cid>>,
}

impl Recovery {
    fn coding(&self) -> Option<Rc<Coding>> {
        self.0.borrow().coding.clone()
    }

    /// Whether a piece is only computed with: what it gives is kept, and it need not be.
    pub(super) fn is_passing(&self, piece: &Cid) -> bool {
        self.0.borrow().running.values().any(|asked| asked.contains(piece))
    }

    /// Notes a coded piece that a generation asked for.
    fn passing(&self, generation: u64, piece: Cid) {
        if let Some(asked) = self.0.borrow_mut().running.get_mut(&generation) {
            asked.insert(piece);
        }
    }

    /// Whether a generation may be recovered now: it isn't yet, and not too many others are.
    fn has_room(&self, generation: u64) -> bool {
        let running = &self.0.borrow().running;
        running.len() < AT_ONCE && !running.contains_key(&generation)
    }
}

impl Inner {
    /// Peers that may hold something.
    fn plan_peers(&self) -> Vec<PeerId> {
        self.plan.borrow().peers()
    }

    /// Asks a peer only for `has` from now on, or for anything.
    fn narrow_plan(&self, peer: PeerId, has: Option<Rc<BTreeSet<Cid>>>) {
        self.plan.borrow_mut().narrow(&peer, has);
    }

    /// Whether somebody may give a block.
    fn is_offered(&self, cid: &Cid) -> bool {
        self.plan.borrow().is_offered(cid)
    }

    /// Whether somebody who was heard of may give a block.
    fn is_sure(&self, cid: &Cid) -> bool {
        self.plan.borrow().is_sure(cid)
    }

    /// Leaves that nobody who was heard of may give.
    fn unsure(&self) -> Vec<Cid> {
        self.plan.borrow().unsure()
    }

    /// Leaves that nobody can give, or that are late.
    fn stranded(&self, shared: &Shared) -> Vec<Cid> {
        self.plan.borrow().stranded(shared.clock.monotonic())
    }

    /// Begins to ask who has which shards, where the root is here and a file that may be coded.
    pub(super) fn survey(self: &Rc<Self>, shared: &Rc<Shared>) {
        if self.may_be_coded()
            && let Ok(Some(root)) = shared.peek(&self.root())
        {
            self.survey_of(shared, &root);
        }
    }

    /// The same as soon as the `root` has come: its holders tell what they have while the inner nodes
    /// are on their way, and the first leaf is asked of one who has it.
    pub(super) fn survey_of(self: &Rc<Self>, shared: &Rc<Shared>, root: &Block) {
        if !self.may_be_coded() {
            return;
        }
        let may_be =
            matches!(Node::decode(root.bytes()), Ok(Node::File(file)) if file.size <= CODED_BYTES);
        self.recovery.0.borrow_mut().survey = match may_be {
            true => Survey::Since(shared.clock.monotonic()),
            false => Survey::Needless,
        };
        self.plan_peers().into_iter().for_each(|peer| self.ask_shards(shared, peer));
    }

    fn may_be_coded(&self) -> bool {
        self.root().codec() == Codec::DagPb && self.recovery.0.borrow().survey == Survey::Due
    }

    /// Asks everyone anew, where that was long ago: holders come and go, shards and whole copies move.
    pub(super) fn survey_again(self: &Rc<Self>, shared: &Rc<Shared>, now: Duration) {
        {
            let mut state = self.recovery.0.borrow_mut();
            match state.survey {
                Survey::Since(begun) if now.saturating_sub(begun) >= SEARCH_AGAIN => {}
                _ => return,
            }
            (state.survey, state.asked) = (Survey::Since(now), BTreeSet::new());
        }
        self.plan.borrow_mut().doubt();
        self.plan_peers().into_iter().for_each(|peer| self.ask_shards(shared, peer));
    }

    /// Asks one peer which shards it has, once in a survey.
    pub(super) fn ask_shards(self: &Rc<Self>, shared: &Rc<Shared>, peer: PeerId) {
        {
            let mut state = self.recovery.0.borrow_mut();
            if !matches!(state.survey, Survey::Since(_)) || !state.asked.insert(peer) {
                return;
            }
        }
        let (weak, asking, root) = (Rc::downgrade(self), shared.clone(), self.root());
        shared.clock.spawn(Box::pin(async move {
            let told = asking.ask_shards(peer, root, 0).await;
            drop(asking);
            let Some((inner, shared)) = live(&weak) else { return };
            for other in told.iter().flat_map(|told| &told.others) {
                inner.add_peer(&shared, *other, true);
            }
            match told {
                Some(told) if !told.codes.is_empty() && !told.whole => {
                    inner.recovery.0.borrow_mut().told.insert(peer, told);
                    inner.learn(&shared, peer);
                }
                Some(_) => {
                    // What it told before is over.
                    if inner.recovery.0.borrow_mut().told.remove(&peer).is_some() {
                        inner.narrow_plan(peer, None);
                    }
                }
                // It may answer when it is asked again.
                None => drop(inner.recovery.0.borrow_mut().asked.remove(&peer)),
            }
        }));
    }

    /// Makes use of what a peer told, as soon as the code is known.
    fn learn(self: &Rc<Self>, shared: &Rc<Shared>, peer: PeerId) {
        match self.recovery.coding() {
            Some(coding) => {
                self.narrow(&coding, peer);
                self.recover(shared);
                self.clone().pump(shared);
            }
            None => self.load(shared),
        }
    }

    /// From now on a peer is asked only for what its shards hold.
    fn narrow(&self, coding: &Coding, peer: PeerId) {
        let state = self.recovery.0.borrow();
        let told = state.told.get(&peer).into_iter().flat_map(|told| &told.codes);
        let mut has = BTreeSet::new();
        for shard in told.filter(|shards| shards.code == *coding.code()) {
            let roots = shard.indices.iter().filter_map(|index| coding.shard(*index));
            has.extend(roots.flat_map(|shard| shard.links().collect::<Vec<_>>()));
        }
        drop(state);
        if !has.is_empty() {
            self.narrow_plan(peer, Some(Rc::new(has)));
        }
    }

    /// Fetches the code that most peers name.
    fn load(self: &Rc<Self>, shared: &Rc<Shared>) {
        let code = {
            let mut state = self.recovery.0.borrow_mut();
            if state.loading || state.refuted.len() >= CODES {
                return;
            }
            let mut named: BTreeMap<Cid, usize> = BTreeMap::new();
            for shards in state.told.values().flat_map(|told| &told.codes) {
                *named.entry(shards.code).or_default() += 1;
            }
            named.retain(|code, _| !state.refuted.contains(code));
            let Some((code, _)) = named.into_iter().max_by_key(|(_, peers)| *peers) else { return };
            state.loading = true;
            code
        };
        let session = Session { shared: shared.clone(), inner: self.clone(), errand: false };
        let weak = Rc::downgrade(self);
        shared.clock.spawn(Box::pin(async move {
            let loaded = load(&session, code).await;
            drop(session);
            let Some((inner, shared)) = live(&weak) else { return };
            let peers: Vec<PeerId> = {
                let mut state = inner.recovery.0.borrow_mut();
                state.loading = false;
                match loaded {
                    Ok(coding) => state.coding = Some(Rc::new(coding)),
                    Err(error) => {
                        tracing::debug!(%code, %error, "a code could not be used");
                        state.refuted.insert(code);
                    }
                }
                state.told.keys().copied().collect()
            };
            match inner.recovery.coding() {
                Some(coding) => peers.iter().for_each(|peer| inner.narrow(&coding, *peer)),
                None => inner.load(&shared),
            }
            inner.recover(&shared);
            inner.pump(&shared);
        }));
    }

    /// Recovers what is late or with nobody, and at once what nobody who was heard of has, where enough
    /// other pieces are with such: the rest may be dead, and would be waited for in vain.
    pub(super) fn recover(self: &Rc<Self>, shared: &Rc<Shared>) {
        let Some(coding) = self.recovery.coding() else { return };
        let generations = |leaves: Vec<Cid>| -> BTreeSet<u64> {
            leaves.iter().filter_map(|leaf| Some(coding.source(leaf)?.generation)).collect()
        };
        let (unsure, stranded) = (generations(self.unsure()), generations(self.stranded(shared)));
        // In the order of the file, which most read it in.
        for generation in &unsure | &stranded {
            let enough =
                |there: fn(&Self, &Cid) -> bool| self.reaches(shared, &coding, generation, there);
            let begun = self.recovery.has_room(generation)
                && (enough(Self::is_sure)
                    || (stranded.contains(&generation) && enough(Self::is_offered)));
            if begun {
                self.begin(shared, &coding, generation);
            }
        }
    }

    fn begin(self: &Rc<Self>, shared: &Rc<Shared>, coding: &Rc<Coding>, generation: u64) {
        self.recovery.0.borrow_mut().running.insert(generation, BTreeSet::new());
        let work = Generation {
            weak: Rc::downgrade(self),
            coding: coding.clone(),
            generation,
            tried: BTreeSet::new(),
            pieces: Vec::new(),
        };
        let (weak, coding) = (Rc::downgrade(self), coding.clone());
        shared.clock.spawn(Box::pin(async move {
            let done = work.run().await;
            let Some((inner, shared)) = live(&weak) else { return };
            inner.recovery.0.borrow_mut().running.remove(&generation);
            match done {
                Ok(leaves) => inner.recovered(&shared, leaves),
                Err(error) => inner.not_recovered(&shared, &coding, &error),
            }
        }));
    }

    /// Whether enough pieces of a generation are here or `there`.
    fn reaches(
        &self,
        shared: &Shared,
        coding: &Coding,
        generation: u64,
        there: fn(&Self, &Cid) -> bool,
    ) -> bool {
        let spread = coding.spread();
        let there = |piece: &Piece| {
            let cid = coding.cid(*piece);
            cid.is_some_and(|cid| there(self, &cid) || shared.has(&cid).unwrap_or(false))
        };
        let needed = usize::from(spread.sources(generation));
        spread.generation(generation).filter(there).take(needed).count() == needed
    }

    fn recovered(self: &Rc<Self>, shared: &Rc<Shared>, leaves: Vec<Block>) {
        for leaf in leaves {
            self.found(&leaf);
            // Some came as they are, and are on their way to the disk.
            if !shared.has(leaf.cid()).unwrap_or(false) {
                shared.keep(leaf);
            }
        }
        self.clone().pump(shared);
    }

    fn not_recovered(self: &Rc<Self>, shared: &Rc<Shared>, coding: &Coding, error: &CodedError) {
        tracing::debug!(root = %self.root(), %error, "a generation was not recovered");
        if !matches!(error, CodedError::NotItsCode { .. }) {
            return;
        }
        tracing::warn!(root = %self.root(), code = %coding.code(), "a code that is not its file's");
        let told: Vec<PeerId> = {
            let mut state = self.recovery.0.borrow_mut();
            state.refuted.insert(*coding.code());
            state.coding = None;
            state.told.keys().copied().collect()
        };
        told.into_iter().for_each(|peer| self.narrow_plan(peer, None));
        self.load(shared);
    }
}

/// The code and the file's inner nodes.
async fn load(session: &Session, code: Cid) -> Result<Coding, LoadError> {
    let code = session.block(code).await?;
    let root = session.block(session.root()).await?;
    let mut nodes = vec![root];
    if let Ok(Node::File(file)) = Node::decode(nodes[0].bytes()) {
        let links = file.links.iter().map(|link| link.cid);
        let inner: Vec<Cid> = links.filter(|cid| cid.codec() == Codec::DagPb).take(64).collect();
        let mut blocks = session.blocks(inner);
        while let Some(block) = blocks.next().await {
            nodes.push(block?);
        }
    }
    // A file of equal parts names one node many times.
    let mut seen = BTreeSet::new();
    nodes.retain(|node| seen.insert(*node.cid()));
    Ok(Coding::new(&code, &nodes)?)
}

#[derive(Debug, thiserror::Error)]
enum LoadError {
    #[error(transparent)]
    Read(#[from] ObjError),
    #[error(transparent)]
    Code(#[from] coded::CodedError),
}

/// One generation that is being recovered.
struct Generation {
    weak: Weak<Inner>,
    coding: Rc<Coding>,
    generation: u64,
    tried: BTreeSet<u8>,
    pieces: Vec<(u8, Bytes)>,
}

type Coming = LocalBoxFuture<'static, (u8, Result<Block, ObjError>)>;

impl Generation {
    async fn run(mut self) -> Result<Vec<Block>, CodedError> {
        let needed = usize::from(self.coding.spread().sources(self.generation));
        let too_few = |found| CodedError::TooFew { found, needed };
        let mut coming: FuturesUnordered<Coming> = FuturesUnordered::new();
        let mut spare = 0;
        while self.pieces.len() < needed {
            let Some((inner, shared)) = live(&self.weak) else {
                return Err(too_few(self.pieces.len()));
            };
            let more = (needed + spare).saturating_sub(self.pieces.len() + coming.len());
            if more > 0 {
                coming.extend(self.ask(&inner, &shared, more));
            }
            let clock = shared.clock.clone();
            drop((inner, shared));
            if self.pieces.len() >= needed {
                break;
            }
            if coming.is_empty() {
                return Err(too_few(self.pieces.len()));
            }
            match timeout(&*clock, PATIENCE, coming.next()).await {
                Ok(Some((index, Ok(block)))) => self.pieces.push((index, block.into_bytes())),
                Ok(_) => {}
                // Whoever owes them is slow: as many others are asked.
                Err(_) => spare += needed - self.pieces.len(),
            }
        }
        self.coding.restore(self.generation, &self.pieces)
    }

    /// Takes pieces that are here, and asks for `more` that are not.
    fn ask(&mut self, inner: &Rc<Inner>, shared: &Rc<Shared>, more: usize) -> Vec<Coming> {
        let mut asked = Vec::new();
        let (spread, needed) = (*self.coding.spread(), self.pieces.len() + more);
        // First what is here or with somebody who was heard of: others may have died.
        let sure = |piece: &Piece| {
            let cid = self.coding.cid(*piece);
            cid.is_some_and(|cid| inner.is_sure(&cid) || shared.has(&cid).unwrap_or(false))
        };
        let (sure, rest): (Vec<_>, Vec<_>) = spread.generation(self.generation).partition(sure);
        for piece in sure.into_iter().chain(rest) {
            if self.pieces.len() + asked.len() >= needed {
                break;
            }
            let Some(cid) = self.coding.cid(piece) else { continue };
            if self.tried.contains(&piece.index) {
                continue;
            }
            if let Ok(Some(block)) = shared.local(&cid) {
                self.tried.insert(piece.index);
                self.pieces.push((piece.index, block.into_bytes()));
            } else if inner.is_offered(&cid) {
                self.tried.insert(piece.index);
                if spread.leaf(piece).is_none() {
                    inner.recovery.passing(self.generation, cid);
                }
                let coming = inner.want(shared, cid, false);
                let index = piece.index;
                asked.push(Box::pin(async move {
                    (index, coming.await.unwrap_or(Err(ObjError::Missing { cid })))
                }) as Coming);
            }
        }
        if !asked.is_empty() {
            inner.clone().pump(shared);
        }
        asked
    }
}
