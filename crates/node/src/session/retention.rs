//! Which snapshots of a database stay. They are objects of their own, each with its pins and copies; a rule
//! lets old ones go as `unpin` would, and the blocks that nothing else reaches go with them.

use std::cmp::Reverse;

use craftec_api::{ApiError, Reply, Retention};
use craftec_core::{Cid, Codec};

use super::Session;
use crate::{databases::Own, fault};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

impl Session {
    pub(super) async fn sql_retain(
        &self,
        handle: u64,
        rule: Option<Retention>,
    ) -> Result<Reply, ApiError> {
        let own = self.own(handle)?;
        if rule.is_some_and(|rule| rule.last == 0) {
            return Err(fault::input("At least one snapshot stays."));
        }
        let _publishing = own.publishing.lock().await;
        let mut record = self.node.database_record(&own)?;
        record.retention = rule;
        self.node.databases.keep(&own.name, &record)?;
        let dropped = self.retain(&own).await?;
        Ok(Reply::Retained { rule, dropped })
    }

    pub(super) fn sql_retention(&self, handle: u64) -> Result<Reply, ApiError> {
        let own = self.own(handle)?;
        let rule = self.node.database_record(&own)?.retention;
        Ok(Reply::Retained { rule, dropped: 0 })
    }

    /// Snapshots of a database of this node, with their times; the newest first.
    pub(super) fn snapshots_of(&self, name: &str) -> Result<Vec<(Cid, u64, u64)>, ApiError> {
        let mut found = Vec::new();
        for (cid, record) in self.node.objects.records().map_err(fault::store)? {
            if cid.codec() == Codec::DagCbor && record.name.as_deref() == Some(name) {
                found.push((cid, record.time_ms, record.size));
            }
        }
        found.sort_by_key(|(cid, time_ms, _)| (Reverse(*time_ms), *cid));
        Ok(found)
    }

    /// Lets the snapshots go that the rule does not keep; how many.
    pub(super) async fn retain(&self, own: &Own) -> Result<u64, ApiError> {
        let record = self.node.database_record(own)?;
        let Some(Retention { last, days }) = record.retention else { return Ok(0) };
        let young = self.node.ports.clock.now().0.saturating_sub(u64::from(days) * DAY_MS);
        let mut dropped = 0;
        for (cid, time_ms, _) in self.snapshots_of(&own.name)?.into_iter().skip(last as usize) {
            let is_young = days > 0 && time_ms >= young;
            if !is_young && !record.holds(&cid) {
                self.node.release(cid).map_err(fault::store)?;
                self.node.objects.unpin(cid).await.map_err(fault::store)?;
                dropped += 1;
            }
        }
        Ok(dropped)
    }
}
