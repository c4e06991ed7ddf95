//! The store in a browser's dedicated worker, on the origin private file system: the same code and
//! the same files as on a disk.
//!
//! Run by `wasm-bindgen-test-runner` in a browser; natively there is nothing to run.

#![cfg(target_arch = "wasm32")]
// A failed step is a failed test.
#![allow(clippy::unwrap_used)]

use craftec_core::Codec;
use craftec_obj::{
    Block, Store, StoreError,
    store::{Batch, INDEX_FILE, Meta, PACK_FILE, Pin, PinReason},
};
use craftec_platform::{Folder, tab::OpfsFolder};
use wasm_bindgen_test::{console_log, wasm_bindgen_test, wasm_bindgen_test_configure};
use web_time::Instant;

wasm_bindgen_test_configure!(run_in_dedicated_worker);

const LEAF_BYTES: usize = 256 << 10;

fn block(seed: u64, bytes: usize) -> Block {
    let mut content = vec![0; bytes];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut content);
    Block::of(Codec::Raw, content).unwrap()
}

async fn empty_folder(name: &str) -> OpfsFolder {
    let folder = OpfsFolder::open(name).await.unwrap();
    for file in [INDEX_FILE, PACK_FILE] {
        folder.remove(file).await.unwrap();
    }
    folder
}

#[wasm_bindgen_test]
async fn what_is_put_is_there_after_reopening() {
    let folder = empty_folder("store-reopen").await;
    let sizes = [0, 1000, 1025, 70_000, LEAF_BYTES, 1 << 20];
    let blocks: Vec<Block> = (0..).zip(sizes).map(|(seed, size)| block(seed, size)).collect();
    let root = *blocks[3].cid();
    {
        let store = Store::open(&folder).await.unwrap();
        let mut batch = Batch::new();
        batch.put_all(blocks.clone()).pin(root, Pin::new(PinReason::Own, 1, "Brücke", 2));
        batch.meta_put(Meta::Node, "key", "value");
        store.commit(batch).unwrap();
        assert!(matches!(Store::open(&folder).await, Err(StoreError::Busy)));
    }
    let store = Store::open(&folder).await.unwrap();
    for block in &blocks {
        assert_eq!(store.get(block.cid()).unwrap().as_ref(), Some(block));
    }
    assert_eq!(store.blocks().unwrap(), sizes.len() as u64);
    assert_eq!(store.used_bytes().unwrap(), sizes.iter().sum::<usize>() as u64);
    assert_eq!(store.pins().unwrap().len(), 1);
    assert_eq!(store.meta_get(Meta::Node, "key").unwrap().unwrap(), "value");
    let swept = store.sweep(|cid| *cid == root).unwrap();
    assert_eq!(swept.blocks, sizes.len() as u64 - 1);
}

#[wasm_bindgen_test]
async fn a_rotten_block_is_named_and_dropped() {
    let folder = empty_folder("store-rot").await;
    let rotten = block(1, LEAF_BYTES);
    Store::open(&folder).await.unwrap().put(std::slice::from_ref(&rotten)).unwrap();
    folder.open(PACK_FILE).await.unwrap().write_at(5000, b"rot").unwrap();
    let store = Store::open(&folder).await.unwrap();
    let error = store.get(rotten.cid()).unwrap_err();
    assert!(matches!(error, StoreError::Rotten { cid } if cid == *rotten.cid()));
    assert!(!store.has(rotten.cid()).unwrap());
}

#[wasm_bindgen_test]
async fn leaves_are_stored_and_read_in_bulk() {
    let folder = empty_folder("store-bulk").await;
    let store = Store::open(&folder).await.unwrap();
    let blocks: Vec<Block> = (0..128).map(|seed| block(seed, LEAF_BYTES)).collect();
    let begun = Instant::now();
    for chunk in blocks.chunks(32) {
        store.put(chunk).unwrap();
    }
    let put = begun.elapsed();
    let begun = Instant::now();
    for block in &blocks {
        assert!(store.get(block.cid()).unwrap().is_some());
    }
    let got = begun.elapsed();
    console_log!("32 MiB of leaves: put in {put:?}, read and verified in {got:?}");
    let begun = Instant::now();
    for seed in 1000..1050 {
        store.put(&[block(seed, 500)]).unwrap();
    }
    console_log!("50 commits of a small block in {:?}", begun.elapsed());
    assert_eq!(store.blocks().unwrap(), 178);
}
