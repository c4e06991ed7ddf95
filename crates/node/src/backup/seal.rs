//! The envelope of a backup: key derivation, and frames that can't be changed, moved or left out.
//! Values only: salt and nonce are arguments. See the parent module for the layout.

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::{AeadInPlace, KeyInit, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use super::{BackupError, PASSPHRASE_BYTES, PASSPHRASE_CHARS};

const MAGIC: &[u8; 8] = b"CRAFTBAK";
const VERSION: u16 = 1;
const ARGON2ID: u8 = 1;
/// Length of the header.
pub(super) const HEADER_BYTES: usize = 72;
/// Content of a frame.
pub(super) const FRAME_BYTES: usize = 64 << 10;
/// A frame's tag.
pub(super) const TAG_BYTES: usize = 16;
const SALT_BYTES: usize = 16;
const PREFIX_BYTES: usize = 19;
const KEY_BYTES: usize = 32;
const CHECK_BYTES: usize = 16;
/// Most memory that a file may ask for: four times ours, and what any machine has.
const MOST_KIB: u32 = 256 << 10;
/// Most passes over memory: with 64 MiB some ten seconds in a tab.
const MOST_PASSES: u32 = 16;
/// Most memory times passes, in KiB: five times ours.
const MOST_WORK: u64 = 1 << 20;
const MOST_LANES: u8 = 4;

/// How a key is made of a passphrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Derivation {
    /// Memory in KiB.
    pub(super) kib: u32,
    /// Passes over it.
    pub(super) passes: u32,
    /// Lanes.
    pub(super) lanes: u8,
}

/// What this version writes: about a second in a tab, and 64 MiB for every guess.
pub(super) const DERIVATION: Derivation = Derivation { kib: 64 << 10, passes: 3, lanes: 1 };

/// What must never be used twice with one passphrase.
#[derive(Clone, Copy)]
pub(super) struct Fresh {
    /// For the key.
    pub(super) salt: [u8; SALT_BYTES],
    /// For the nonces.
    pub(super) prefix: [u8; PREFIX_BYTES],
}

/// The cipher of one file, and where it is.
struct Frames {
    cipher: XChaCha20Poly1305,
    header: [u8; HEADER_BYTES],
    number: u32,
}

impl Frames {
    fn nonce(&self, last: bool) -> XNonce {
        let mut nonce = XNonce::default();
        nonce[..PREFIX_BYTES].copy_from_slice(&self.header[36..36 + PREFIX_BYTES]);
        nonce[PREFIX_BYTES..23].copy_from_slice(&self.number.to_be_bytes());
        nonce[23] = u8::from(last);
        nonce
    }

    fn next(&mut self) -> Result<(), BackupError> {
        self.number = self.number.checked_add(1).ok_or(BackupError::TooMany("bytes"))?;
        Ok(())
    }

    fn seal(&mut self, frame: &mut [u8], last: bool, out: &mut Vec<u8>) -> Result<(), BackupError> {
        let nonce = self.nonce(last);
        let tag = self.cipher.encrypt_in_place_detached(&nonce, &self.header, frame);
        // Fails only beyond 256 GiB in one frame.
        let tag = tag.map_err(|_| BackupError::TooMany("bytes in a frame"))?;
        out.extend_from_slice(frame);
        out.extend_from_slice(&tag);
        self.next()
    }

    /// The content of a frame with its tag, if it is the next one.
    fn open(&self, sealed: &[u8], last: bool) -> Option<Vec<u8>> {
        let (content, tag) = sealed.split_at_checked(sealed.len().checked_sub(TAG_BYTES)?)?;
        let mut content = content.to_vec();
        let nonce = self.nonce(last);
        let tag = chacha20poly1305::Tag::from_slice(tag);
        self.cipher
            .decrypt_in_place_detached(&nonce, &self.header, &mut content, tag)
            .ok()
            .map(|()| content)
    }
}

/// Writes the envelope.
pub(super) struct Sealer {
    frames: Frames,
    content: Vec<u8>,
}

