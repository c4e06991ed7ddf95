//! Databases of [`craftec_sql`] in a bucket of an S3-compatible service: a [`PageStore`] for whoever has
//! such a bucket already, and wants to publish to it or read from it page by page.
//!
//! # Layout (format 1)
//!
//! Below the bucket's prefix, if it has one:
//! - `1/blocks/<CID>`: the bytes of a page, of a node of a page table or of a root, as they are hashed;
//! - `1/roots/<name>`: the CID of the root of the database `name`, as text, nothing else.
//!
//! A CID is written as multibase base32, 59 characters; a name is percent-encoded where a key may not
//! hold it. `tests/vectors/bucket.json` has an example of each.
//!
//! # What it promises
//!
//! A root moves by compare and swap: the service must know `If-Match` and `If-None-Match` for writes, as
//! S3 does since 2024. Blocks are written before the root that needs them, and never changed. The
//! service need not be trusted with what it holds: a reader checks every block against its CID. It is
//! trusted with which root is the last.
//!
//! Each block is an object of its own, so that a reader fetches what a query touches and a publisher
//! sends what changed: a page, the nodes above it and a root. A service that bills requests bills a
//! bulk load page by page.
//!
//! A runtime of tokio must be there when it is used.

mod error;

use std::{str::FromStr, sync::Arc, time::Duration};

use bytes::Bytes;
use craftec_core::{Cid, limits};
use craftec_sql::{PageStore, PageStoreError, Stored};
use futures::{StreamExt, TryStreamExt, future::LocalBoxFuture, stream};
use object_store::{
    Error, GetResult, ObjectStore, ObjectStoreExt, PutMode, PutOptions, RetryConfig, UpdateVersion,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    path::Path,
};
use url::Url;

pub use error::BucketError;

/// Version of the layout, and the first part of every key.
pub const FORMAT: &str = "1";
/// Requests under way at one time: at 50 ms each, 5 MB/s of pages.
const REQUESTS: usize = 64;
/// Longest text of a root: a CID is 59 bytes.
const ROOT_BYTES: u64 = 128;
/// How long a request is tried again before it counts as failed.
const RETRY: Duration = Duration::from_secs(20);

/// A bucket, or a part of one. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Bucket {
    store: Arc<dyn ObjectStore>,
    blocks: Path,
    roots: Path,
}

impl Bucket {
    /// The bucket of `s3://BUCKET/PREFIX`, with what the environment says about it: `AWS_ACCESS_KEY_ID`,
    /// `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, and `AWS_ENDPOINT` for a service other than Amazon's.
    pub fn from_env(url: &str) -> Result<Self, BucketError> {
        Self::open(url, AmazonS3Builder::from_env())
    }

    /// The same with options by the names of those variables, in lower case, and no environment.
    pub fn with_options<'a>(
        url: &str,
        options: impl IntoIterator<Item = (&'a str, String)>,
    ) -> Result<Self, BucketError> {
        let mut builder = AmazonS3Builder::new();
        for (name, value) in options {
            let key = AmazonS3ConfigKey::from_str(name)
                .map_err(|_| BucketError::Option { name: name.to_owned() })?;
            builder = builder.with_config(key, value);
        }
        Self::open(url, builder)
    }

    fn open(url: &str, builder: AmazonS3Builder) -> Result<Self, BucketError> {
        let wrong = |reason: String| BucketError::Url { url: url.to_owned(), reason };
        let parsed = Url::parse(url).map_err(|error| wrong(error.to_string()))?;
        if parsed.scheme() != "s3" || parsed.host_str().is_none_or(str::is_empty) {
            return Err(wrong("it is not of the form `s3://BUCKET/PREFIX`".to_owned()));
        }
        let prefix =
            Path::from_url_path(parsed.path()).map_err(|error| wrong(error.to_string()))?;
        let retry = RetryConfig { retry_timeout: RETRY, ..RetryConfig::default() };
        let builder = builder.with_url(url).with_retry(retry);
        let store = builder.build().map_err(|source| BucketError::Service { source })?;
        Ok(Self::over(Arc::new(store), &prefix))
    }

    /// A database's place in any object store that knows conditional writes.
    pub fn over(store: Arc<dyn ObjectStore>, prefix: &Path) -> Self {
        let part = |name| prefix.clone().join(FORMAT).join(name);
        Self { store, blocks: part("blocks"), roots: part("roots") }
    }

