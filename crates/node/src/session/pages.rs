//! Commands for programs that have an SQLite of their own: a database by its pages.

use craftec_api::{ApiError, Command, ErrorCode, Reply, SqlState, SqlTurn};

use super::{Session, sql::OpenDatabase};
use crate::databases::check_range;

impl Session {
    /// The rest of the commands about databases.
    pub(super) async fn sql_pages(&self, command: Command) -> Result<Reply, ApiError> {
        match command {
            Command::SqlBegin { handle } => match self.database(handle)? {
                OpenDatabase::Own(desk) => Ok(Reply::State(desk.begin())),
                OpenDatabase::Snapshot(snapshot) => {
                    let length = snapshot.length().await;
                    Ok(Reply::State(SqlState { number: 0, length, made_ms: 0 }))
                }
            },
            Command::SqlPages { handle, state, first, count } => {
                let bytes = match self.database(handle)? {
                    OpenDatabase::Own(desk) => desk.pages(state, first, count)?,
                    OpenDatabase::Snapshot(snapshot) => {
                        snapshot.pages(check_range(first, count)?, count).await?
                    }
                };
                Ok(Reply::Bytes { bytes: bytes.into() })
            }
            Command::SqlReserve { handle, state } => {
                Ok(Reply::Turn { turn: self.desk(handle)?.reserve(state) })
            }
            Command::SqlStage { handle, pages, bytes } => {
                self.desk(handle)?.stage(&pages, &bytes)?;
                Ok(Reply::Done)
            }
            Command::SqlCommit { handle, state, length, pages, bytes } => {
                let committed = self.desk(handle)?.commit(state, length, &pages, &bytes).await;
                let committed = self.node.wrote(committed).await?;
                Ok(committed.map_or(Reply::Turn { turn: SqlTurn::Stale }, Reply::State))
            }
            Command::SqlEnd { handle, state } => {
                if let OpenDatabase::Own(desk) = self.database(handle)? {
                    desk.end(state);
                }
                Ok(Reply::Done)
            }
            _ => Err(ApiError::new(ErrorCode::Internal, "This is no command about databases.")),
        }
    }
}
