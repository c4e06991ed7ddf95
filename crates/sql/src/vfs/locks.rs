//! SQLite's locks between the connections of one thread.
//! Source: <https://sqlite.org/lockingv3.html>.

use craftec_pager::Level;

/// Who reads and who writes. A writer is named by the number of its file.
#[derive(Debug, Default)]
pub(super) struct Locks {
    readers: usize,
    reserved: Option<u64>,
    pending: Option<u64>,
}

impl Locks {
    /// Whether anybody has any lock.
    pub(super) fn any(&self) -> bool {
        self.readers > 0
    }

    pub(super) fn is_reserved(&self) -> bool {
        self.reserved.is_some()
    }

    /// Raises the lock of file `who` from `held`; the level that it has then, which is less than
    /// wanted where somebody is in the way.
    pub(super) fn raise(&mut self, who: u64, held: Level, wanted: Level) -> Level {
        let mut held = held;
        if held == Level::None {
            if self.pending.is_some() {
                return held;
            }
            self.readers += 1;
            held = Level::Shared;
        }
        if wanted >= Level::Reserved && held == Level::Shared {
            if self.reserved.is_some() {
                return held;
            }
            self.reserved = Some(who);
            held = Level::Reserved;
        }
        if wanted == Level::Exclusive && held < Level::Exclusive {
            // From here on nobody begins to read; who still does is waited for.
            self.pending = Some(who);
            held = if self.readers > 1 { Level::Pending } else { Level::Exclusive };
        }
        held
    }

    /// Lowers it.
    pub(super) fn lower(&mut self, who: u64, held: Level, wanted: Level) {
        if wanted <= Level::Shared {
            for writer in [&mut self.reserved, &mut self.pending] {
                if *writer == Some(who) {
                    *writer = None;
                }
            }
        }
        if wanted == Level::None && held > Level::None {
            self.readers = self.readers.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Level::*, *};

    #[test]
    fn many_read_one_writes_and_a_waiting_writer_keeps_new_readers_out() {
        let mut locks = Locks::default();
        assert_eq!(locks.raise(1, None, Shared), Shared);
        assert_eq!(locks.raise(2, None, Shared), Shared);
        assert_eq!(locks.raise(1, Shared, Reserved), Reserved);
        assert_eq!(locks.raise(2, Shared, Reserved), Shared, "one writer");
        assert_eq!(locks.raise(1, Reserved, Exclusive), Pending, "a reader is in the way");
        assert_eq!(locks.raise(3, None, Shared), None, "a writer waits");
        locks.lower(2, Shared, None);
        assert_eq!(locks.raise(1, Pending, Exclusive), Exclusive);
        locks.lower(1, Exclusive, Shared);
        assert_eq!(locks.raise(3, None, Shared), Shared);
        locks.lower(1, Shared, None);
        locks.lower(3, Shared, None);
        assert!(!locks.any() && !locks.is_reserved());
    }
}
