//! The ports in a browser's dedicated worker: OPFS files, WebCrypto, the worker's clock.
//!
//! Run by `wasm-bindgen-test-runner` in a browser; natively there is nothing to run.

#![cfg(target_arch = "wasm32")]
// A failed step is a failed test.
#![allow(clippy::unwrap_used)]

use std::{cell::Cell, future::pending, io, rc::Rc, sync::Arc, time::Duration};

use craftec_platform::{
    Clock, Elapsed, Entropy, File, Folder,
    tab::{OpfsFolder, TabClock, WebEntropy},
    timeout,
};
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_dedicated_worker);

async fn fresh(folder: &OpfsFolder, name: &str) -> Arc<dyn File> {
    folder.remove(name).await.unwrap();
    folder.open(name).await.unwrap()
}

#[wasm_bindgen_test]
async fn a_file_reads_back_what_was_written() {
    let folder = OpfsFolder::open("platform-files").await.unwrap();
    let file = fresh(&folder, "a").await;
    assert!(file.is_empty().unwrap());
    let bytes: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
    file.write_at(1000, &bytes).unwrap();
    file.write_at(0, b"head").unwrap();
    file.sync().unwrap();
    assert_eq!(file.len().unwrap(), 301_000);
    let mut read = vec![0; bytes.len()];
    file.read_at(1000, &mut read).unwrap();
    assert_eq!(read, bytes);
    let mut gap = [1; 8];
    file.read_at(2, &mut gap).unwrap();
    assert_eq!(gap, [b'a', b'd', 0, 0, 0, 0, 0, 0], "a gap is zeros");
    let beyond = file.read_at(300_999, &mut [0; 2]).unwrap_err();
    assert_eq!(beyond.kind(), io::ErrorKind::UnexpectedEof);
    file.set_len(2000).unwrap();
    file.set_len(3000).unwrap();
    let mut cut = [1; 4];
    file.read_at(1998, &mut cut).unwrap();
    assert_eq!(cut, [bytes[998], bytes[999], 0, 0]);
    drop(file);
    let file = folder.open("a").await.unwrap();
    assert_eq!(file.len().unwrap(), 3000, "it is there when opened again");
}

#[wasm_bindgen_test]
async fn folders_list_remove_and_refuse_bad_names() {
    let folder = OpfsFolder::open("platform-folder").await.unwrap();
    for name in folder.list().await.unwrap() {
        folder.remove(&name).await.unwrap();
    }
    for name in ["b.redb", "a"] {
        drop(folder.open(name).await.unwrap());
    }
    assert_eq!(folder.list().await.unwrap(), ["a", "b.redb"]);
    folder.remove("a").await.unwrap();
    folder.remove("a").await.unwrap();
    assert_eq!(folder.list().await.unwrap(), ["b.redb"]);
    for name in ["", "..", "a/b", "../x"] {
        let refused = folder.open(name).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput, "{name:?}");
    }
    assert!(folder.free_bytes().await.unwrap().is_some_and(|bytes| bytes > 0));
}

#[wasm_bindgen_test]
async fn a_file_that_is_open_is_waited_for_and_then_busy() {
    let folder = OpfsFolder::open("platform-busy").await.unwrap();
    let clock = TabClock::new();
    let file = fresh(&folder, "a").await;
    let begun = clock.monotonic();
    let busy = folder.open("a").await.unwrap_err();
    assert_eq!(busy.kind(), io::ErrorKind::ResourceBusy, "{busy}");
    let waited = clock.monotonic() - begun;
    assert!(waited >= Duration::from_secs(4) && waited < Duration::from_secs(12), "{waited:?}");
    let sleeper = clock.clone();
    clock.spawn(Box::pin(async move {
        sleeper.sleep(Duration::from_millis(500)).await;
        drop(file);
    }));
    folder.open("a").await.unwrap();
}

#[wasm_bindgen_test]
async fn time_passes_and_tasks_run() {
    let clock = TabClock::new();
    assert!(clock.now().0 > 1_700_000_000_000);
    let done = Rc::new(Cell::new(false));
    let (flag, sleeper) = (done.clone(), clock.clone());
    clock.spawn(Box::pin(async move {
        sleeper.sleep(Duration::from_millis(10)).await;
        flag.set(true);
    }));
    let limit = Duration::from_millis(60);
    assert_eq!(timeout(&clock, limit, pending::<()>()).await, Err(Elapsed(limit)));
    assert!(done.get(), "a spawned task runs meanwhile");
    clock.sleep(Duration::ZERO).await;
    // Clocks of browsers are coarse on purpose.
    assert!(clock.monotonic() + Duration::from_millis(2) >= limit);
}

#[wasm_bindgen_test]
fn random_bytes_do_not_repeat() {
    let mut large = vec![0; 200_000];
    WebEntropy.fill(&mut large);
    assert!(large.iter().filter(|byte| **byte == 0).count() < 2000);
    assert_ne!(WebEntropy.next_u64(), WebEntropy.next_u64());
}
