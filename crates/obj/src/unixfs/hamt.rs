//! Folders too large for one block: a hash array mapped trie, as every IPFS implementation reads
//! it.
//!
//! The hash of a name (murmur3 x64, first 64 bits) is read from its most significant bits, eight
//! per level at the fan-out of 256 that is written here. A shard has at most one link per value;
//! its name is the value in upper-case hexadecimal, followed by the entry's name where the link is
//! an entry and by nothing where it is a shard of several. The bitfield (big endian, without
//! leading zeros) says which values are taken. Decoding accepts other fan-outs from 8 to 1,024.
//! Source: <https://specs.ipfs.tech/unixfs/#dag-pb-hamtdirectory>.

use craftec_core::{Cid, Codec};

use super::{
    FolderLink, NodeError,
    data::{Data, Kind},
    own_block,
    path::check_name,
    pb::{PbLink, PbNode},
};
use crate::block::Block;

/// Multicodec of `murmur3-x64-64`.
const MURMUR3_X64_64: u64 = 0x22;
/// Values per level in what is written here.
const FAN_OUT: u32 = 256;
/// Bits per level in what is written here.
const LEVEL_BITS: u32 = FAN_OUT.ilog2();
/// Fan-outs that are read: the least that other tools make and the most that they accept.
const READ_FAN_OUTS: std::ops::RangeInclusive<u64> = 8..=1024;

/// The hash that places a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NameHash(u64);

impl NameHash {
    /// The hash of `name`.
    pub fn of(name: &str) -> Self {
        let hash = murmur3::murmur3_x64_128(&mut name.as_bytes(), 0);
        // Reading from a slice does not fail. The low half is the algorithm's first word.
        Self(hash.unwrap_or_default() as u64)
    }

    /// The value of the `bits` bits after the first `used`; `None` once the hash is used up.
    fn value(self, used: u32, bits: u32) -> Option<u32> {
        if used + bits > u64::BITS {
            return None;
        }
        Some((self.0 << used >> (u64::BITS - bits)) as u32)
    }
}

/// One block of a folder that is spread over several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Bits of the hash that this shard looks at.
    bits: u32,
    /// Ascending by value.
    links: Vec<ShardLink>,
}

/// A link of a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardLink {
    /// Which value of the hash's bits leads here.
    pub value: u32,
    /// What is there.
    pub target: Target,
    /// Bytes of all blocks from it down, as the shard claims.
    pub tsize: u64,
}

/// Where a value leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// To the only entry with this value.
    Entry(FolderLink),
    /// To a shard of all entries with this value.
    Shard(Cid),
}

impl Shard {
    pub(super) fn read(links: Vec<PbLink>, data: Data) -> Result<Self, NodeError> {
        if data.hash_code != Some(MURMUR3_X64_64) {
            return Err(NodeError::Shape { reason: "a shard by a hash other than murmur3-x64-64" });
        }
        let fan_out = data.fan_out.unwrap_or_default();
        if !READ_FAN_OUTS.contains(&fan_out) || !fan_out.is_power_of_two() {
            return Err(NodeError::Shape { reason: "a shard's fan-out is not among 8 to 1024" });
        }
        let taken = taken(data.bytes.as_deref().unwrap_or_default(), fan_out)?;
        if taken.len() != links.len() {
            return Err(NodeError::Shape { reason: "a bitfield that does not name the links" });
        }
        let width = format!("{:X}", fan_out - 1).len();
        let read = |(index, (value, link)): (usize, (u32, PbLink))| {
            let name = link.name.strip_prefix(&format!("{value:0width$X}"));
            let name =
                name.ok_or(NodeError::Shape { reason: "a shard's link is not at its value" })?;
            if name.is_empty() {
                if link.cid.codec() != Codec::DagPb {
                    return Err(NodeError::Shape { reason: "a shard that is no dag-pb node" });
                }
                return Ok(ShardLink { value, target: Target::Shard(link.cid), tsize: link.tsize });
            }
            check_name(name).map_err(|source| NodeError::Name { index, source })?;
            let entry = FolderLink { name: name.to_owned(), cid: link.cid, tsize: link.tsize };
            Ok(ShardLink { value, target: Target::Entry(entry), tsize: link.tsize })
        };
        let links = taken.into_iter().zip(links).enumerate().map(read);
        Ok(Self { bits: fan_out.ilog2(), links: links.collect::<Result<_, _>>()? })
    }

    /// The link where `hash` leads after `used` bits of it were spent on the way here, and the bits
    /// spent after it.
    pub fn find(&self, hash: NameHash, used: u32) -> Option<(&ShardLink, u32)> {
        let value = hash.value(used, self.bits)?;
        let at = self.links.binary_search_by_key(&value, |link| link.value).ok()?;
        Some((&self.links[at], used + self.bits))
    }

    /// All links, ascending by value.
    pub fn links(&self) -> &[ShardLink] {
        &self.links
    }