impl Sealer {
    /// Begins a file; its header goes to `out`.
    pub(super) fn new(
        passphrase: &str,
        derivation: Derivation,
        fresh: Fresh,
        out: &mut Vec<u8>,
    ) -> Result<Self, BackupError> {
        check_passphrase(passphrase)?;
        let mut header = [0; HEADER_BYTES];
        header[..8].copy_from_slice(MAGIC);
        header[8..10].copy_from_slice(&VERSION.to_be_bytes());
        header[10] = ARGON2ID;
        header[11] = derivation.lanes;
        header[12..16].copy_from_slice(&derivation.kib.to_be_bytes());
        header[16..20].copy_from_slice(&derivation.passes.to_be_bytes());
        header[20..36].copy_from_slice(&fresh.salt);
        header[36..55].copy_from_slice(&fresh.prefix);
        let secret = derive(passphrase, derivation, &fresh.salt)?;
        header[56..].copy_from_slice(&secret[KEY_BYTES..]);
        out.extend_from_slice(&header);
        let frames = Frames { cipher: cipher(&secret)?, header, number: 0 };
        Ok(Self { frames, content: Vec::new() })
    }

    /// Appends content; whole frames go to `out`.
    pub(super) fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), BackupError> {
        self.content.extend_from_slice(bytes);
        let mut done = 0;
        // One byte more than a frame: it is not the last.
        while self.content.len() - done > FRAME_BYTES {
            let frame = &mut self.content[done..done + FRAME_BYTES];
            self.frames.seal(frame, false, out)?;
            done += FRAME_BYTES;
        }
        self.content.drain(..done);
        Ok(())
    }

    /// Ends the file.
    pub(super) fn finish(mut self, out: &mut Vec<u8>) -> Result<(), BackupError> {
        let mut last = std::mem::take(&mut self.content);
        self.frames.seal(&mut last, true, out)
    }
}

/// Reads the envelope, piece by piece.
pub(super) struct Opener {
    passphrase: Zeroizing<String>,
    frames: Option<Frames>,
    buffer: Vec<u8>,
    /// Bytes of the file before `buffer`.
    offset: u64,
}

impl Opener {
    /// Begins to read.
    pub(super) fn new(passphrase: String) -> Self {
        let passphrase = Zeroizing::new(passphrase);
        Self { passphrase, frames: None, buffer: Vec::new(), offset: 0 }
    }

    /// Takes bytes of the file; content goes to `content`. What comes out is authentic, and nothing
    /// of a damaged frame does. Derives the key once the header is there, which takes a while.
    pub(super) fn push(&mut self, bytes: &[u8], content: &mut Vec<u8>) -> Result<(), BackupError> {
        self.buffer.extend_from_slice(bytes);
        let mut done = 0;
        if self.frames.is_none() {
            let Some(header) = self.buffer.first_chunk::<HEADER_BYTES>() else { return Ok(()) };
            self.frames = Some(begin(&self.passphrase, *header)?);
            done = HEADER_BYTES;
        }
        let Some(frames) = &mut self.frames else { return Ok(()) };
        const SEALED: usize = FRAME_BYTES + TAG_BYTES;
        while self.buffer.len() - done > SEALED {
            let sealed = &self.buffer[done..done + SEALED];
            let from = self.offset + done as u64;
            let to = from + SEALED as u64;
            let opened = frames.open(sealed, false);
            content.extend(opened.ok_or(BackupError::Damaged { from, to })?);
            frames.next()?;
            done += SEALED;
        }
        self.buffer.drain(..done);
        self.offset += done as u64;
        Ok(())
    }

    /// The file ended here; the rest of its content.
    pub(super) fn finish(self, content: &mut Vec<u8>) -> Result<(), BackupError> {
        let (from, to) = (self.offset, self.offset + self.buffer.len() as u64);
        let Some(frames) = &self.frames else {
            let shown = self.buffer.len().min(MAGIC.len());
            return Err(match self.buffer[..shown] == MAGIC[..shown] {
                true => BackupError::Truncated { bytes: to },
                false => BackupError::Foreign,
            });
        };
        if let Some(last) = frames.open(&self.buffer, true) {
            content.extend(last);
            return Ok(());
        }
        // A whole frame that is not the last, or less than any frame: the rest is missing.
        let cut = self.buffer.len() < FRAME_BYTES + TAG_BYTES
            || frames.open(&self.buffer, false).is_some();
        Err(match cut {
            true => BackupError::Truncated { bytes: to },
            false => BackupError::Damaged { from, to },
        })
    }
}

