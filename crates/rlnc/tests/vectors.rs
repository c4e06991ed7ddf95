//! Golden vectors of the coder: `tests/vectors/rlnc.json`, which the TypeScript tests read too.
//! `UPDATE_VECTORS=1 cargo test -p craftec-rlnc --test vectors` writes the file anew; a change in it
//! means that pieces of one version don't decode in another.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;

use craftec_rlnc::{
    Decoder, Encoder, Generation, Kernel, Matrix, Recoder, checksum::Key, field, sample,
};
use serde_json::{Value, json};

const SOURCES: usize = 5;
const PIECE_BYTES: usize = 150;
const TAGGED_BYTES: usize = 1300;

/// The generator of ANSI C's example, which any language has in a line.
struct Generator(u32);

impl Generator {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.0 = self.0.wrapping_mul(1_103_515_245).wrapping_add(12_345) & 0x7FFF_FFFF;
            *byte = (self.0 >> 16) as u8;
        }
    }
}

fn bytes(seed: u32, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    Generator(seed).fill(&mut bytes);
    bytes
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn sampled() -> Value {
    let dense = |seed: u32, count: usize| {
        let (mut coefficients, mut generator) = (vec![0; count], Generator(seed));
        sample::dense(&mut coefficients, |bytes| generator.fill(bytes)).unwrap();
        json!({ "seed": seed, "coefficients": hex(&coefficients) })
    };
    let sparse = |seed: u32, count: usize, nonzero: usize| {
        let (mut coefficients, mut generator) = (vec![0; count], Generator(seed));
        sample::sparse(&mut coefficients, nonzero, |bytes| generator.fill(bytes)).unwrap();
        json!({ "seed": seed, "nonzero": nonzero, "coefficients": hex(&coefficients) })
    };
    json!({
        "dense": [dense(1, 5), dense(2, 64)],
        "sparse": [sparse(3, 5, 1), sparse(4, 64, 8), sparse(5, 33, 33)],
    })
}

fn coded() -> Value {
    let sources: Vec<Vec<u8>> =
        bytes(6, SOURCES * PIECE_BYTES).chunks(PIECE_BYTES).map(<[u8]>::to_vec).collect();
    let generation = Generation::new(SOURCES, PIECE_BYTES).unwrap();
    let encoder = Encoder::new(generation, sources.clone()).unwrap();
    let (mut recoder, mut decoder) = (Recoder::new(generation), Decoder::new(generation));
    let mut coded = Vec::new();
    for coefficients in bytes(7, SOURCES * SOURCES).chunks(SOURCES) {
        let mut payload = vec![0; PIECE_BYTES];
        encoder.encode(coefficients, &mut payload).unwrap();
        coded.push(json!({ "coefficients": hex(coefficients), "payload": hex(&payload) }));
        assert!(decoder.push(coefficients, payload.clone()).unwrap().is_new());
        assert!(recoder.push(coefficients, payload).unwrap().is_new());
    }
    let mut decoded = vec![vec![0; PIECE_BYTES]; SOURCES];
    let mut views: Vec<&mut [u8]> = decoded.iter_mut().map(Vec::as_mut_slice).collect();
    decoder.restore_all(&mut views).unwrap();
    assert_eq!(decoded, sources);
    let weights = bytes(8, SOURCES);
    let (mut coefficients, mut payload) = ([0; SOURCES], [0; PIECE_BYTES]);
    recoder.recode(&weights, &mut coefficients, &mut payload).unwrap();
    json!({
        "sources": sources.iter().map(|s| hex(s)).collect::<Vec<_>>(),
        "coded": coded,
        "recoded": {
            "weights": hex(&weights), "coefficients": hex(&coefficients), "payload": hex(&payload),
        },
    })
}

fn checksum() -> Value {
    let key = Key::new(TAGGED_BYTES, &bytes(9, Key::secret_bytes(TAGGED_BYTES))).unwrap();
    let piece = bytes(10, TAGGED_BYTES);
    let tags: Vec<String> = Kernel::available()
        .map(|kernel| {
            let secret = bytes(9, Key::secret_bytes(TAGGED_BYTES));
            let key = Key::new(TAGGED_BYTES, &secret).unwrap().with_kernel(kernel);
            hex(&key.tag(&piece).unwrap().to_bytes())
        })
        .collect();
    let tag = hex(&key.tag(&piece).unwrap().to_bytes());
    assert!(tags.iter().all(|other| *other == tag));
    json!({ "piece_bytes": TAGGED_BYTES, "secret_seed": 9, "piece_seed": 10, "tag": tag })
}

fn vectors() -> Value {
    let products: Vec<u8> =
        bytes(11, 64).chunks(2).map(|pair| field::mul(pair[0], pair[1])).collect();
    let inverses: Vec<u8> = (1..=255).filter_map(field::inverse).collect();
    let matrix = Matrix::new(8, bytes(12, 64)).unwrap();
    json!({
        "generator": "state = state * 1103515245 + 12345 mod 2^31 from a seed; a byte is state >> 16 mod 256",
        "products": { "factors": hex(&bytes(11, 64)), "products": hex(&products) },
        "inverses_from_1": hex(&inverses),
        "matrix": {
            "columns": 8, "matrix": hex(matrix.as_bytes()),
            "inverse": hex(matrix.inverse().unwrap().as_bytes()),
        },
        "sampled": sampled(),
        "coding": coded(),
        "checksum": checksum(),
    })
}

#[test]
fn vectors_are_golden() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/rlnc.json");
    let now = serde_json::to_string_pretty(&vectors()).unwrap() + "\n";
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), now);
}
