//! In the place of databases, in a node that is built without them.

use craftec_api::ApiError;
use craftec_obj::Store;

use crate::{Config, Keys, Ports};

/// None.
pub(crate) struct Databases;

impl Databases {
    pub(crate) fn new(_: Store, _: &Config, _: &Ports, _: &Keys) -> Self {
        Self
    }

    pub(crate) fn published_as(&self, _: &str) -> Result<Option<String>, ApiError> {
        Ok(None)
    }
}