fn begin(passphrase: &str, header: [u8; HEADER_BYTES]) -> Result<Frames, BackupError> {
    if header[..8] != MAGIC[..] {
        return Err(BackupError::Foreign);
    }
    let version = u16::from_be_bytes([header[8], header[9]]);
    if version > VERSION {
        return Err(BackupError::Newer { found: version, known: VERSION });
    }
    if version == 0 || header[55] != 0 {
        return Err(BackupError::Content("its header".to_owned()));
    }
    if header[10] != ARGON2ID {
        return Err(BackupError::Derivation("another than Argon2id"));
    }
    let word = |at: usize| {
        u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    let derivation = Derivation { kib: word(12), passes: word(16), lanes: header[11] };
    check_passphrase(passphrase)?;
    let secret = derive(passphrase, derivation, &header[20..36])?;
    // What is compared is no secret: it is in the file.
    if secret[KEY_BYTES..] != header[56..] {
        return Err(BackupError::Passphrase);
    }
    Ok(Frames { cipher: cipher(&secret)?, header, number: 0 })
}

fn check_passphrase(passphrase: &str) -> Result<(), BackupError> {
    let long = passphrase.chars().count() >= PASSPHRASE_CHARS;
    match long && passphrase.len() <= PASSPHRASE_BYTES {
        true => Ok(()),
        false => Err(BackupError::PassphraseLength),
    }
}

type Derived = Zeroizing<[u8; KEY_BYTES + CHECK_BYTES]>;

fn derive(passphrase: &str, how: Derivation, salt: &[u8]) -> Result<Derived, BackupError> {
    let Derivation { kib, passes, lanes } = how;
    if kib > MOST_KIB || u64::from(kib) * u64::from(passes) > MOST_WORK {
        return Err(BackupError::Derivation("more memory or time than a backup needs"));
    }
    if passes > MOST_PASSES || lanes == 0 || lanes > MOST_LANES {
        return Err(BackupError::Derivation("more passes or lanes than a backup needs"));
    }
    let bad = |_| BackupError::Derivation("its figures don't fit each other");
    let mut secret = Zeroizing::new([0; KEY_BYTES + CHECK_BYTES]);
    let params = Params::new(kib, passes, lanes.into(), Some(secret.len())).map_err(bad)?;
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.as_bytes(), salt, secret.as_mut())
        .map_err(bad)?;
    Ok(secret)
}

