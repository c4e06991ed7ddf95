//! What is kept in whole copies (folders, sites, small objects) is looked after by those who promised
//! one, by the same turns: whoever looks asks who has it, and finds a holder for each copy that is
//! missing. Nothing has to be read for that, since it is here.

use std::collections::BTreeSet;

use bytes::Bytes;
use craftec_core::{Cid, PeerId};

use super::{Inner, placing::Holders, silent};
use crate::{
    ObjError,
    objects::MadeShard,
    replicate::{
        LentRecord,
        wire::{HEADS, Hold},
    },
};

impl Inner {
    /// Looks after something that is kept in whole copies, if one was promised here.
    pub(super) async fn look_after_copies(&self, object: Cid, slot: u64) -> Result<(), ObjError> {
        let Some(lent) = self.lent_for(object)? else { return Ok(()) };
        if !self.heed_owner(object, &lent).await? {
            return Ok(());
        }
        let answers = self.believed(object, slot).await;
        let mut told = answers.iter().filter_map(|(.., told)| told.as_ref());
        if told.any(|told| !told.codes.is_empty()) {
            // It is a coded file, which was read here for a repair: those with its shards look after it.
            return Ok(());
        }
        let me = self.rpc.network().local_peer();
        let exchange = self.objects.exchange();
        let now_ms = self.clock.now().0;
        let (missing, present) = {
            let mut cares = self.cares.borrow_mut();
            let care = cares.entry(object).or_default();
            let (own, kind) = (exchange.told_of(&object), &mut self.kind.borrow_mut());
            // There is no code, and so no shard of it.
            care.heard(me, &own, &answers, object, kind, now_ms);
            let present = care.present().into_keys().filter(|peer| *peer != me);
            (care.missing_copies(kind, now_ms), present.collect::<Vec<_>>())
        };
        self.count(|mended| mended.looks += 1);
        exchange.knows_holders(object, present.clone());
        if missing > 0 {
            self.copy(object, &lent, missing, &present, silent(&answers)).await?;
        }
        self.renew_copies(object, &present).await
    }

    /// Finds a holder for each of `missing` copies.
    async fn copy(
        &self,
        object: Cid,
        lent: &LentRecord,
        missing: usize,
        present: &[PeerId],
        silent: BTreeSet<PeerId>,
    ) -> Result<(), ObjError> {
        let blocks = self.objects.local_blocks(object).await?;
        let cost = lent.bytes.saturating_mul(missing as u64);
        if let Err(wait) = self.budget.borrow_mut().spend(cost, self.clock.now().0) {
            tracing::info!(%object, cost, ?wait, "no copies now: their cost is above the budget");
            return Ok(());
        }
        let unit = MadeShard { index: 0, root: object, blocks, bytes: lent.bytes };
        // One copy each.
        let taken = silent.into_iter().chain(present.iter().copied()).collect();
        let holders = Holders::new(Default::default(), taken).with_heads(self.heads(&object));
        for _ in 0..missing {
            let Some(peer) = self.place(&unit, lent, &holders).await else { break };
            tracing::debug!(%object, %peer, "another copy");
            holders.refuse(peer);
            self.count(|mended| {
                mended.copies += 1;
                mended.written_bytes += lent.bytes;
            });
            if let Some(care) = self.cares.borrow_mut().get_mut(&object) {
                care.copied(peer, self.clock.now().0);
            }
        }
        Ok(())
    }

    /// Asks the other holders to promise for longer, when half of the time is over.
    async fn renew_copies(&self, object: Cid, holders: &[PeerId]) -> Result<(), ObjError> {
        let Some(lent) = self.renewed(object)? else { return Ok(()) };
        let blocks = self.objects.local_blocks(object).await?;
        for peer in holders {
            let hold = Hold {
                root: object,
                bytes: lent.bytes,
                blocks,
                owner: lent.owner,
                epoch: lent.epoch,
                heads: self.heads(&object),
            };
            if let Err(no) = self.asker().hold(*peer, hold, |_| !self.stopped.get()).await {
                tracing::debug!(%peer, reason = no.reason, "its promise was not renewed");
            }
        }
        Ok(())
    }

    /// Names that point to what is kept, as far as they fit a question.
    fn heads(&self, object: &Cid) -> Vec<Bytes> {
        let mut heads = self.around.heads_of(object);
        heads.truncate(HEADS);
        heads
    }
}
