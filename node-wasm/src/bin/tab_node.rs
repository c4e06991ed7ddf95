//! The node that a tab loads, without databases. JavaScript calls what the library exports.

use craftec_node_wasm as _;

fn main() {}
