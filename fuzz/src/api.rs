//! Frames of the local API.
#![allow(unreachable_pub, reason = "tests of the main workspace include this file as a module")]

use craftec_api::{FromNode, ToNode};
use craftec_core::{cbor, limits};

/// A frame from a client or from a node: what decodes is canonical.
pub fn api_frame(bytes: &[u8]) {
    if let Ok(frame) = cbor::decode::<ToNode>(bytes, limits::API_FRAME_BYTES) {
        assert_eq!(cbor::encode(&frame).as_deref(), Ok(bytes));
    }
    if let Ok(frame) = cbor::decode::<FromNode>(bytes, limits::API_FRAME_BYTES) {
        assert_eq!(cbor::encode(&frame).as_deref(), Ok(bytes));
    }
}
