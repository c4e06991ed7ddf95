//! What the page calls: it makes pieces once, then times one step after another by its own clock.

use std::cell::RefCell;

use craftec_rlnc::{Decoder, Echelon, Encoder, Generation, Kernel, checksum::Key};

const PIECE: usize = 256 << 10;

/// One generation, encoded.
struct Bench {
    generation: Generation,
    encoder: Encoder<Vec<u8>>,
    coefficients: Vec<Vec<u8>>,
    coded: Vec<Vec<u8>>,
    decoded: Vec<Vec<u8>>,
    key: Key,
}

thread_local! {
    static BENCH: RefCell<Option<Bench>> = const { RefCell::new(None) };
}

/// Makes content and buffers for `sources` pieces; 1 when that went well.
#[unsafe(no_mangle)]
pub extern "C" fn prepare(sources: u32) -> u32 {
    let bench = Bench::new(sources as usize);
    let went = u32::from(bench.is_some());
    BENCH.set(bench);
    went
}

/// As many coded pieces as there are sources; 1 when that went well.
#[unsafe(no_mangle)]
pub extern "C" fn encode() -> u32 {
    run(|bench| {
        let coefficients: Vec<&[u8]> = bench.coefficients.iter().map(Vec::as_slice).collect();
        let mut coded: Vec<&mut [u8]> = bench.coded.iter_mut().map(Vec::as_mut_slice).collect();
        bench.encoder.encode_many(&coefficients, &mut coded).is_ok()
    })
}

/// All sources from coded pieces only; 1 when that gave them.
#[unsafe(no_mangle)]
pub extern "C" fn decode() -> u32 {
    run(|bench| {
        let mut decoder = Decoder::new(bench.generation);
        for (coefficients, coded) in bench.coefficients.iter().zip(&bench.coded) {
            if decoder.push(coefficients, coded).is_err() {
                return false;
            }
        }
        let mut decoded: Vec<&mut [u8]> = bench.decoded.iter_mut().map(Vec::as_mut_slice).collect();
        decoder.restore_missing(&mut decoded).is_ok()
    })
}

/// Whether what was decoded is what was encoded.
#[unsafe(no_mangle)]
pub extern "C" fn check() -> u32 {
    run(|bench| bench.decoded == bench.encoder.sources())
}

/// The secret checksum of one piece.
#[unsafe(no_mangle)]
pub extern "C" fn checksum() -> u32 {
    run(|bench| bench.key.tag(&bench.coded[0]).is_ok())
}

/// Letter `at` of the kernel's name, or 0.
#[unsafe(no_mangle)]
pub extern "C" fn kernel(at: u32) -> u32 {
    Kernel::best().name().bytes().nth(at as usize).map_or(0, u32::from)
}

fn run(step: impl FnOnce(&mut Bench) -> bool) -> u32 {
    BENCH.with_borrow_mut(|bench| u32::from(bench.as_mut().is_some_and(step)))
}

impl Bench {
    fn new(sources: usize) -> Option<Self> {
        let mut state = 1u64;
        let mut bytes = |count: usize| -> Vec<u8> {
            let mut next = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 56) as u8
            };
            (0..count).map(|_| next()).collect()
        };
        let generation = Generation::new(sources, PIECE).ok()?;
        let content = (0..sources).map(|_| bytes(PIECE)).collect();
        let (mut span, mut coefficients) = (Echelon::new(sources).ok()?, Vec::new());
        while !span.is_complete() {
            let vector = bytes(sources);
            if span.push(&vector).ok()?.is_new() {
                coefficients.push(vector);
            }
        }
        let buffers = || vec![vec![0; PIECE]; sources];
        Some(Self {
            generation,
            encoder: Encoder::new(generation, content).ok()?,
            coefficients,
            coded: buffers(),
            decoded: buffers(),
            key: Key::new(PIECE, &bytes(Key::secret_bytes(PIECE))).ok()?,
        })
    }
}
