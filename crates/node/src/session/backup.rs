//! Commands that write and read backups. They hold the identity, so they are for whoever sits at the
//! node's machine.

use craftec_api::{ApiError, ErrorCode, Reply, Secret};
use futures::{StreamExt, TryStreamExt};

use super::{Access, Session, handles::Handle};
use crate::{
    backup::{self, Restore},
    fault,
};

impl Session {
    pub(super) async fn backup_open(&self, passphrase: &Secret) -> Result<Reply, ApiError> {
        self.only_local()?;
        // What was fetched and is not on the disk yet belongs to it.
        self.node.exchange.flush().map_err(fault::store)?;
        let plan = backup::plan(&self.node).map_err(fault::backup)?;
        let (bytes, objects) = (plan.bytes, plan.objects());
        let file = backup::stream(self.node.clone(), plan, &passphrase.0).map_err(fault::backup)?;
        let handle = self.open_stream(file.map_err(fault::backup).boxed_local())?;
        Ok(Reply::Backup { handle, bytes, objects })
    }

    pub(super) fn restore_open(
        &self,
        passphrase: Secret,
        replace: bool,
    ) -> Result<Reply, ApiError> {
        self.only_local()?;
        let restore = Restore::new(self.node.clone(), passphrase, replace);
        let handle = self.handles.add(Handle::Restore(Box::new(restore)))?;
        Ok(Reply::Handle { handle })
    }

    fn only_local(&self) -> Result<(), ApiError> {
        match self.access {
            Access::Local => Ok(()),
            Access::Remote => {
                let message = "Backups are written and read on the node's own machine only.";
                Err(ApiError::new(ErrorCode::Refused, message))
            }
        }
    }
}
