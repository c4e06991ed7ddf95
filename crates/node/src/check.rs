//! The rule by which the DHT stores records: heads and placements that verify, newer over older.

use std::sync::Arc;

use craftec_core::record::Record as Checked;
use craftec_p2p::{Record, RecordCheck, RecordChoice};
use craftec_platform::UnixMs;

/// The check that a shell hands to its network. `now` is the wall clock.
pub fn record_check(now: impl Fn() -> UnixMs + Send + Sync + 'static) -> Arc<dyn RecordCheck> {
    Arc::new(Check { now })
}

struct Check<F> {
    now: F,
}

impl<F: Fn() -> UnixMs + Send + Sync> RecordCheck for Check<F> {
    fn choose(&self, new: &Record, held: Option<&Record>) -> Result<RecordChoice, String> {
        let now_ms = (self.now)().0;
        let verify = |record: &Record| {
            Checked::verify(&record.key.0, &record.value, now_ms).map_err(|e| e.to_string())
        };
        let checked = verify(new)?;
        // What is held and does not verify any more gives way.
        let Some(held) = held.and_then(|held| verify(held).ok()) else {
            return Ok(RecordChoice::Take);
        };
        // A contradiction is kept for ever: dropping one side would hide it from all who ask here.
        let proof = checked.proof_against(&held).map_err(|e| e.to_string())?;
        if let Some(proof) = proof {
            return Ok(RecordChoice::Prove(proof.encode().map_err(|e| e.to_string())?));
        }
        match checked.replaces(&held) {
            Ok(true) => Ok(RecordChoice::Take),
            Ok(false) => Ok(RecordChoice::Keep),
            Err(error) => Err(error.to_string()),
        }
    }
}
