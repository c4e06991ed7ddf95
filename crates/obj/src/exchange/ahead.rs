//! Blocks of one session in the order asked, fetched ahead of whoever reads them.

use std::collections::VecDeque;

use craftec_core::{Cid, limits};

use super::{
    errand::AHEAD_BYTES,
    session::{Coming, Session, received},
};
use crate::{block::Block, error::ObjError};

/// Bytes that one stream fetches ahead of its reader: at 200 MB/s some 80 ms, and bounded memory.
const READ_AHEAD_BYTES: u64 = 16 << 20;
/// Fewest and most blocks fetched ahead, whatever their size.
const READ_AHEAD_BLOCKS: std::ops::RangeInclusive<usize> = 16..=1024;

/// A stream's window of blocks that are here or on their way.
pub(super) struct Ahead {
    session: Session,
    wants: std::vec::IntoIter<Cid>,
    slots: VecDeque<Slot>,
}

enum Slot {
    Here(Cid),
    Coming(Cid, Coming),
}

impl Ahead {
    pub(super) fn new(session: Session, wants: Vec<Cid>) -> Self {
        Self { session, wants: wants.into_iter(), slots: VecDeque::new() }
    }

    pub(super) async fn next(&mut self) -> Option<Result<Block, ObjError>> {
        if self.session.errand && self.is_low() {
            self.session.shared.give_way().await;
        }
        if let Err(error) = self.fill() {
            return Some(Err(error));
        }
        Some(match self.slots.pop_front()? {
            Slot::Coming(cid, coming) => received(cid, &self.session, coming).await,
            Slot::Here(cid) => match self.session.shared.local(&cid) {
                Ok(Some(block)) => Ok(block),
                // It rotted or was swept since we looked: fetch it.
                Ok(None) | Err(crate::StoreError::Rotten { .. }) => self.session.block(cid).await,
                Err(error) => Err(error.into()),
            },
        })
    }

    /// How many blocks it fetches ahead.
    fn most(&self) -> usize {
        let bytes = self.session.inner.plan.borrow().block_bytes().max(1);
        let (ahead, fewest) = match self.session.errand {
            true => (AHEAD_BYTES, AHEAD_BYTES.div_ceil(limits::BLOCK_BYTES as u64) as usize),
            false => (READ_AHEAD_BYTES, *READ_AHEAD_BLOCKS.start()),
        };
        ((ahead / bytes) as usize).clamp(fewest, *READ_AHEAD_BLOCKS.end())
    }

    /// Whether the window is to be topped up.
    fn is_low(&self) -> bool {
        let most = self.most();
        self.wants.len() > 0 && self.slots.len() <= most - most / 4
    }

    /// Tops the window up, in large steps so that requests are large.
    fn fill(&mut self) -> Result<(), ObjError> {
        if !self.is_low() {
            return Ok(());
        }
        let most = self.most();
        let Session { shared, inner, errand } = &self.session;
        let step: Vec<Cid> = self.wants.by_ref().take(most - self.slots.len()).collect();
        let mut wanted = false;
        for cid in step {
            self.slots.push_back(match shared.has(&cid)? {
                true => Slot::Here(cid),
                false => {
                    wanted = true;
                    Slot::Coming(cid, inner.want(shared, cid, *errand))
                }
            });
        }
        if wanted {
            inner.recover(shared);
            inner.clone().pump(shared);
        }
        Ok(())
    }
}
