//! What the owner says of an object: how many copies are wanted, and that it is not wanted any more.
//! Holders renew each other's promises, so they must hear of that from somewhere: the owner's placement
//! record in the DHT says so for as long as the DHT keeps it, and whoever looks reads it now and then.

use std::time::Duration;

use craftec_core::{
    Cid,
    placement::{Placement, placement_key},
    record::Record,
};
use craftec_p2p::Key;
use craftec_platform::timeout;

use super::Inner;
use crate::{ObjError, replicate::LentRecord};

/// How long the DHT is asked for it.
const PATIENCE: Duration = Duration::from_secs(3);

impl Inner {
    /// Reads what the owner says, where that was not done lately. `false` if it wants nothing kept:
    /// what is here for it is let go then.
    pub(super) async fn heed_owner(
        &self,
        object: Cid,
        lent: &LentRecord,
    ) -> Result<bool, ObjError> {
        let now_ms = self.clock.now().0;
        if !self.cares.borrow_mut().entry(object).or_default().owner_is_due(now_ms) {
            return Ok(true);
        }
        let Some(said) = self.said_by_owner(object, lent).await else { return Ok(true) };
        if said.n > 0 || said.epoch <= lent.epoch {
            self.cares.borrow_mut().entry(object).or_default().wants(said.n);
            return Ok(true);
        }
        tracing::info!(%object, owner = %lent.owner, "its owner wants it kept no longer");
        let shards = self.objects.exchange().shards_of(&object);
        for root in shards.into_iter().map(|(_, _, root)| root).chain([object]) {
            let records = LentRecord::of(self.objects.store(), &root)?;
            // Others may want the same bytes.
            for record in records.into_iter().filter(|record| record.owner == lent.owner) {
                record.drop(self.objects.store())?;
                self.objects.let_go(root).await?;
            }
        }
        Ok(false)
    }

    /// The newest placement that the DHT has.
    async fn said_by_owner(&self, object: Cid, lent: &LentRecord) -> Option<Placement> {
        let key = placement_key(&object, &lent.owner);
        let asked = self.rpc.network().records(Key(key));
        let found = timeout(&*self.clock, PATIENCE, asked).await.ok()?.ok()?;
        let now_ms = self.clock.now().0;
        let placements =
            found.iter().filter_map(|record| match Record::verify(&key, &record.value, now_ms) {
                Ok(Record::Placement(record)) => Some(record.placement),
                Ok(Record::Head(_)) | Err(_) => None,
            });
        placements.max_by_key(|placement| (placement.epoch, placement.time_ms))
    }
}
