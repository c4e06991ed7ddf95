//! Pages of a snapshot that is kept as an object: from here, or from whoever has it.

use std::cell::RefCell;

use bytes::Bytes;
use craftec_api::ApiError;
use craftec_core::Cid;
use craftec_obj::{Block, ObjError, Session};
use craftec_sql::{PageStore, PageStoreError, SqlError, Stored};
use futures::{StreamExt, future::LocalBoxFuture};

use crate::fault;

/// The blocks below one root.
pub(crate) struct Pages {
    session: Session,
    /// Why a block could not be had, in the object store's own words.
    failed: RefCell<Option<ObjError>>,
}

impl Pages {
    pub(crate) fn new(session: Session) -> Self {
        Self { session, failed: RefCell::default() }
    }

    /// What a reader says, in the words of whoever knows more.
    pub(crate) fn told(&self, error: SqlError) -> ApiError {
        match (self.failed.take(), error) {
            (Some(failed), SqlError::Store(_)) => fault::object(failed),
            (_, error) => fault::sql(error),
        }
    }
}

impl PageStore for Pages {
    fn get<'a>(
        &'a self,
        _root: &'a Cid,
        wanted: &'a [Cid],
    ) -> LocalBoxFuture<'a, Stored<Vec<Option<Bytes>>>> {
        Box::pin(async move {
            let mut blocks = self.session.blocks(wanted.to_vec());
            let mut found = Vec::with_capacity(wanted.len());
            while let Some(block) = blocks.next().await {
                match block {
                    Ok(block) => found.push(Some(block.into_bytes())),
                    Err(error) => {
                        let reason = error.to_string();
                        *self.failed.borrow_mut() = Some(error);
                        return Err(PageStoreError::Failed { reason });
                    }
                }
            }
            Ok(found)
        })
    }

    fn at_hand(&self, cid: &Cid) -> Option<Bytes> {
        self.session.at_hand(cid).ok()?.map(Block::into_bytes)
    }
}
