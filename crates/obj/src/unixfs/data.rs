//! The UnixFS message inside a dag-pb node: what kind of node it is and how its parts are sized.
//!
//! Fields in ascending order: `Type` 1 varint, `Data` 2 bytes, `filesize` 3 varint, `blocksizes` 4
//! varint repeated (not packed), `hashType` 5 varint, `fanout` 6 varint, `mode` 7 varint and
//! `mtime` 8 message (both accepted, never written, never used).
//! Source: <https://specs.ipfs.tech/unixfs/>.

use super::{
    NodeError,
    wire::{Fields, put_bytes, put_number},
};

/// The values of `Type` that are read here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Raw,
    Folder,
    File,
    Shard,
}

impl Kind {
    const fn number(self) -> u64 {
        match self {
            Kind::Raw => 0,
            Kind::Folder => 1,
            Kind::File => 2,
            Kind::Shard => 5,
        }
    }

    fn of(number: u64) -> Result<Self, NodeError> {
        match number {
            0 => Ok(Kind::Raw),
            1 => Ok(Kind::Folder),
            2 => Ok(Kind::File),
            5 => Ok(Kind::Shard),
            kind => Err(NodeError::Kind { kind }),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Data {
    pub(super) kind: Kind,
    pub(super) bytes: Option<Vec<u8>>,
    pub(super) file_bytes: Option<u64>,
    pub(super) part_bytes: Vec<u64>,
    pub(super) hash_code: Option<u64>,
    pub(super) fan_out: Option<u64>,
}

impl Data {
    pub(super) fn new(kind: Kind) -> Self {
        Self {
            kind,
            bytes: None,
            file_bytes: None,
            part_bytes: Vec::new(),
            hash_code: None,
            fan_out: None,
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_number(&mut out, 1, self.kind.number());
        if let Some(bytes) = &self.bytes {
            put_bytes(&mut out, 2, bytes);
        }
        if let Some(bytes) = self.file_bytes {
            put_number(&mut out, 3, bytes);
        }
        for bytes in &self.part_bytes {
            put_number(&mut out, 4, *bytes);
        }
        if let Some(code) = self.hash_code {
            put_number(&mut out, 5, code);
        }
        if let Some(fan_out) = self.fan_out {
            put_number(&mut out, 6, fan_out);
        }
        out
    }

    pub(super) fn decode(message: &[u8]) -> Result<Self, NodeError> {
        let mut fields = Fields::of(message);
        let Some((1, kind)) = fields.next()? else {
            return Err(NodeError::Protobuf { reason: "a UnixFS message without its type first" });
        };
        let mut data = Self::new(Kind::of(kind.varint()?)?);
        let mut last = 1;
        while let Some((number, value)) = fields.next()? {
            if number < last || (number == last && number != 4) {
                let reason = "UnixFS fields repeated or out of order";
                return Err(NodeError::Protobuf { reason });
            }
            last = number;
            match number {
                2 => data.bytes = Some(value.bytes()?.to_vec()),
                3 => data.file_bytes = Some(value.varint()?),
                4 => data.part_bytes.push(value.varint()?),
                5 => data.hash_code = Some(value.varint()?),
                6 => data.fan_out = Some(value.varint()?),
                7 => drop(value.varint()?),
                8 => drop(value.bytes()?),
                _ => return Err(NodeError::Protobuf { reason: "an unknown UnixFS field" }),
            }
        }
        Ok(data)
    }
}
