//! What a person is told when a write finds no room: how much is used, how much is free, what to do.
//! It never decides what is stored or freed.

use craftec_api::{ApiError, ErrorCode};

use crate::{Node, fault};

/// More room than when a write failed, by so many bytes, ends the state of being full: less is what
/// an index takes and gives back by itself.
const MORE_BYTES: u64 = 1 << 20;

impl Node {
    /// Notes how a write ended, and fills its error with figures.
    pub(crate) async fn wrote<T>(&self, result: Result<T, ApiError>) -> Result<T, ApiError> {
        match result {
            Ok(done) => {
                self.full.set(None);
                Ok(done)
            }
            Err(error) if fault::is_disk_full(&error) => Err(self.is_full(error).await),
            Err(error) => Err(error),
        }
    }

    /// Whether the last write found no room, and there is no more now.
    pub(crate) fn still_full(&self, free_bytes: Option<u64>) -> bool {
        let Some(then) = self.full.get() else { return false };
        let more = free_bytes.is_some_and(|free| free > then.saturating_add(MORE_BYTES));
        if more {
            self.full.set(None);
        }
        !more
    }

    async fn is_full(&self, error: ApiError) -> ApiError {
        let free = self.lending.now().await.free_bytes;
        self.full.set(Some(free.unwrap_or_default()));
        let Ok(used) = self.store.used_bytes() else { return error };
        let message = match free {
            Some(free) => {
                let whole = size(used.saturating_add(free));
                format!("Your disk is full: {} of {whole} used, {} free.", size(used), size(free))
            }
            None => format!("Your disk is full: this node keeps {} on it.", size(used)),
        };
        ApiError { message, ..error }
    }
}

/// The words for a full disk, without figures.
pub(crate) fn disk_full() -> ApiError {
    let hint = "Nothing is lost, but new files wait. Let go of something, lend less, or make room \
                on the disk; then try again, without loading anything anew.";
    let mut error = ApiError::new(ErrorCode::Full, "Your disk is full.").hint(hint);
    error.retryable = true;
    error
}

/// Bytes in words; MB is 10⁶.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [(&str, u64); 4] =
        [("TB", 1_000_000_000_000), ("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)];
    for (unit, factor) in UNITS {
        if bytes >= factor {
            let tenths = bytes / (factor / 10);
            return format!("{}.{} {unit}", tenths / 10, tenths % 10);
        }
    }
    format!("{bytes} B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_decimal() {
        for (bytes, text) in
            [(0, "0 B"), (999, "999 B"), (1_250, "1.2 kB"), (22_400_000_000, "22.4 GB")]
        {
            assert_eq!(size(bytes), text);
        }
    }
}
