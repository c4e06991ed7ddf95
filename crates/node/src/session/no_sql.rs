//! Commands about databases, in a node that is built without them.

use craftec_api::{ApiError, Command, ErrorCode, Reply};

use super::Session;

/// There are none.
pub(super) enum OpenDatabase {}

/// There are none.
pub(super) enum Rows {}

impl Session {
    pub(super) async fn sql(&self, _: Command) -> Result<Reply, ApiError> {
        let error = ApiError::new(ErrorCode::Refused, "This node has no databases yet.");
        Err(error.hint("A node of the binary has: `craftec sql`."))
    }
}
