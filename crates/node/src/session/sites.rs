//! Commands about what is kept and published here: pins, objects, sites.
//!
//! On disk: namespace `Site`, key `n` and the name, or `c` and the CID where there is no name; value
//! canonical DAG-CBOR of [`SiteRecord`], at most [`SITE_BYTES`].

use craftec_api::{ApiError, EntryKind, ErrorCode, ObjectRow, Reply, SiteRow};
use craftec_core::{Cid, cbor, head::label};
use craftec_obj::{
    StoreError,
    objects::ObjectRecord,
    store::{Batch, Meta},
};
use serde::{Deserialize, Serialize};

use super::Session;
use crate::fault;

/// Largest encoded site: a name of 255 bytes and the fixed fields.
const SITE_BYTES: usize = 1024;

/// A site published here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SiteRecord {
    /// Version of this structure: 1.
    pub(crate) v: u8,
    pub(crate) cid: Cid,
    pub(crate) name: Option<String>,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    pub(crate) time_ms: u64,
}

impl SiteRecord {
    /// A site of `(files, bytes)`.
    pub(crate) const fn new(
        cid: Cid,
        name: Option<String>,
        (files, bytes): (u64, u64),
        time_ms: u64,
    ) -> Self {
        Self { v: 1, cid, name, files, bytes, time_ms }
    }

    /// The site in `value`.
    pub(crate) fn read(value: &[u8]) -> Result<Self, StoreError> {
        let site: Self = cbor::decode(value, SITE_BYTES)?;
        match site.v {
            1 => Ok(site),
            v => Err(StoreError::Newer { found: v.into(), known: 1 }),
        }
    }

    /// Where it is kept.
    pub(crate) fn key(&self) -> Vec<u8> {
        match &self.name {
            Some(name) => [b"n", name.as_bytes()].concat(),
            None => [b"c".as_slice(), &self.cid.to_bytes()].concat(),
        }
    }
}

impl Session {
    /// Lists a folder as a site and, where it has a name, points the name to it; the name's label.
    pub(super) async fn publish_site(
        &self,
        cid: Cid,
        name: Option<String>,
        record: &ObjectRecord,
    ) -> Result<Option<String>, ApiError> {
        let label = match &name {
            Some(name) => Some(self.node.names.publish(name, cid).await?),
            None => None,
        };
        let site = SiteRecord::new(cid, name, (record.files, record.size), record.time_ms);
        let value = cbor::encode(&site).map_err(|error| fault::store(error.into()))?;
        self.node.store.meta_put(Meta::Site, site.key(), value).map_err(fault::store)?;
        Ok(label)
    }

    /// A name leads to one thing: a database's is not given to a site by mistake.
    pub(super) fn not_a_database(&self, name: &str) -> Result<(), ApiError> {
        let Some(database) = self.node.databases.published_as(name)? else { return Ok(()) };
        let message =
            format!("`{name}` is the name under which the database `{database}` is published.");
        Err(ApiError::new(ErrorCode::Refused, message).hint("Choose another name."))
    }

    pub(super) async fn pin(&self, cid: Cid) -> Result<Reply, ApiError> {
        let time_ms = self.node.ports.clock.now().0;
        self.node.objects.pin(cid, time_ms).await.map_err(fault::object)?;
        Ok(Reply::Done)
    }

    pub(super) async fn unpin(&self, cid: Cid) -> Result<Reply, ApiError> {
        let mut batch = Batch::new();
        for site in self.site_records().map_err(fault::store)? {
            if site.cid == cid {
                batch.meta_delete(Meta::Site, site.key());
            }
        }
        self.node.store.commit(batch).map_err(fault::store)?;
        self.node.release(cid).map_err(fault::store)?;
        if !self.node.objects.unpin(cid).await.map_err(fault::store)? {
            let message = format!("{cid} is not kept here, so there is nothing to let go.");
            return Err(ApiError::new(ErrorCode::NotFound, message));
        }
        Ok(Reply::Done)
    }

    pub(super) fn objects(&self) -> Result<Reply, ApiError> {
        let records = self.node.objects.records().map_err(fault::store)?;
        let mut objects: Vec<ObjectRow> = records
            .into_iter()
            .map(|(cid, record)| ObjectRow {
                cid,
                name: record.name,
                size: record.size,
                kind: if record.folder { EntryKind::Folder } else { EntryKind::File },
                time_ms: record.time_ms,
                health: self.node.copies(&cid),
            })
            .collect();
        objects.sort_by_key(|row| (std::cmp::Reverse(row.time_ms), row.cid));
        Ok(Reply::Objects { objects })
    }

    pub(super) fn sites(&self) -> Result<Reply, ApiError> {
        let records = self.site_records().map_err(fault::store)?;
        let did = self.node.keys.did();
        let mut sites: Vec<SiteRow> = records
            .into_iter()
            .map(|site| SiteRow {
                cid: site.cid,
                label: site.name.as_deref().map(|name| label(&did, name)),
                name: site.name,
                files: site.files,
                bytes: site.bytes,
                time_ms: site.time_ms,
                health: self.node.copies(&site.cid),
            })
            .collect();
        sites.sort_by_key(|row| (std::cmp::Reverse(row.time_ms), row.cid));
        Ok(Reply::Sites { sites })
    }

    fn site_records(&self) -> Result<Vec<SiteRecord>, StoreError> {
        let rows = self.node.store.meta_scan(Meta::Site)?;
        rows.iter().map(|(_, value)| SiteRecord::read(value)).collect()
    }
}
