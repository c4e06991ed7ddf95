//! A database in a bucket, of a service that speaks S3 over HTTP on loopback.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{collections::BTreeSet, fs, path::Path, rc::Rc, sync::Arc};

use bytes::Bytes;
use craftec_bucket::{Bucket, BucketError};
use craftec_core::{Cid, Codec};
use craftec_platform::sim::SimDisk;
use craftec_sql::{Database, PageStore, PageStoreError, Reader, ReaderOptions, SqlError, Value};
use futures::lock::Mutex;
use hyper::{
    Request,
    body::Incoming,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::net::TcpListener;

/// A service with one bucket, which is a folder.
struct S3 {
    folder: TempDir,
    port: u16,
}

impl S3 {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("data")).unwrap();
        let mut service = S3ServiceBuilder::new(FileSystem::new(folder.path()).unwrap());
        service.set_auth(SimpleAuth::from_single("key", "secret"));
        let service = service.build();
        // It looks whether a condition holds, and then writes: S3 does both as one.
        let turn = Arc::new(Mutex::new(()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (service, turn) = (service.clone(), turn.clone());
                let one = service_fn(move |request: Request<Incoming>| {
                    let (service, turn) = (service.clone(), turn.clone());
                    async move {
                        let _turn = turn.lock().await;
                        Service::call(&service, request).await
                    }
                });
                tokio::spawn(async move {
                    let connection = Builder::new(TokioExecutor::new());
                    let _ = connection.serve_connection(TokioIo::new(stream), one).await;
                });
            }
        });
        Self { folder, port }
    }

    fn bucket(&self, secret: &str) -> Bucket {
        let options = [
            ("access_key_id", "key".to_owned()),
            ("secret_access_key", secret.to_owned()),
            ("region", "eu-west-1".to_owned()),
            ("endpoint", format!("http://127.0.0.1:{}", self.port)),
            ("allow_http", "true".to_owned()),
        ];
        Bucket::with_options("s3://data/some/place", options).unwrap()
    }

    /// Where the object of a key is.
    fn object(&self, key: impl ToString) -> std::path::PathBuf {
        self.folder.path().join("data").join(key.to_string())
    }

    fn blocks(&self) -> BTreeSet<String> {
        let folder = fs::read_dir(self.object("some/place/1/blocks")).unwrap();
        folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

async fn database() -> Database {
    let db = Database::open(Rc::new(SimDisk::new()), "app").await.unwrap();
    db.execute_batch(
        "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT, c);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
         INSERT INTO t SELECT i, 'key ' || (i * 7919 % 20000), hex(zeroblob(40)) FROM n;
         CREATE INDEX i ON t (b)",
    )
    .await
    .unwrap();
    db
}

async fn sum(bucket: &Bucket, root: Cid) -> Result<Value, SqlError> {
    let reader = Reader::open(Rc::new(bucket.clone()), root, ReaderOptions::default()).await?;
    let rows = reader.query("SELECT sum(a) FROM t WHERE b = 'key 77'", &[]).await?;
    let fetched = reader.fetched();
    assert!(fetched.pages <= 64, "{fetched:?}");
    Ok(rows.value().unwrap().clone())
}

#[tokio::test]
async fn a_database_is_published_read_and_published_again() {
    let service = S3::start().await;
    let bucket = service.bucket("secret");
    assert_eq!(bucket.root("app").await.unwrap(), None);
    let db = database().await;
    let first = db.snapshot().unwrap();
    db.publish(&bucket, first, None).await.unwrap();
    assert_eq!(bucket.root("app").await.unwrap(), Some(first));
    let before = service.blocks();
    assert!(before.len() > 500, "{}", before.len());
    let Value::Integer(before_it) = sum(&bucket, first).await.unwrap() else { panic!() };
    assert_eq!(before_it * 7919 % 20_000, 77);

    db.execute("UPDATE t SET a = -5 WHERE b = 'key 77'", &[]).await.unwrap();
    let second = db.snapshot().unwrap();
    db.publish(&bucket, second, Some(first)).await.unwrap();
    let after = service.blocks();
    assert!(after.len() - before.len() < 16, "{} more", after.len() - before.len());
    assert_eq!(sum(&bucket, second).await.unwrap(), Value::Integer(-5));
    assert_eq!(sum(&bucket, first).await.unwrap(), Value::Integer(before_it), "the past stays");
}

#[tokio::test]
async fn of_two_writers_one_is_told() {
    let service = S3::start().await;
    let bucket = service.bucket("secret");
    let roots = [b"1", b"2", b"3"].map(|root| Cid::of(Codec::DagCbor, root));
    let swap = |old, new| bucket.update_root("app", old, new);
    swap(None, roots[0]).await.unwrap();
    for old in [None, Some(roots[1])] {
        let refused = swap(old, roots[2]).await;
        let found = Some(roots[0]);
        assert!(matches!(refused, Err(PageStoreError::Conflict { found: f }) if f == found));
    }
    let both = futures::join!(swap(Some(roots[0]), roots[1]), swap(Some(roots[0]), roots[2]));
    let won = [both.0.is_ok(), both.1.is_ok()].into_iter().filter(|won| *won).count();
    assert_eq!(won, 1, "{both:?}");
    let root = bucket.root("app").await.unwrap().unwrap();
    assert_eq!(root, if both.0.is_ok() { roots[1] } else { roots[2] });
}

#[tokio::test]
async fn what_the_service_changed_or_lost_is_named() {
    let service = S3::start().await;
    let bucket = service.bucket("secret");
    let db = database().await;
    let root = db.snapshot().unwrap();
    db.publish(&bucket, root, None).await.unwrap();

    let object = service.object(bucket.key_of_block(&root));
    let good = fs::read(&object).unwrap();
    fs::write(&object, [&good[..], b"x"].concat()).unwrap();
    let wrong = sum(&bucket, root).await;
    assert!(matches!(wrong, Err(SqlError::WrongBytes { cid }) if cid == root), "{wrong:?}");
    fs::write(&object, vec![0; 3 << 20]).unwrap();
    let large = sum(&bucket, root).await.unwrap_err().to_string();
    assert!(large.contains("3145728 bytes"), "{large}");
    fs::remove_file(&object).unwrap();
    let lost = sum(&bucket, root).await;
    assert!(matches!(lost, Err(SqlError::Missing { cid }) if cid == root), "{lost:?}");

    fs::write(service.object(bucket.key_of_root("app")), "not a CID").unwrap();
    let root = bucket.root("app").await.unwrap_err().to_string();
    assert!(root.contains("the root of `app` is no CID"), "{root}");
    let stranger = service.bucket("guess").root("app").await.unwrap_err().to_string();
    assert!(stranger.contains("403") || stranger.contains("SignatureDoesNotMatch"), "{stranger}");
}

#[test]
fn what_names_no_bucket_is_told() {
    for url in ["", "data", "https://example.com/data", "s3://", "s3:///place"] {
        let refused = Bucket::from_env(url);
        assert!(matches!(refused, Err(BucketError::Url { .. })), "{url}: {refused:?}");
    }
    let option = [("secret_key_of_access", "x".to_owned())];
    let refused = Bucket::with_options("s3://data", option);
    assert!(matches!(refused, Err(BucketError::Option { .. })), "{refused:?}");
}

/// Keys and contents, as they are on record in `tests/vectors/bucket.json`.
#[tokio::test]
async fn objects_lie_where_the_layout_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/bucket.json");
    let vectors: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let text = |at: &str| vectors.pointer(at).and_then(|text| text.as_str()).unwrap();
    let service = S3::start().await;
    let bucket = service.bucket("secret");
    let content = text("/block/text").as_bytes();
    let cid = Cid::of(Codec::Raw, content);
    assert_eq!(text("/block/cid"), cid.to_string());
    bucket.put(&[(cid, Bytes::copy_from_slice(content))]).await.unwrap();
    let key = bucket.key_of_block(&cid).to_string();
    assert_eq!(format!("{}/{}", text("/prefix"), text("/block/key")), key);
    assert_eq!(fs::read(service.object(key)).unwrap(), content);
    let name = text("/root/name");
    bucket.update_root(name, None, cid).await.unwrap();
    let key = bucket.key_of_root(name).to_string();
    assert_eq!(format!("{}/{}", text("/prefix"), text("/root/key")), key);
    assert_eq!(bucket.root(name).await.unwrap(), Some(cid));
}
