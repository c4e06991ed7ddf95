//! In the place of databases, in a node that is built without them.

use std::rc::Rc;

use craftec_obj::Store;
use craftec_platform::Clock;

use crate::Config;

/// None.
pub(crate) struct Databases;

impl Databases {
    pub(crate) fn new(_: Store, _: &Config, _: Rc<dyn Clock>) -> Self {
        Self
    }
}
