//! Encrypted databases: what lies on the disk, who can read what is published, and other keys.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::rc::Rc;

use common::{Dice, count, integer, open, text};
use craftec_core::{
    Cid,
    database::{
        DatabaseKey, KeyId, PAGE_BYTES, Reader as Who, Root, Seal, SealedNode, SealedRoot,
        TableError,
    },
    identity::Did,
    sign::{Hash, SecretKey},
};
use craftec_platform::{
    File, Folder,
    sim::{Damage, SimDisk},
};
use craftec_sql::{
    Database, DatabaseOptions, Keys, MemoryStore, NoKeys, Other, PageStore, Reader, ReaderOptions,
    SqlError, Strategy,
    log::{LogError, LogOptions},
    page::{Page, PageNo},
};
use futures::executor::block_on;

const SECRET: &str = "a sentence that nobody else may read";

/// Keys by their ids, and those that a reader opens boxes with.
#[derive(Default)]
struct Ring {
    seals: Vec<Seal>,
    secret: Option<SecretKey>,
}

impl Keys for Ring {
    fn seal(&self, root: &SealedRoot) -> Option<Seal> {
        let known = self.seals.iter().find(|seal| seal.id() == root.key).cloned();
        let boxed = || {
            let secret = self.secret.as_ref()?;
            root.shares.iter().find_map(|share| share.open(root.key, secret))
        };
        known.or_else(boxed)
    }
}

fn seal(byte: u8) -> Seal {
    Seal::new(KeyId([byte; 16]), DatabaseKey([byte; 32]))
}

fn ring(bytes: &[u8]) -> Ring {
    Ring { seals: bytes.iter().map(|byte| seal(*byte)).collect(), secret: None }
}

async fn open_under(disk: &SimDisk, name: &str, keys: &[u8]) -> Result<Database, SqlError> {
    let options = DatabaseOptions {
        log: LogOptions { slack_bytes: 256 << 10, ..LogOptions::default() },
        ..DatabaseOptions::default()
    };
    let Ring { seals, .. } = ring(keys);
    Database::open_sealed(Rc::new(disk.clone()), name, options, seals, &ring(keys)).await
}

async fn fill(db: &Database, rows: u32) {
    db.execute_batch("CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, body TEXT)")
        .await
        .unwrap();
    let sql = "INSERT INTO notes (body) VALUES (? || hex(randomblob(40)))";
    for _ in 0..rows {
        db.execute(sql, &[text(SECRET)]).await.unwrap();
    }
}

async fn published(db: &Database, store: &MemoryStore) -> Cid {
    let root = db.snapshot().unwrap();
    db.publish(store, root, store.root(&db.name())).await.unwrap();
    root
}

async fn is_whole(db: &Database) {
    let checked = db.query("PRAGMA integrity_check", &[]).await.unwrap();
    assert_eq!(checked.value(), Some(&text("ok")));
}

async fn read(store: &MemoryStore, root: Cid, keys: &dyn Keys) -> Result<i64, SqlError> {
    let options = ReaderOptions::default();
    let reader = Reader::open_with(Rc::new(store.clone()), root, options, keys).await?;
    Ok(count(&reader, "notes").await)
}

/// Whether any file of the disk has these bytes.
async fn is_on_disk(disk: &SimDisk, wanted: &[u8]) -> bool {
    for name in disk.list().await.unwrap() {
        let file: std::sync::Arc<dyn File> = disk.duplicate().open(&name).await.unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_at(0, &mut bytes).unwrap();
        if bytes.windows(wanted.len()).any(|part| part == wanted) {
            return true;
        }
    }
    false
}

