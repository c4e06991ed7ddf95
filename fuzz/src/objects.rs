//! Nodes, CIDs, paths, frames, records, messages of the exchange, of replication, of audits and of
//! receipts.
#![allow(unreachable_pub, reason = "tests of the main workspace include this file as a module")]

use craftec_core::{Cid, Codec, cbor, limits, record::Record};
use craftec_obj::{
    Block,
    audit::{proof::CHUNK_BYTES, wire as audits},
    coded::{Code, Coding, Shard, shard_links},
    exchange::{
        Question, Told,
        wire::{Answer, Request},
    },
    ledger::{record::EntryRecord, wire::Swap},
    pack::{MEMBERS, Pack},
    replicate::{
        LentRecord,
        wire::{ASK_BYTES, Ask, TOLD_BYTES, Told as Held},
    },
    unixfs::{NameHash, Node, PbNode, Place, Target, path},
};
use craftec_p2p::frame::{read_frame, write_frame};
use futures::{executor::block_on, io::Cursor};

/// A dag-pb block: what decodes encodes to something that decodes to the same, and what a UnixFS
/// node says holds together.
pub fn node(bytes: &[u8]) {
    if let Ok(node) = PbNode::decode(bytes) {
        assert_eq!(PbNode::decode(&node.encode()).as_ref(), Ok(&node));
    }
    match Node::decode(bytes) {
        Ok(Node::File(file)) => {
            let parts: u64 = file.links.iter().map(|link| link.size).sum();
            assert_eq!(file.size, file.inline.len() as u64 + parts);
            assert_eq!(Node::decode(&file.encode()), Ok(Node::File(file)));
        }
        Ok(Node::Folder(entries)) => {
            assert!(entries.is_sorted_by(|a, b| a.name < b.name));
            assert!(entries.iter().all(|entry| path::check_name(&entry.name).is_ok()));
        }
        Ok(Node::Shard(shard)) => {
            assert!(shard.links().is_sorted_by(|a, b| a.value < b.value));
            let links = shard.links().to_vec();
            let Ok(placed) = shard.clone().placed(Place::default()) else { return };
            assert_eq!(placed.len(), links.len());
            for link in links {
                let Target::Entry(entry) = &link.target else { continue };
                let found = shard.find(NameHash::of(&entry.name), 0);
                assert_eq!(found.map(|(link, _)| link), Some(&link));
            }
        }
        Err(error) => drop(error.to_string()),
    }
}

/// A CID in either form: what parses is the only form of what it names.
pub fn cid(bytes: &[u8]) {
    if let Ok(cid) = Cid::from_bytes(bytes) {
        assert_eq!(cid.to_bytes(), bytes);
        assert_eq!(cid.to_string().parse(), Ok(cid));
    }
    let text = String::from_utf8_lossy(bytes);
    match text.parse::<Cid>() {
        Ok(cid) => assert_eq!(cid.to_string(), text),
        Err(error) => drop(error.to_string()),
    }
}

/// A path: what is accepted stays below its root.
pub fn names(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match path::names(&text) {
        Ok(names) => {
            assert_eq!(names.join("/"), text);
            assert!(names.iter().all(|name| !["", ".", ".."].contains(name)));
            assert!(!text.contains('\0') && !text.starts_with('/'));
        }
        Err(error) => drop(error.to_string()),
    }
}

/// A stream of frames: what is read can be written again and is within the limit.
pub fn frames(bytes: &[u8]) {
    const LIMIT: usize = 1 << 16;
    let mut stream = Cursor::new(bytes);
    block_on(async {
        while let Ok(Some(body)) = read_frame(&mut stream, LIMIT).await {
            assert!(body.len() <= LIMIT);
            let mut written = Cursor::new(Vec::new());
            assert!(write_frame(&mut written, &body).await.is_ok());
            let written = written.into_inner();
            let again = read_frame(&mut Cursor::new(written), LIMIT).await;
            assert!(matches!(again, Ok(Some(again)) if again == body));
        }
    });
}

/// A record of the DHT (heads with the identity logs in them, placements): what decodes is
/// canonical, and checking it ends.
pub fn record(bytes: &[u8]) {
    let Ok(record) = cbor::decode::<Record>(bytes, limits::RECORD_BYTES) else { return };
    assert_eq!(record.encode().as_deref().ok(), Some(bytes));
    match Record::verify(&record.key(), bytes, 1_700_000_000_000) {
        Ok(verified) => assert_eq!(verified, record),
        Err(error) => drop(error.to_string()),
    }
    assert!(Record::verify(&[0; 32], bytes, 1_700_000_000_000).is_err());
}

/// A message of the exchange.
pub fn exchange(bytes: &[u8]) {
    if let Ok(request) = cbor::decode::<Request>(bytes, limits::FRAME_BYTES) {
        assert_eq!(cbor::encode(&request).as_deref(), Ok(bytes));
        let _ = request.check().map_err(|error| error.to_string());
    }
    if let Ok(answer) = cbor::decode::<Answer>(bytes, limits::FRAME_BYTES) {
        assert_eq!(cbor::encode(&answer).as_deref(), Ok(bytes));
        // What a session reads, whose blocks are parts of the message.
        assert_eq!(Answer::read(&bytes.to_vec().into()), Ok(answer));
    }
}

