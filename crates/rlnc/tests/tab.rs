//! The coder in a browser's dedicated worker: its kernel there gives what the portable one gives.
//!
//! Run by `wasm-bindgen-test-runner` in a browser; natively there is nothing to run.

#![cfg(target_arch = "wasm32")]
// A failed step is a failed test.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Bytes, combined, sources};
use craftec_rlnc::{Decoder, Generation, Kernel, checksum::Key};
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_dedicated_worker);

#[wasm_bindgen_test]
fn the_kernel_of_a_tab_multiplies_like_the_definition() {
    assert_ne!(Kernel::best(), Kernel::SCALAR);
    let mut random = Bytes::new(1);
    for (inputs, rows, bytes) in
        [(1, 1, 1), (5, 3, 127), (64, 4, 128), (70, 9, 1000), (32, 32, 4500)]
    {
        let pieces = sources(&mut random, inputs, bytes);
        let views: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        let coefficients = random.take(inputs * rows);
        for kernel in Kernel::available() {
            let mut outputs = vec![vec![0xA5; bytes]; rows];
            let mut places: Vec<&mut [u8]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
            kernel.product(&coefficients, &views, &mut places).unwrap();
            for (row, output) in coefficients.chunks(inputs).zip(&outputs) {
                assert!(*output == combined(row, &pieces, bytes), "{}", kernel.name());
            }
        }
    }
}

#[wasm_bindgen_test]
fn pieces_decode_and_are_checked() {
    let mut random = Bytes::new(2);
    let (k, bytes) = (16, 3000);
    let sources = sources(&mut random, k, bytes);
    let key = Key::new(bytes, &random.take(Key::secret_bytes(bytes))).unwrap();
    let tags: Vec<_> = sources.iter().map(|source| key.tag(source).unwrap()).collect();
    let mut decoder = Decoder::new(Generation::new(k, bytes).unwrap());
    while !decoder.is_complete() {
        let coefficients = random.take(k);
        let payload = combined(&coefficients, &sources, bytes);
        assert!(key.accepts(&coefficients, &payload, &tags).unwrap());
        let _ = decoder.push(&coefficients, payload).unwrap();
    }
    let mut decoded = vec![vec![0; bytes]; k];
    let mut views: Vec<&mut [u8]> = decoded.iter_mut().map(Vec::as_mut_slice).collect();
    decoder.restore_all(&mut views).unwrap();
    assert_eq!(decoded, sources);
}