#[test]
fn nothing_of_it_lies_open_on_the_disk_or_with_others() {
    block_on(async {
        let (disk, store) = (SimDisk::new(), MemoryStore::default());
        let db = open_under(&disk, "private", &[1]).await.unwrap();
        fill(&db, 300).await;
        is_whole(&db).await;
        let root = published(&db, &store).await;
        for wanted in [SECRET, "CREATE TABLE", "SQLite format"] {
            assert!(!is_on_disk(&disk, wanted.as_bytes()).await, "{wanted}");
        }
        let all: Vec<Cid> = db.blocks(root, None).unwrap().into_iter().collect();
        for block in store.get(&root, &all).await.unwrap().into_iter().flatten() {
            assert!(!block.windows(6).any(|part| part == b"SQLite" || part == b"nobody"));
            assert!(Root::decode(&block).is_err());
        }
        assert_eq!(read(&store, root, &ring(&[1])).await.unwrap(), 300);
        for keys in [&[][..], &[2]] {
            let locked = read(&store, root, &ring(keys)).await.unwrap_err();
            assert!(matches!(locked, SqlError::Table(TableError::Locked)), "{locked}");
        }
        // Found again with its key, and only so.
        drop(db);
        let locked = open_under(&disk, "private", &[2]).await.unwrap_err();
        let cause = LogError::Table(TableError::Locked);
        assert_eq!(locked.to_string(), SqlError::Log(cause).to_string());
        let db = open_under(&disk, "private", &[2, 1]).await.unwrap();
        assert_eq!((db.key(), count(&db, "notes").await), (Some(KeyId([1; 16])), 300));
        db.compact().await.unwrap();
        fill(&db, 1).await;
        drop(db);
        let db = open_under(&disk, "private", &[1]).await.unwrap();
        assert_eq!(count(&db, "notes").await, 301);
        assert_eq!(
            count(&db.at(root, ReaderOptions::default()).await.unwrap(), "notes").await,
            300
        );
    });
}

#[test]
fn a_holder_without_a_key_finds_every_block() {
    block_on(async {
        let (disk, store) = (SimDisk::new(), MemoryStore::default());
        let db = open_under(&disk, "private", &[1]).await.unwrap();
        fill(&db, 3_000).await;
        // Pages that are equal, and one that is not there.
        db.execute_batch("CREATE TABLE zeros (b BLOB); INSERT INTO zeros VALUES (zeroblob(90000))")
            .await
            .unwrap();
        let root = published(&db, &store).await;
        let (mut found, mut todo) = (std::collections::BTreeSet::new(), vec![root]);
        while let Some(cid) = todo.pop() {
            if !found.insert(cid) || cid.codec() == craftec_core::Codec::Raw {
                continue;
            }
            let block = store.get(&root, &[cid]).await.unwrap().remove(0).unwrap();
            match SealedRoot::decode(&block) {
                Ok(root) => todo.extend(root.outline().links()),
                Err(_) => todo.extend(SealedNode::decode(&block).unwrap().links()),
            }
        }
        assert_eq!(found, db.blocks(root, None).unwrap());
        assert!(found.len() > 60, "{}", found.len());
    });
}

#[test]
fn it_is_shared_with_whom_the_owner_says_until_the_key_is_another() {
    block_on(async {
        let (disk, store) = (SimDisk::new(), MemoryStore::default());
        let db = open_under(&disk, "private", &[1]).await.unwrap();
        fill(&db, 40).await;
        let [friend, other] = [11, 12].map(|byte| SecretKey::from_seed([byte; 32]));
        let opens = |secret: &SecretKey| Ring { secret: Some(secret.clone()), ..Ring::default() };
        let who = |secret: &SecretKey| {
            let key = secret.public();
            Who { did: Did(Hash(key.0)), key }
        };
        let before = published(&db, &store).await;
        db.share_with(vec![who(&friend)]).unwrap();
        let shared = published(&db, &store).await;
        assert_ne!(before, shared, "the same pages, and another reader");
        assert_eq!(db.blocks(shared, Some(before)).unwrap().len(), 1, "only a root");
        assert_eq!(published(&db, &store).await, shared, "one state has one root");
        assert_eq!(read(&store, shared, &opens(&friend)).await.unwrap(), 40);
        for (root, secret) in [(shared, &other), (before, &friend)] {
            assert!(read(&store, root, &opens(secret)).await.is_err());
        }
        // It is known after a restart, and to another device.
        drop(db);
        let db = open_under(&disk, "private", &[1]).await.unwrap();
        assert_eq!(db.readers(), vec![who(&friend)]);
        let (root, _) =
            SealedRoot::decode(&db.block(&shared).unwrap()).unwrap().open(&seal(1)).unwrap();
        assert_eq!(root.parent, Some(before));
        // Another key: whoever is not named again reads nothing new.
        db.seal(seal(2)).await.unwrap();
        db.share_with(vec![who(&other)]).unwrap();
        fill(&db, 2).await;
        let anew = published(&db, &store).await;
        assert_eq!(read(&store, anew, &opens(&other)).await.unwrap(), 42);
        assert!(read(&store, anew, &opens(&friend)).await.is_err());
        assert!(
            read(&store, anew, &ring(&[1])).await.is_err(),
            "not with the key of before either"
        );
        assert_eq!(
            read(&store, shared, &opens(&friend)).await.unwrap(),
            40,
            "what they had they have"
        );
        let old = db.blocks(shared, None).unwrap();
        let new = db.blocks(anew, None).unwrap();
        assert!(old.is_disjoint(&new), "not a page is under the key of before");
        drop(db);
        let db = open_under(&disk, "private", &[1, 2]).await.unwrap();
        assert_eq!((db.key(), db.keys().len()), (Some(KeyId([2; 16])), 2));
        db.restore(shared).await.unwrap();
        assert_eq!(count(&db, "notes").await, 40);
        let back = published(&db, &store).await;
        assert!(
            read(&store, back, &ring(&[1])).await.is_err(),
            "what is restored is under the new key"
        );
        is_whole(&db).await;
    });
}