/// A message of replication: what decodes is canonical and within its limit.
pub fn hold(bytes: &[u8]) {
    if let Ok(ask) = cbor::decode::<Ask>(bytes, ASK_BYTES) {
        assert_eq!(cbor::encode(&ask).as_deref(), Ok(bytes));
    }
    if let Ok(told) = cbor::decode::<Held>(bytes, TOLD_BYTES) {
        assert_eq!(cbor::encode(&told).as_deref(), Ok(bytes));
    }
}

/// A code, a shard, a pack, or what is told of shards: what is read is canonical, names no more than it
/// may, and a code's parameters fit each other.
pub fn coded(bytes: &[u8]) {
    if let Ok(block) = Block::of(Codec::DagCbor, bytes.to_vec()) {
        match Code::read(&block) {
            Ok(code) => {
                assert_eq!(code.block().as_ref(), Ok(&block));
                let Ok(spread) = code.spread() else { panic!("a code was read without a spread") };
                assert!(spread.needed() <= spread.shards());
                assert!(Coding::new(&block, std::slice::from_ref(&block)).is_err());
            }
            Err(error) => drop(error.to_string()),
        }
        match Shard::read(&block) {
            Ok(shard) => {
                assert_eq!(shard.block().as_ref(), Ok(&block));
                assert_eq!(
                    shard_links(&block).map(|links| links.len()),
                    Some(shard.links().count())
                );
            }
            Err(error) => drop(error.to_string()),
        }
        if let Some(pack) = Pack::read(&block) {
            assert_eq!(pack.block().as_ref(), Some(&block));
            assert!(pack.members().len() <= MEMBERS);
            assert_eq!(Pack::of(pack.members().iter().copied()).as_ref(), Some(&pack));
        }
    }
    if let Ok(told) = Told::read(bytes) {
        assert_eq!(cbor::encode(&told).as_deref(), Ok(bytes));
    }
    if let Ok(question) = cbor::decode::<Question>(bytes, limits::RECORD_BYTES) {
        assert_eq!(cbor::encode(&question).as_deref(), Ok(bytes));
    }
}

/// The block that challenges of [`audit`] are about: three chunks, the last of them short.
pub const AUDITED: [u8; 2 * CHUNK_BYTES + 100] = [9; 2 * CHUNK_BYTES + 100];

/// A message of an audit: what decodes is canonical, and what is taken for a proof of a block has the
/// bytes of that chunk.
pub fn audit(bytes: &[u8]) {
    if let Ok(request) = audits::Request::decode(bytes) {
        assert_eq!(request.encode().as_deref(), Ok(bytes));
    }
    let asked = usize::from(bytes.get(8).copied().unwrap_or_default()) % 3;
    for asked in [asked, 1] {
        let answer = match audits::Answer::decode(bytes, asked) {
            Ok(answer) => answer,
            Err(error) => {
                drop(error.to_string());
                continue;
            }
        };
        assert_eq!(answer.encode().as_deref(), Ok(bytes));
        let audits::Answer::Proofs(items) = answer else { continue };
        assert_eq!(items.len(), asked);
        let cid = Cid::of(Codec::Raw, &AUDITED);
        for item in items {
            let audits::Item::Proof(proof) = item else { continue };
            for wanted in [0, 1, 2, 3, u32::MAX] {
                let Ok(shown) = proof.verify(&cid, wanted) else { continue };
                assert_eq!(shown.chunk, wanted.min(2));
                let chunk = AUDITED.chunks(CHUNK_BYTES).nth(shown.chunk as usize);
                assert_eq!(Some(&proof.chunk[..]), chunk);
            }
        }
    }
}

/// An exchange of receipts, and a page of the book: what decodes is canonical, and a page that is
/// taken over is written as it was read.
pub fn ledger(bytes: &[u8]) {
    if let Ok(swap) = Swap::decode(bytes) {
        assert_eq!(swap.encode().as_deref(), Ok(bytes));
        for receipt in [&swap.given, &swap.known].into_iter().flatten() {
            assert!(!receipt.replaces(receipt));
            let _ = receipt.verify(1_700_000_000_000).map_err(|error| error.to_string());
        }
    }
    if let Ok(record) = cbor::decode::<EntryRecord>(bytes, limits::RECORD_BYTES) {
        assert_eq!(cbor::encode(&record).as_deref(), Ok(bytes));
        if let Some(entry) = record.entry() {
            assert!(entry.keeps_bytes(u64::MAX) <= entry.keeps_bytes(0));
            assert_eq!(EntryRecord::of(&entry).entry(), Some(entry));
        }
    }
}

/// What a store reads back from its disk, and a block offered under a CID.
pub fn stored(bytes: &[u8]) {
    if let Ok(record) = cbor::decode::<LentRecord>(bytes, limits::RECORD_BYTES) {
        assert_eq!(cbor::encode(&record).as_deref(), Ok(bytes));
    }
    let Some((name, content)) = bytes.split_at_checked(craftec_core::cid::CID_BYTES) else {
        return;
    };
    let Ok(cid) = Cid::from_bytes(name) else { return };
    let content = content.to_vec();
    match Block::verified(cid, content.clone()) {
        Ok(block) => assert!(cid.matches(block.bytes())),
        Err(error) => {
            drop(error.to_string());
            assert!(!cid.matches(&content) || content.len() > limits::BLOCK_BYTES);
        }
    }
}
