//! Whom the operator does not serve: peers and networks, replaced as a whole while the node runs.
//!
//! It answers questions; who asks them (the admission of connections) acts.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
};

use craftec_core::PeerId;

/// A block of addresses of any size, `192.0.2.0/24` or `2001:db8::/32`; a lone address is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    ip: IpAddr,
    bits: u8,
}

/// Why a text is no block of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// No IP address.
    #[error("it is no IP address")]
    Address,
    /// No such number of bits.
    #[error("the number after the slash is not valid")]
    Bits,
}

impl FromStr for Block {
    type Err = BlockError;

    fn from_str(text: &str) -> Result<Self, BlockError> {
        let (ip, bits) = match text.split_once('/') {
            Some((ip, bits)) => (ip, Some(bits)),
            None => (text, None),
        };
        let ip: IpAddr = ip.parse().map_err(|_| BlockError::Address)?;
        let most = if ip.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) => bits.parse().ok().filter(|bits| *bits <= most).ok_or(BlockError::Bits)?,
            None => most,
        };
        Ok(Self { ip, bits })
    }
}

/// The first bits of an address, with the family in front.
fn head(ip: IpAddr, bits: u8) -> (bool, u128) {
    let (is_v4, value, width) = match ip.to_canonical() {
        IpAddr::V4(ip) => (true, u128::from(u32::from(ip)), 32),
        IpAddr::V6(ip) => (false, u128::from(ip), 128),
    };
    let cut = u32::from(width - bits.min(width));
    (is_v4, value.checked_shr(cut).unwrap_or(0))
}

/// A list of peers and networks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Denied {
    peers: BTreeSet<PeerId>,
    /// By number of bits, so that a look-up costs one step for each number in use.
    blocks: BTreeMap<(bool, u8), BTreeSet<u128>>,
}

impl Denied {
    /// Denies a peer.
    pub fn add_peer(&mut self, peer: PeerId) {
        self.peers.insert(peer);
    }

    /// Denies a network.
    pub fn add_block(&mut self, block: Block) {
        let (is_v4, value) = head(block.ip, block.bits);
        self.blocks.entry((is_v4, block.bits)).or_default().insert(value);
    }

    /// Whether a peer is denied.
    pub fn has_peer(&self, peer: &PeerId) -> bool {
        self.peers.contains(peer)
    }

    /// Whether an address is denied.
    pub fn has_ip(&self, ip: IpAddr) -> bool {
        let is_v4 = ip.to_canonical().is_ipv4();
        let mut blocks = self.blocks.iter().filter(|((family, _), _)| *family == is_v4);
        blocks.any(|((_, bits), values)| values.contains(&head(ip, *bits).1))
    }
}

/// The list in force. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Denials(Arc<Mutex<(Arc<Denied>, u64)>>);

impl Denials {
    /// Replaces the list; connections that it forbids are closed within a second.
    pub fn replace(&self, denied: Denied) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *held = (Arc::new(denied), held.1 + 1);
    }

    /// The list, and how often it was replaced.
    pub fn now(&self) -> (Arc<Denied>, u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_hold_their_addresses_and_no_others() {
        let mut denied = Denied::default();
        for block in ["192.0.2.0/24", "198.51.100.7", "2001:db8::/32", "203.0.113.128/25"] {
            denied.add_block(block.parse().unwrap());
        }
        let has = |ip: &str| denied.has_ip(ip.parse().unwrap());
        for ip in ["192.0.2.9", "::ffff:192.0.2.9", "198.51.100.7", "2001:db8:9::", "203.0.113.200"]
        {
            assert!(has(ip), "{ip}");
        }
        for ip in ["192.0.3.9", "198.51.100.8", "2001:db9::", "203.0.113.127", "::1"] {
            assert!(!has(ip), "{ip}");
        }
        let mut all = Denied::default();
        all.add_block("0.0.0.0/0".parse().unwrap());
        assert!(all.has_ip([9, 9, 9, 9].into()) && !all.has_ip("::1".parse().unwrap()));
        for bad in ["", "/", "x/8", "1.2.3.4/33", "1.2.3.4/-1", "::1/129", "1.2.3/8"] {
            assert!(bad.parse::<Block>().is_err(), "{bad}");
        }
    }
}