    /// All links with the place each leads to; an entry that its name's hash would not lead to is
    /// an error, for a lookup would not find it.
    pub fn placed(self, at: Place) -> Result<Vec<(Place, Target)>, NodeError> {
        let used = at.used + self.bits;
        if used > u64::BITS {
            return Err(NodeError::Shape { reason: "shards deeper than the hash is long" });
        }
        let place = |link: ShardLink| {
            let place = Place { path: at.path << self.bits | u64::from(link.value), used };
            if let Target::Entry(entry) = &link.target
                && NameHash::of(&entry.name).0 >> (u64::BITS - used) != place.path
            {
                return Err(NodeError::Shape {
                    reason: "an entry in a shard where it is not found",
                });
            }
            Ok((place, link.target))
        };
        self.links.into_iter().map(place).collect()
    }
}

/// Where in the trie a shard is: the bits of the hash that lead to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    path: u64,
    used: u32,
}

/// The values that a bitfield names, ascending.
fn taken(bitfield: &[u8], fan_out: u64) -> Result<Vec<u32>, NodeError> {
    if bitfield.len() as u64 > fan_out.div_ceil(8) {
        return Err(NodeError::Shape { reason: "a bitfield longer than the fan-out" });
    }
    let bytes = bitfield.iter().rev().zip((0..).step_by(8));
    let bits = bytes.flat_map(|(byte, base)| {
        (0..8).filter(move |bit| byte >> bit & 1 == 1).map(move |bit| base + bit)
    });
    Ok(bits.collect())
}

/// The shards of one folder.
pub(super) struct Built {
    pub(super) root: Cid,
    pub(super) tsize: u64,
    /// Blocks on the longest way from the root to an entry.
    pub(super) levels: usize,
}

/// Two different names whose 64 bits of hash are the same: no trie holds both.
pub(super) struct Collision(pub(super) String, pub(super) String);

/// Builds the shards of `entries` and appends their blocks, parents after their children.
pub(super) fn build(entries: Vec<FolderLink>, blocks: &mut Vec<Block>) -> Result<Built, Collision> {
    let mut hashed: Vec<_> =
        entries.into_iter().map(|entry| (NameHash::of(&entry.name), entry)).collect();
    hashed.sort_by(|a, b| (a.0, &a.1.name).cmp(&(b.0, &b.1.name)));
    if let Some(pair) = hashed.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(Collision(pair[0].1.name.clone(), pair[1].1.name.clone()));
    }
    Ok(shard(&hashed, 0, blocks))
}

/// One shard of entries that agree in their first `used` bits; recurses at most 8 deep, since no
/// two hashes are equal.
fn shard(entries: &[(NameHash, FolderLink)], used: u32, blocks: &mut Vec<Block>) -> Built {
    let value_of = |hash: NameHash| hash.value(used, LEVEL_BITS).unwrap_or_default();
    let mut bitfield = [0_u8; FAN_OUT as usize / 8];
    let mut links = Vec::new();
    let mut levels = 1;
    let mut tsize = 0_u64;
    for group in entries.chunk_by(|a, b| value_of(a.0) == value_of(b.0)) {
        let value = value_of(group[0].0);
        bitfield[bitfield.len() - 1 - value as usize / 8] |= 1 << (value % 8);
        let link = if let [(_, entry)] = group {
            let name = format!("{value:02X}{}", entry.name);
            PbLink { cid: entry.cid, name, tsize: entry.tsize }
        } else {
            let below = shard(group, used + LEVEL_BITS, blocks);
            levels = levels.max(below.levels + 1);
            PbLink { cid: below.root, name: format!("{value:02X}"), tsize: below.tsize }
        };
        tsize = tsize.saturating_add(link.tsize);
        links.push(link);
    }
    let mut data = Data::new(Kind::Shard);
    let zeros = bitfield.iter().take_while(|byte| **byte == 0).count();
    data.bytes = Some(bitfield[zeros..].to_vec());
    data.hash_code = Some(MURMUR3_X64_64);
    data.fan_out = Some(u64::from(FAN_OUT));
    let bytes = PbNode { links, data: Some(data.encode()) }.encode();
    let block = own_block(Codec::DagPb, bytes);
    let built =
        Built { root: *block.cid(), tsize: tsize.saturating_add(block.len() as u64), levels };
    blocks.push(block);
    built
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_hash_as_elsewhere() {
        // Published vectors of murmur3 x64 128, seed 0: the first 64 bits.
        assert_eq!(NameHash::of(""), NameHash(0));
        assert_eq!(NameHash::of("hello"), NameHash(0xcbd8_a7b3_41bd_9b02));
        let hash = NameHash(0xab12_3456_789a_bcde);
        assert_eq!(hash.value(0, 8), Some(0xab));
        assert_eq!(hash.value(8, 8), Some(0x12));
        assert_eq!(hash.value(56, 8), Some(0xde));
        assert_eq!(hash.value(64, 8), None);
        assert_eq!(hash.value(60, 10), None);
    }

    #[test]
    fn bitfields_count_from_their_end() {
        assert_eq!(taken(&[], 256), Ok(vec![]));
        assert_eq!(taken(&[0x80, 0x01], 256), Ok(vec![0, 15]));
        assert!(taken(&[0; 33], 256).is_err());
    }
}
