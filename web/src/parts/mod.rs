//! Parts that several screens share. Each draws what it is given and keeps no state of the node.

pub(crate) mod drop_zone;
pub(crate) mod holders;
pub(crate) mod lookup;
pub(crate) mod marks;
pub(crate) mod nav;
pub(crate) mod share;
pub(crate) mod strip;
pub(crate) mod words;
