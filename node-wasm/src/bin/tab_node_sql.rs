//! The node that a tab loads once a database is wanted. JavaScript calls what the library exports.

use craftec_node_wasm as _;

fn main() {}
