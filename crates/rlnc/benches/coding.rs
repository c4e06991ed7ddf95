//! Each kernel of this machine, on pieces of 256 KiB: `cargo bench -p craftec-rlnc`. Throughput counts
//! source bytes. Beside other crates: `make bench BENCH=coding`.
#![allow(missing_docs, reason = "criterion's macros")]
#![allow(clippy::unwrap_used, reason = "a bench")]

use std::hint::black_box;

use craftec_rlnc::{Echelon, Kernel, checksum::Key};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const PIECE: usize = 256 << 10;

/// Bytes of a multiplicative generator.
fn bytes(count: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    (0..count).map(|_| next()).collect()
}

/// `k` sources to as many pieces, which decoding costs too, and to one.
fn product(c: &mut Criterion) {
    let mut group = c.benchmark_group("product");
    group.sample_size(10);
    for (sources, rows) in [(32, 1), (32, 32), (64, 64)] {
        let content = bytes(sources * PIECE);
        let pieces: Vec<&[u8]> = content.chunks(PIECE).collect();
        let coefficients = bytes(sources * rows);
        let mut outputs = vec![vec![0; PIECE]; rows];
        group.throughput(Throughput::Bytes((sources * PIECE) as u64));
        for kernel in Kernel::available() {
            let id = BenchmarkId::new(kernel.name(), format!("{sources} to {rows}"));
            group.bench_function(id, |b| {
                let mut views: Vec<&mut [u8]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
                b.iter(|| kernel.product(&coefficients, &pieces, &mut views).unwrap());
            });
        }
    }
    group.finish();
}

/// Rank of 64 vectors, which yields their inverse too.
fn elimination(c: &mut Criterion) {
    let vectors = bytes(64 * 66);
    for kernel in Kernel::available() {
        c.bench_function(&format!("eliminate 64 × 64 {}", kernel.name()), |b| {
            b.iter(|| {
                let mut echelon = Echelon::with_kernel(64, kernel).unwrap();
                for vector in vectors.chunks(64) {
                    black_box(echelon.push(vector).unwrap().rank());
                }
            });
        });
    }
}

fn checksum(c: &mut Criterion) {
    let (piece, secret) = (bytes(PIECE), bytes(Key::secret_bytes(PIECE)));
    let mut group = c.benchmark_group("checksum of 256 KiB");
    group.throughput(Throughput::Bytes(PIECE as u64));
    for kernel in Kernel::available() {
        let key = Key::new(PIECE, &secret).unwrap().with_kernel(kernel);
        group.bench_function(kernel.name(), |b| b.iter(|| black_box(key.tag(&piece).unwrap())));
    }
    group.finish();
}

criterion_group!(benches, product, elimination, checksum);
criterion_main!(benches);