    /// The key of a block.
    pub fn key_of_block(&self, cid: &Cid) -> Path {
        self.blocks.clone().join(cid.to_string())
    }

    /// The key of a database's root.
    pub fn key_of_root(&self, name: &str) -> Path {
        self.roots.clone().join(name)
    }

    /// The root of `name`; none if nothing was published by that name.
    pub async fn root(&self, name: &str) -> Stored<Option<Cid>> {
        Ok(self.versioned(name).await?.map(|(root, _)| root))
    }

    /// The root of `name`, and what says that it is still the same.
    async fn versioned(&self, name: &str) -> Stored<Option<(Cid, UpdateVersion)>> {
        let Some(found) = self.found(&self.key_of_root(name)).await? else { return Ok(None) };
        let (e_tag, version) = (found.meta.e_tag.clone(), found.meta.version.clone());
        let text = read(found, ROOT_BYTES).await?;
        let root = std::str::from_utf8(&text).ok().and_then(|text| Cid::from_str(text).ok());
        let reason = || format!("what is kept as the root of `{name}` is no CID");
        let root = root.ok_or_else(|| PageStoreError::Failed { reason: reason() })?;
        Ok(Some((root, UpdateVersion { e_tag, version })))
    }

    async fn found(&self, key: &Path) -> Stored<Option<GetResult>> {
        match self.store.get(key).await {
            Ok(found) => Ok(Some(found)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed(&error)),
        }
    }

    async fn block(&self, cid: &Cid) -> Stored<Option<Bytes>> {
        match self.found(&self.key_of_block(cid)).await? {
            Some(found) => Ok(Some(read(found, limits::BLOCK_BYTES as u64).await?)),
            None => Ok(None),
        }
    }

    async fn swap(&self, name: &str, old: Option<Cid>, new: Cid) -> Stored<()> {
        let current = self.versioned(name).await?;
        let found = current.as_ref().map(|(root, _)| *root);
        if found != old {
            return Err(PageStoreError::Conflict { found });
        }
        let mode = current.map_or(PutMode::Create, |(_, version)| PutMode::Update(version));
        let options = PutOptions { mode, ..PutOptions::default() };
        let key = self.key_of_root(name);
        match self.store.put_opts(&key, new.to_string().into(), options).await {
            Ok(_) => Ok(()),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => {
                // A request that was sent twice finds its own work.
                match self.root(name).await? {
                    Some(root) if root == new => Ok(()),
                    found => Err(PageStoreError::Conflict { found }),
                }
            }
            Err(error) => Err(failed(&error)),
        }
    }
}

impl PageStore for Bucket {
    fn get<'a>(
        &'a self,
        _root: &'a Cid,
        wanted: &'a [Cid],
    ) -> LocalBoxFuture<'a, Stored<Vec<Option<Bytes>>>> {
        let blocks = stream::iter(wanted).map(|cid| self.block(cid)).buffered(REQUESTS);
        Box::pin(blocks.try_collect())
    }

    fn put<'a>(&'a self, blocks: &'a [(Cid, Bytes)]) -> LocalBoxFuture<'a, Stored<()>> {
        let put = async move |(cid, bytes): &(Cid, Bytes)| {
            let put = self.store.put(&self.key_of_block(cid), bytes.clone().into()).await;
            put.map(drop).map_err(|error| failed(&error))
        };
        let puts = stream::iter(blocks).map(put).buffer_unordered(REQUESTS);
        Box::pin(puts.try_collect())
    }

    fn update_root<'a>(
        &'a self,
        name: &'a str,
        old: Option<Cid>,
        new: Cid,
    ) -> LocalBoxFuture<'a, Stored<()>> {
        Box::pin(self.swap(name, old, new))
    }
}

/// The content of an object that may not be longer than `limit`.
async fn read(found: GetResult, limit: u64) -> Stored<Bytes> {
    if found.meta.size > limit {
        let (key, bytes) = (&found.meta.location, found.meta.size);
        let reason = format!("`{key}` has {bytes} bytes, {limit} at most were expected");
        return Err(PageStoreError::Failed { reason });
    }
    found.bytes().await.map_err(|error| failed(&error))
}

fn failed(error: &Error) -> PageStoreError {
    PageStoreError::Failed { reason: error.to_string() }
}
