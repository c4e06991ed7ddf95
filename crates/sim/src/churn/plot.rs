//! x
use super::report::Found;
pub(super) fn margin(_f: &Found) -> String { String::new() }
pub(super) fn traffic(_f: &Found) -> String { String::new() }
pub(super) fn survival(_f: &Found) -> String { String::new() }