#[test]
fn one_that_was_not_encrypted_becomes_so() {
    block_on(async {
        let (disk, store) = (SimDisk::new(), MemoryStore::default());
        let db = open(&disk, "open").await;
        assert!(matches!(db.share_with(Vec::new()), Err(SqlError::NotEncrypted)));
        fill(&db, 500).await;
        db.execute_batch("CREATE INDEX by_body ON notes (body)").await.unwrap();
        let plain = published(&db, &store).await;
        db.seal(seal(1)).await.unwrap();
        is_whole(&db).await;
        assert_eq!(count(&db, "notes").await, 500);
        let sealed = published(&db, &store).await;
        assert!(read(&store, sealed, &NoKeys).await.is_err());
        assert_eq!(read(&store, sealed, &ring(&[1])).await.unwrap(), 500);
        assert_eq!(read(&store, plain, &NoKeys).await.unwrap(), 500, "it was published");
        // Its past stays readable here; going back there would cost the end of every page.
        assert_eq!(
            count(&db.at(plain, ReaderOptions::default()).await.unwrap(), "notes").await,
            500
        );
        let refused = db.restore(plain).await.unwrap_err();
        assert!(matches!(refused, SqlError::Log(LogError::NoRoom)), "{refused}");
        fill(&db, 1).await;
        drop(db);
        let db = open_under(&disk, "open", &[1]).await.unwrap();
        assert_eq!(count(&db, "notes").await, 501);
        // Nor does anybody else's SQLite put pages in that have no room.
        let other = open(&disk, "other").await;
        fill(&other, 3).await;
        let pages: Vec<Page> = (1..=other.pages())
            .filter_map(PageNo::new)
            .map(|page| {
                let mut bytes = [0; PAGE_BYTES];
                other.page(page, &mut bytes).unwrap();
                bytes
            })
            .collect();
        let numbered = (1..).filter_map(PageNo::new).zip(&pages);
        let base = db.state().number;
        let refused = db.commit_pages(base, pages.len() as u32, numbered).await.unwrap_err();
        assert!(
            matches!(refused, SqlError::Log(LogError::NoRoom | LogError::Foreign { .. })),
            "{refused}"
        );
        assert_eq!(count(&db, "notes").await, 501);
        is_whole(&db).await;
    });
}

