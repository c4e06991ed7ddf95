//! In the place of databases, in a node that is built without them.

use craftec_obj::Store;

use crate::Config;

/// None.
pub(crate) struct Databases;

impl Databases {
    pub(crate) fn new(_: Store, _: &Config) -> Self {
        Self
    }
}