fn cipher(secret: &Derived) -> Result<XChaCha20Poly1305, BackupError> {
    XChaCha20Poly1305::new_from_slice(&secret[..KEY_BYTES])
        .map_err(|_| BackupError::Derivation("its key has another length"))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Quick, for tests only.
    pub(in crate::backup) const QUICK: Derivation = Derivation { kib: 64, passes: 1, lanes: 1 };
    pub(in crate::backup) const FRESH: Fresh = Fresh { salt: [7; 16], prefix: [9; 19] };
    const PASS: &str = "eight ☃ chars";

    fn sealed(content: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut sealer = Sealer::new(PASS, QUICK, FRESH, &mut out).unwrap();
        for part in content.chunks(10_001) {
            sealer.push(part, &mut out).unwrap();
        }
        sealer.finish(&mut out).unwrap();
        out
    }

    fn opened(file: &[u8], pass: &str, part: usize) -> Result<Vec<u8>, BackupError> {
        let (mut opener, mut content) = (Opener::new(pass.to_owned()), Vec::new());
        for part in file.chunks(part) {
            opener.push(part, &mut content)?;
        }
        opener.finish(&mut content)?;
        Ok(content)
    }

    fn content(len: usize) -> Vec<u8> {
        (0..len).map(|at| ((at * 31) >> 3) as u8).collect()
    }

    #[test]
    fn what_is_sealed_is_opened_whatever_the_pieces() {
        for len in [1, FRAME_BYTES - 1, FRAME_BYTES, FRAME_BYTES + 1, 3 * FRAME_BYTES] {
            let file = sealed(&content(len));
            let frames = len.div_ceil(FRAME_BYTES);
            assert_eq!(file.len(), HEADER_BYTES + len + frames * TAG_BYTES);
            for part in [7_777, 1 << 20] {
                assert_eq!(opened(&file, PASS, part).unwrap(), content(len), "{len} {part}");
            }
        }
    }

    #[test]
    fn a_wrong_passphrase_is_told_from_damage() {
        let file = sealed(&content(1000));
        assert!(matches!(opened(&file, "another one", 99), Err(BackupError::Passphrase)));
        assert!(matches!(opened(&file, "short", 99), Err(BackupError::PassphraseLength)));
        assert!(matches!(opened(b"GIF89a", PASS, 99), Err(BackupError::Foreign)));
        assert!(matches!(opened(&[b'x'; 500], PASS, 99), Err(BackupError::Foreign)));
        assert!(matches!(opened(&file[..40], PASS, 99), Err(BackupError::Truncated { bytes: 40 })));
    }

    #[test]
    fn every_flipped_byte_is_noticed_and_placed() {
        let file = sealed(&content(2 * FRAME_BYTES + 100));
        for at in (0..file.len()).step_by(997).chain([0, 8, 10, 11, 55, 56, 71, file.len() - 1]) {
            let mut bad = file.clone();
            bad[at] ^= 1;
            let error = opened(&bad, PASS, 50_000).unwrap_err();
            if let BackupError::Damaged { from, to } = error {
                assert!(from <= at as u64 && (at as u64) < to, "{at} is not in {from}..{to}");
            } else {
                // The last, short frame can't be told from a cut one.
                let tail = HEADER_BYTES + 2 * (FRAME_BYTES + TAG_BYTES);
                assert!(at < HEADER_BYTES || at >= tail, "{at}: {error}");
            }
        }
    }

    #[test]
    fn cut_swapped_and_lengthened_files_are_refused() {
        let file = sealed(&content(3 * FRAME_BYTES));
        let one = FRAME_BYTES + TAG_BYTES;
        for cut in [HEADER_BYTES, HEADER_BYTES + one, HEADER_BYTES + 2 * one, file.len() - 1] {
            let error = opened(&file[..cut], PASS, 1 << 20).unwrap_err();
            let bytes = cut as u64;
            assert!(matches!(error, BackupError::Truncated { bytes: b } if b == bytes), "{error}");
        }
        let mut swapped = file.clone();
        swapped[HEADER_BYTES..HEADER_BYTES + 2 * one].rotate_left(one);
        assert!(matches!(opened(&swapped, PASS, 999), Err(BackupError::Damaged { from: 72, .. })));
        let longer = [file.as_slice(), &file[HEADER_BYTES..]].concat();
        assert!(opened(&longer, PASS, 999).is_err());
    }

    #[test]
    fn a_hostile_header_costs_nothing() {
        let file = sealed(&content(10));
        let with = |at: usize, word: u32| {
            let mut bad = file.clone();
            bad[at..at + 4].copy_from_slice(&word.to_be_bytes());
            opened(&bad, PASS, 999).unwrap_err()
        };
        for error in
            [with(12, u32::MAX), with(16, u32::MAX), with(12, (256 << 10) + 1), with(16, 17)]
        {
            assert!(matches!(error, BackupError::Derivation(_)), "{error}");
        }
        for (at, byte) in [(10, 2), (11, 0), (11, 5)] {
            let mut bad = file.clone();
            bad[at] = byte;
            assert!(matches!(opened(&bad, PASS, 999), Err(BackupError::Derivation(_))));
        }
        let mut newer = file;
        newer[9] = 2;
        let error = opened(&newer, PASS, 999).unwrap_err();
        assert!(matches!(error, BackupError::Newer { found: 2, known: 1 }), "{error}");
    }
}
