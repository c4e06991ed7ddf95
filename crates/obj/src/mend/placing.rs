//! Finding holders for shards that were made again, several at one time.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;
use craftec_core::{Cid, PeerId, placement::rank_holders};
use craftec_p2p::Role;
use futures::{StreamExt, stream};

use super::{Inner, care::Care};
use crate::{
    objects::MadeShard,
    replicate::{Asker, LentRecord, wire::Hold},
};

/// Shards on their way at one time.
const AT_ONCE: usize = 4;
/// Peers that may fall silent over one shard before it waits for the next turn.
const SILENT: usize = 4;
/// Peers that may refuse in one look: an answer is soon there, and many have no room.
const REFUSALS: usize = 64;
/// A holder that doesn't answer at all for so long is given up for now: a link to a tab that was closed
/// looks alive for ten seconds and more, and each shard may meet several of them.
const FIRST: Duration = Duration::from_secs(2);
/// One that tells nothing more for so long is given up; it tells something every five seconds.
const SILENCE: Duration = Duration::from_secs(8);

/// Who holds how many, who is not to be asked, and which names come with what is placed.
pub(super) struct Holders {
    loads: RefCell<BTreeMap<PeerId, usize>>,
    refused: RefCell<BTreeSet<PeerId>>,
    heads: Vec<Bytes>,
    refusals: Cell<usize>,
}

impl Holders {
    pub(super) fn new(loads: BTreeMap<PeerId, usize>, refused: BTreeSet<PeerId>) -> Self {
        let (loads, refused) = (RefCell::new(loads), RefCell::new(refused));
        Self { loads, refused, heads: Vec::new(), refusals: Cell::new(0) }
    }

    /// With each copy come these signed names.
    pub(super) fn with_heads(mut self, heads: Vec<Bytes>) -> Self {
        self.heads = heads;
        self
    }

    /// Asks this one no more.
    pub(super) fn refuse(&self, peer: PeerId) {
        self.refused.borrow_mut().insert(peer);
    }
}

impl Inner {
    /// Finds a holder for each of `shards`; `silent` said nothing when they were asked what they have.
    pub(super) async fn place_all(
        &self,
        object: Cid,
        shards: &[MadeShard],
        lent: &LentRecord,
        silent: BTreeSet<PeerId>,
    ) {
        let loads = self.cares.borrow().get(&object).map(Care::present).unwrap_or_default();
        let holders = Holders::new(loads, silent);
        let placing = stream::iter(shards).for_each_concurrent(AT_ONCE, async |shard| {
            let Some(peer) = self.place(shard, lent, &holders).await else { return };
            self.count(|mended| {
                mended.shards += 1;
                mended.written_bytes += shard.bytes;
            });
            if let Some(care) = self.cares.borrow_mut().get_mut(&object) {
                care.placed(peer, shard.index, self.clock.now().0);
            }
        });
        placing.await;
    }

    /// Finds a holder for a shard: of those that are connected the one with the fewest.
    pub(super) async fn place(
        &self,
        shard: &MadeShard,
        lent: &LentRecord,
        all: &Holders,
    ) -> Option<PeerId> {
        let mut silent = 0;
        while silent < SILENT && all.refusals.get() < REFUSALS && !self.stopped.get() {
            let peer = self.least_loaded(shard, all)?;
            // It is reckoned from now on, so that the shards beside this one go to others.
            *all.loads.borrow_mut().entry(peer).or_default() += 1;
            let hold = Hold {
                root: shard.root,
                bytes: shard.bytes,
                blocks: shard.blocks,
                owner: lent.owner,
                epoch: lent.epoch,
                heads: all.heads.clone(),
            };
            match self.asker().hold(peer, hold, |_| !self.stopped.get()).await {
                Ok(_) => return Some(peer),
                Err(no) => {
                    tracing::debug!(%peer, reason = no.reason, "it takes no shard");
                    all.refuse(peer);
                    match no.pause {
                        Some(_) => all.refusals.set(all.refusals.get() + 1),
                        None => silent += 1,
                    }
                }
            }
        }
        None
    }

    fn least_loaded(&self, shard: &MadeShard, all: &Holders) -> Option<PeerId> {
        let (loads, refused) = (all.loads.borrow(), all.refused.borrow());
        let peers = self.rpc.network().peers().into_iter();
        let peers = peers.filter(|info| info.role != Role::Foreign).map(|info| info.peer);
        let peers = peers.filter(|peer| !self.is_evicted(peer) && !refused.contains(peer));
        let ranked = rank_holders(&shard.root, peers).into_iter();
        ranked.min_by_key(|peer| loads.get(peer).copied().unwrap_or_default())
    }

    /// Asks peers to hold something.
    pub(super) fn asker(&self) -> Asker<'_> {
        Asker {
            rpc: &self.rpc,
            clock: self.clock.clone(),
            exchange: self.objects.exchange().clone(),
            first: FIRST,
            silence: SILENCE,
        }
    }
}