#[test]
fn what_another_device_published_is_taken_over_with_its_key() {
    let onto = |root, base| Other { root, base, published: true };
    block_on(async {
        let store = MemoryStore::default();
        let disks = [SimDisk::new(), SimDisk::new()];
        let mine = open_under(&disks[0], "notes", &[1]).await.unwrap();
        fill(&mine, 20).await;
        let base = published(&mine, &store).await;
        // The other device began under a key of its own.
        let theirs = open_under(&disks[1], "notes", &[3]).await.unwrap();
        theirs.take(&store, base, "published", &ring(&[1])).await.unwrap();
        assert!(theirs.merge(onto(base, None), Strategy::Stop, None).await.unwrap().made);
        assert_eq!((theirs.key(), count(&theirs, "notes").await), (Some(KeyId([1; 16])), 20));
        // One writes, the other goes over to another key: both are in what follows, under that key.
        theirs.execute("UPDATE notes SET body = 'theirs' WHERE id = 3", &[]).await.unwrap();
        mine.seal(seal(2)).await.unwrap();
        mine.execute("UPDATE notes SET body = 'mine' WHERE id = 4", &[]).await.unwrap();
        let root = published(&mine, &store).await;
        theirs.take(&store, root, "published", &ring(&[1, 2])).await.unwrap();
        assert!(theirs.merge(onto(root, Some(base)), Strategy::Stop, None).await.unwrap().made);
        assert_eq!(theirs.key(), Some(KeyId([2; 16])));
        let changed = "SELECT count(*) FROM notes WHERE body IN ('mine', 'theirs')";
        assert_eq!(theirs.query(changed, &[]).await.unwrap().value(), Some(&integer(2)));
        is_whole(&theirs).await;
        let next = published(&theirs, &store).await;
        assert!(read(&store, next, &ring(&[1])).await.is_err());
        assert_eq!(read(&store, next, &ring(&[2])).await.unwrap(), 20);
        // The other way round: the side here changed the schema, so what is published is merged into it.
        mine.take(&store, next, "published", &ring(&[2])).await.unwrap();
        assert!(mine.merge(onto(next, Some(root)), Strategy::Stop, None).await.unwrap().made);
        mine.seal(seal(4)).await.unwrap();
        mine.execute("UPDATE notes SET body = 'mine' WHERE id = 5", &[]).await.unwrap();
        let anew = published(&mine, &store).await;
        theirs.execute_batch("CREATE TABLE moods (mood TEXT)").await.unwrap();
        theirs.take(&store, anew, "published", &ring(&[4])).await.unwrap();
        assert!(theirs.merge(onto(anew, Some(next)), Strategy::Stop, None).await.unwrap().made);
        assert_eq!(theirs.key(), Some(KeyId([4; 16])));
        let last = published(&theirs, &store).await;
        assert_eq!(
            read(&store, last, &ring(&[4])).await.unwrap(),
            20,
            "every page is under that key"
        );
        let (keys, options) = (ring(&[4]), ReaderOptions::default());
        let reader = Reader::open_with(Rc::new(store.clone()), last, options, &keys).await.unwrap();
        let all = reader.query("SELECT body FROM notes", &[]).await.unwrap();
        assert_eq!(all.rows.len(), 20);
        // Readers that another device added are kept, and one's own with them.
        let who = |byte: u8| {
            let key = SecretKey::from_seed([byte; 32]).public();
            Who { did: Did(Hash(key.0)), key }
        };
        mine.take(&store, last, "published", &ring(&[4])).await.unwrap();
        assert!(mine.merge(onto(last, Some(anew)), Strategy::Stop, None).await.unwrap().made);
        mine.share_with(vec![who(21)]).unwrap();
        theirs.share_with(vec![who(22)]).unwrap();
        let shared = published(&mine, &store).await;
        theirs.take(&store, shared, "published", &ring(&[4])).await.unwrap();
        assert!(theirs.merge(onto(shared, Some(last)), Strategy::Stop, None).await.unwrap().made);
        assert_eq!(theirs.readers(), [who(22), who(21)]);
    });
}

#[test]
fn what_somebody_published_open_is_not_taken_over() {
    block_on(async {
        let theirs = open_under(&SimDisk::new(), "notes", &[1]).await.unwrap();
        fill(&theirs, 20).await;
        let plain = open(&SimDisk::new(), "notes").await;
        fill(&plain, 5).await;
        let store = MemoryStore::default();
        let root = published(&plain, &store).await;
        theirs.take(&store, root, "published", &NoKeys).await.unwrap();
        let merged =
            theirs.merge(Other { root, base: None, published: true }, Strategy::Theirs, None).await;
        assert!(matches!(merged, Err(SqlError::Log(LogError::NoRoom))), "{merged:?}");
        assert_eq!((theirs.key(), count(&theirs, "notes").await), (Some(KeyId([1; 16])), 20));
    });
}

#[test]
fn a_crash_at_any_change_leaves_one_key_or_the_other() {
    block_on(async {
        let disk = SimDisk::new();
        let db = open_under(&disk, "a", &[1]).await.unwrap();
        fill(&db, 30).await;
        drop(db);
        let mut dice = Dice(5);
        for encrypts in [false, true] {
            let begin = disk.duplicate();
            if encrypts {
                let db = open(&begin, "b").await;
                fill(&db, 30).await;
            }
            let name = if encrypts { "b" } else { "a" };
            let mut at = 0;
            loop {
                let disk = begin.duplicate();
                let keys: &[u8] = if encrypts { &[] } else { &[1] };
                let db = open_under(&disk, name, keys).await.unwrap();
                disk.power_off_at(disk.changes() + at);
                let done = db.seal(seal(2)).await.is_ok();
                drop(db);
                disk.crash(Damage::Torn(dice.roll(1 << 30)));
                let db = open_under(&disk, name, &[2, 1]).await.unwrap();
                let old = if encrypts { None } else { Some(KeyId([1; 16])) };
                assert!(db.key() == Some(KeyId([2; 16])) || (!done && db.key() == old), "{at}");
                assert_eq!(count(&db, "notes").await, 30);
                is_whole(&db).await;
                fill(&db, 1).await;
                if done {
                    break;
                }
                at += 1;
            }
            assert!(at >= 2, "{at} changes");
        }
    });
}
