//! The protobuf wire format as UnixFS needs it: minimal varints and length-delimited bytes.
//!
//! Never guesses: another wire type, an overlong varint or a length beyond the end is an error.
//! Source: <https://protobuf.dev/programming-guides/encoding/>.

use super::NodeError;

/// Longest varint of 64 bits.
const VARINT_BYTES: usize = 10;

/// The value of one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    pub(super) fn varint(self) -> Result<u64, NodeError> {
        match self {
            Value::Varint(value) => Ok(value),
            Value::Bytes(_) => Err(NodeError::Protobuf { reason: "bytes where a number belongs" }),
        }
    }

    pub(super) fn bytes(self) -> Result<&'a [u8], NodeError> {
        match self {
            Value::Bytes(bytes) => Ok(bytes),
            Value::Varint(_) => Err(NodeError::Protobuf { reason: "a number where bytes belong" }),
        }
    }
}

/// Reads fields from the front of a message.
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn of(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    fn varint(&mut self) -> Result<u64, NodeError> {
        let mut value = 0_u64;
        for (at, byte) in self.rest.iter().copied().take(VARINT_BYTES).enumerate() {
            if at + 1 == VARINT_BYTES && byte > 1 {
                return Err(NodeError::Protobuf { reason: "a varint above 64 bits" });
            }
            value |= u64::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                if byte == 0 && at > 0 {
                    return Err(NodeError::Protobuf { reason: "a varint longer than it need be" });
                }
                self.rest = &self.rest[at + 1..];
                return Ok(value);
            }
        }
        Err(NodeError::Protobuf { reason: "a varint without an end" })
    }

    /// The next field's number and value; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<(u64, Value<'a>)>, NodeError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            2 => {
                let len = self.varint()?;
                let (bytes, rest) = usize::try_from(len)
                    .ok()
                    .and_then(|len| self.rest.split_at_checked(len))
                    .ok_or(NodeError::Protobuf { reason: "a field that ends after its message" })?;
                self.rest = rest;
                Value::Bytes(bytes)
            }
            _ => return Err(NodeError::Protobuf { reason: "a wire type other than 0 and 2" }),
        };
        Ok(Some((key >> 3, value)))
    }
}

/// How many bytes `value` takes as a varint.
pub(super) const fn varint_bytes(value: u64) -> usize {
    if value == 0 { 1 } else { (64 - value.leading_zeros() as usize).div_ceil(7) }
}

/// Appends `value` as a varint.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends field `number` (below 16) as a varint.
pub(super) fn put_number(out: &mut Vec<u8>, number: u8, value: u64) {
    out.push(number << 3);
    put_varint(out, value);
}

/// Appends field `number` (below 16) as bytes.
pub(super) fn put_bytes(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push(number << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_round_trip_and_have_one_form() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut out = vec![0x08];
            put_varint(&mut out, value);
            assert_eq!(out.len() - 1, varint_bytes(value));
            let field = Fields::of(&out).next();
            assert_eq!(field, Ok(Some((1, Value::Varint(value)))));
        }
        let overlong = [0x08, 0x80, 0x00];
        assert!(Fields::of(&overlong).next().is_err());
        let beyond = [0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
        assert!(Fields::of(&beyond).next().is_err());
        let open = [0x08, 0xff];
        assert!(Fields::of(&open).next().is_err());
    }

    #[test]
    fn lengths_beyond_the_end_and_other_wire_types_are_refused() {
        assert!(Fields::of(&[0x0a, 0x05, 1, 2]).next().is_err());
        let mut huge = vec![0x0a];
        put_varint(&mut huge, u64::MAX);
        assert!(Fields::of(&huge).next().is_err());
        assert!(Fields::of(&[0x0d, 0, 0, 0, 0]).next().is_err());
        assert_eq!(Fields::of(&[]).next(), Ok(None));
    }
}
