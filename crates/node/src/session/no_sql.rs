//! Commands about databases, in a node that is built without them.

use craftec_api::{ApiError, Command, ErrorCode, Reply};

use super::Session;

/// There are none.
pub(super) enum OpenDatabase {}

/// There are none.
pub(super) enum Rows {}

impl Session {
    pub(super) async fn sql(&self, _: Command) -> Result<Reply, ApiError> {
        // By the code a client knows that another build of this node would have them.
        let error = ApiError::new(ErrorCode::Version, "This node was built without databases.");
        Err(error.hint("Start a node that has them; a native one does: `craftec sql`."))
    }
}
