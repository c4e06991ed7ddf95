//! The golden backup: `tests/vectors/backup.bin`, and in `backup.json` what is in it. Programs that
//! share no code with this one open it too (`tests/interop-unixfs/backup.mjs`). `UPDATE_VECTORS=1`
//! writes both anew; a change in them is a new version of the format.

use std::{collections::BTreeMap, path::PathBuf, rc::Rc};

use craftec_core::{
    Cid, Codec,
    head::{Head, HeadRecord, SignedHead},
    identity::IdentityLog,
    wallet::Wallet,
};
use craftec_obj::{
    Block,
    objects::ObjectRecord,
    store::{Pin, PinReason},
    unixfs::{FileBuilder, FolderBuilder},
};
use futures::{StreamExt, executor::block_on};
use serde_bytes::ByteBuf;

use super::{
    parts::{Part, Parts},
    record::{About, Identity, Object, Placed, Record, Settings},
    seal::{
        Opener,
        tests::{FRESH, QUICK},
    },
    write::{Plan, content, sealed},
};
use crate::{serving::Chosen, session::SiteRecord};

const PASSPHRASE: &str = "größe ☃ golden";
const TIME_MS: u64 = 1_790_000_000_000;

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors").join(name)
}

/// Bytes that any language makes: the high byte of `i * 2654435761 + 7` (32 bits).
fn pattern(len: u32) -> Vec<u8> {
    (0..len).map(|i| (i.wrapping_mul(2_654_435_761).wrapping_add(7) >> 24) as u8).collect()
}

struct Golden {
    plan: Plan,
    blocks: BTreeMap<Cid, Block>,
}

fn object(root: Cid, size: u64, folder: bool, name: &str) -> Object {
    let reason = if folder { PinReason::Site } else { PinReason::Own };
    let about = ObjectRecord {
        v: 1,
        name: Some(name.to_owned()),
        size,
        folder,
        files: 1,
        blocks: 1 + u64::from(folder),
        block_bytes: size,
        time_ms: TIME_MS,
        wanted: 3,
        percent: 0,
    };
    Object { root, about, pins: vec![Pin::new(reason, TIME_MS, name, size)] }
}

fn golden() -> Golden {
    let wallet = Wallet::from_entropy([1; 32]);
    let log = IdentityLog::incept(&wallet).unwrap();
    let did = log.verify().unwrap().did;
    let mut blocks = BTreeMap::new();
    let big = Block::of(Codec::Raw, pattern(150_000)).unwrap();
    let mut page = FileBuilder::new();
    let mut built = page.push(b"<h1>golden</h1>");
    let page = page.finish();
    built.extend(page.blocks);
    let mut folder = FolderBuilder::new();
    folder.add("index.html", page.cid, page.size, page.tsize).unwrap();
    let folder = folder.finish().unwrap();
    let site = folder.cid;
    built.extend(folder.blocks);
    for block in built.into_iter().chain([big.clone()]) {
        blocks.insert(*block.cid(), block);
    }
    let key = wallet.identity_key(0);
    let head = Head {
        v: 1,
        did,
        name: "blog".to_owned(),
        seq: 0,
        root: site,
        prev: None,
        writer: key.public(),
        epoch: 0,
        time_ms: TIME_MS,
        expires_ms: TIME_MS + 1,
    };
    let head = SignedHead::sign(head, &key).unwrap();
    let head = HeadRecord { head, rival: None, settled: None, log: log.clone() };
    let serve = Chosen::new(craftec_api::Limit::Bytes(1_000_000), craftec_api::Limit::Unlimited);
    let agent = "craftec/0.1.0".to_owned();
    let about = About { v: 1, agent, did, time_ms: TIME_MS, objects: 2, bytes: 150_100 };
    let site_record = SiteRecord::new(site, Some("blog".to_owned()), (1, 15), TIME_MS);
    let objects = [object(*big.cid(), 150_000, false, "big"), object(site, 15, true, "blog")];
    let placed = Placed { root: site, record: ByteBuf::from([1, 2, 3]) };
    let mut records = vec![
        Record::About(about),
        Record::Identity(Identity { entropy: ByteBuf::from([1; 32]), log }),
        Record::Settings(Settings { lend: Some(5 << 30), serve: Some(serve) }),
    ];
    records.extend(objects.into_iter().map(Record::Object));
    records.push(Record::Site(site_record));
    records.push(Record::Head(Box::new(head)));
    records.push(Record::Placement(placed));
    let mut bytes: Vec<u8> = records.iter().flat_map(|r| r.frame().unwrap()).collect();
    bytes.extend(0_u32.to_be_bytes());
    Golden { plan: Plan { records: bytes, roots: vec![*big.cid(), site], bytes: 0 }, blocks }
}

fn written() -> Vec<u8> {
    let Golden { plan, blocks } = golden();
    let content = content(plan, move |_| Rc::new(blocks.clone()));
    let file = sealed(content, PASSPHRASE, QUICK, FRESH).unwrap();
    block_on(file.map(Result::unwrap).collect::<Vec<_>>()).concat()
}

/// What `backup.json` says of the file.
fn described() -> String {
    let Golden { plan, blocks } = golden();
    let roots: Vec<String> = plan.roots.iter().map(|root| format!("\"{root}\"")).collect();
    let blocks: Vec<String> = blocks.keys().map(|cid| format!("\"{cid}\"")).collect();
    let did = IdentityLog::incept(&Wallet::from_entropy([1; 32])).unwrap().verify().unwrap().did;
    format!(
        "{{\n  \"passphrase\": \"{PASSPHRASE}\",\n  \"did\": \"{did}\",\n  \"entropy\": \"{}\",\n  \
         \"roots\": [{}],\n  \"blocks\": [{}],\n  \"records\": {}\n}}\n",
        "01".repeat(32),
        roots.join(", "),
        blocks.join(", "),
        r#"["about", "identity", "settings", "object", "object", "site", "head", "placement"]"#,
    )
}

#[test]
fn backups_are_the_golden_bytes() {
    let (bytes, text) = (written(), described());
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        std::fs::write(file("backup.bin"), &bytes).unwrap();
        std::fs::write(file("backup.json"), &text).unwrap();
    }
    assert!(std::fs::read(file("backup.bin")).unwrap() == bytes, "the format changed");
    assert_eq!(std::fs::read_to_string(file("backup.json")).unwrap(), text);
}

#[test]
fn the_golden_bytes_are_read() {
    let bytes = std::fs::read(file("backup.bin")).unwrap();
    let (mut opener, mut parts) = (Opener::new(PASSPHRASE.to_owned()), Parts::new());
    let (mut records, mut blocks, mut content) = (Vec::new(), BTreeMap::new(), Vec::new());
    let mut take = |part| {
        match part {
            Part::Record(record) => records.push(record.frame()?),
            Part::Block(block) => drop(blocks.insert(*block.cid(), block)),
        }
        Ok(())
    };
    for piece in bytes.chunks(1000) {
        opener.push(piece, &mut content).unwrap();
        parts.push(&std::mem::take(&mut content), &mut take).unwrap();
    }
    opener.finish(&mut content).unwrap();
    parts.push(&content, &mut take).unwrap();
    parts.finish().unwrap();
    let golden = golden();
    let mut read = records.concat();
    read.extend(0_u32.to_be_bytes());
    assert!(read == golden.plan.records);
    assert!(blocks == golden.blocks);
}
