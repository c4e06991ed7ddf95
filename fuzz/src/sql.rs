//! Roots and nodes of databases, and their logs.
#![allow(unreachable_pub, reason = "tests of the main workspace include this file as a module")]

use craftec_core::database::{
    DatabaseKey, KeyId, Node, PAGE_BYTES, Root, Seal, SealedNode, SealedRoot,
};
use craftec_platform::{Folder, sim::SimDisk};
use craftec_sql::{
    log::{Log, LogOptions},
    page::PageNo,
    table::{Nodes, everything, resolve},
};
use futures::executor::block_on;

/// A root or a node: what decodes encodes to the same bytes, and looking up in it ends.
pub fn page_table(bytes: &[u8]) {
    if let Ok(node) = Node::decode(bytes) {
        assert_eq!(node.encode().as_deref(), Ok(bytes));
    }
    // Of an encrypted database, as a holder reads it, and under a key that need not fit.
    let seal = Seal::new(KeyId([0; 16]), DatabaseKey([0; 32]));
    if let Ok(node) = SealedNode::decode(bytes) {
        assert_eq!(node.encode().as_deref(), Ok(bytes));
        let _ = node.open(&seal);
    }
    if let Ok(root) = SealedRoot::decode(bytes) {
        assert!(root.block().is_ok_and(|(_, again)| again == bytes));
        let _ = root.open(&seal);
    }
    if let Ok(root) = Root::decode(bytes) {
        assert_eq!(root.encode().as_deref(), Ok(bytes));
        let nodes = Nodes::default();
        let _ = everything(&root, &nodes);
        let _ = resolve(&root, &[PageNo::FIRST], &nodes);
        if let Some(changed) = &root.changed {
            assert!(changed.check(root.pages).is_ok_and(|count| count <= u64::from(root.pages)));
        }
    }
}

/// A log with these bytes behind its header: it opens or is refused, and then takes commits.
pub fn sql_log(bytes: &[u8]) {
    let disk = SimDisk::new();
    let open = || block_on(Log::open(&disk, "fuzz", LogOptions::default()));
    let Ok(log) = open() else { panic!("an empty disk refuses a log") };
    let (name, _) = log.file_names();
    drop(log);
    let Ok(file) = block_on(disk.open(&name)) else { panic!("the log's file is gone") };
    let header = file.len().unwrap_or_default();
    assert!(file.write_at(header, bytes).is_ok());
    drop(file);
    let Ok(mut log) = open() else { return };
    let mut page = [0; PAGE_BYTES];
    for number in (1..=log.pages().min(300)).filter_map(PageNo::new) {
        let _ = log.committed(number, &mut page);
    }
    for kept in log.kept().to_vec() {
        let _ = log.blocks_of(&kept.root, None);
    }
    assert!(log.write(PageNo::FIRST, &[0xa5; PAGE_BYTES]).is_ok() && log.commit().is_ok());
    let pages = log.pages();
    drop(log);
    let again =
        open().map(|mut log| (log.pages(), log.committed(PageNo::FIRST, &mut page).is_ok()));
    assert!(matches!(again, Ok((found, true)) if found == pages), "a commit is gone");
    assert_eq!(page, [0xa5; PAGE_BYTES]);
}
