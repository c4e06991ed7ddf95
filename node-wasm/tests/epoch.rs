//! The file `craftec-epoch`, which the SDK's worker writes beside the node's files: read here from
//! its description alone (`sdk-js/src/tab/epoch.ts`), so that the layout is what is written there.

use std::{fs, path::Path};

use serde_json::Value;

/// `CFE`, the layout's version 1, the epoch (big endian), FNV-1a of what is before.
fn read(bytes: &[u8]) -> Option<u64> {
    let (body, check) = bytes.split_at_checked(12)?;
    let check = u32::from_be_bytes(check.try_into().ok()?);
    let fnv = body
        .iter()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    let epoch = u64::from_be_bytes(body.strip_prefix(b"CFE\x01")?.try_into().ok()?);
    (fnv == check && epoch < 1 << 53).then_some(epoch)
}

fn bytes(vector: &Value) -> Vec<u8> {
    let hex = vector["bytes"].as_str().unwrap_or("not hex");
    let byte = |at: usize| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
    (0..hex.len()).step_by(2).filter_map(byte).collect()
}

#[test]
fn the_golden_vectors_are_as_described() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/epoch.json");
    let vectors: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let (good, bad) = (vectors["good"].as_array().unwrap(), vectors["bad"].as_array().unwrap());
    assert!(good.len() >= 3 && bad.len() >= 5);
    for vector in good {
        assert_eq!(read(&bytes(vector)), vector["epoch"].as_u64(), "{vector}");
    }
    for vector in bad {
        assert_eq!(read(&bytes(vector)), None, "{vector}");
    }
}
