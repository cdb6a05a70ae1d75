//! The frame: what the log writes, and how a frame proves that it belongs where it stands.
//!
//! ```text
//!  0  sync word   the upper half of the segment's salt
//!  4  header CRC  CRC-32C of bytes 8..48, seeded with the lower half of the salt
//!  8  offset      where in the file this frame stands
//! 12  proven      every byte of the file below this offset had been synced before this frame was written
//! 16  length      of the body
//! 20  body CRC    seeded likewise
//! 24  kind, then a flag (1: the position is present), then six zero bytes
//! 32  term
//! 40  index
//! 48  body, padded with zeros to a multiple of eight
//! ```

use super::LogPosition;

/// Bytes of a frame before its body.
pub(super) const FRAME_HEADER_BYTES: usize = 48;

/// Frames start at multiples of this, which bounds the places a search has to look at.
pub(super) const FRAME_ALIGNMENT: usize = 8;

/// What a frame says. The numbers are the stored form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// An entry; the body is its payload.
    Entry = 1,
    /// The vote; the body is its bytes.
    Vote = 2,
    /// The committed position.
    Committed = 3,
    /// Entries after the position are gone; without a position, all of them.
    Truncated = 4,
    /// Entries up to the position are gone.
    Purged = 5,
    /// Everything before this frame has been synced.
    Synced = 6,
    /// The segment ends here and the next one exists.
    Sealed = 7,
    /// What reading the sealed segment would say; stands at its end, behind what is read.
    Summary = 8,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Kind> {
        Some(match byte {
            1 => Kind::Entry,
            2 => Kind::Vote,
            3 => Kind::Committed,
            4 => Kind::Truncated,
            5 => Kind::Purged,
            6 => Kind::Synced,
            7 => Kind::Sealed,
            8 => Kind::Summary,
            _ => return None,
        })
    }
}

/// The secret of one life of one segment file. A frame of an earlier life of the same, recycled file, or one that
/// a payload happens to contain, fails the sync word and the CRC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Salt(pub(super) u64);

impl Salt {
    /// A new random salt; its sync word is not zero, so zeroed space never looks like a frame.
    pub(super) fn random() -> Salt {
        loop {
            let salt = Salt(rand::random());
            if salt.sync_word() != [0; 4] {
                return salt;
            }
        }
    }

    pub(super) fn sync_word(self) -> [u8; 4] {
        let [_, _, _, _, word @ ..] = self.0.to_le_bytes();
        word
    }

    fn crc(self, bytes: &[u8]) -> u32 {
        let [a, b, c, d, ..] = self.0.to_le_bytes();
        crc32c::crc32c_append(u32::from_le_bytes([a, b, c, d]), bytes)
    }
}

/// A frame's header, verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: Kind,
    pub(super) offset: u32,
    pub(super) proven: u32,
    pub(super) position: Option<LogPosition>,
    pub(super) body_bytes: u32,
    body_crc: u32,
}

/// Bytes that a frame with a body of `body_bytes` takes in the file.
pub(super) fn frame_bytes(body_bytes: usize) -> usize {
    FRAME_HEADER_BYTES + body_bytes.next_multiple_of(FRAME_ALIGNMENT)
}

/// Where in its file something stands, as a frame says it. It fits: a segment is at most [`super::MAX_SEGMENT_BYTES`] long.
pub(super) fn file_offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// What is said of a frame besides its body, before it is encoded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stamp {
    pub(super) salt: Salt,
    pub(super) offset: u32,
    pub(super) proven: u32,
}

/// Appends one frame to `out`. `body` is at most [`super::MAX_PAYLOAD_BYTES`] long.
pub(super) fn encode(out: &mut Vec<u8>, stamp: Stamp, kind: Kind, position: Option<LogPosition>, body: &[u8]) {
    let start = out.len();
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let LogPosition { term, index } = position.unwrap_or(LogPosition { term: 0, index: 0 });
    out.extend_from_slice(&stamp.salt.sync_word());
    out.extend_from_slice(&[0; 4]);
    for word in [stamp.offset, stamp.proven, length, stamp.salt.crc(body)] {
        out.extend_from_slice(&word.to_le_bytes());
    }
    out.extend_from_slice(&[kind as u8, u8::from(position.is_some()), 0, 0, 0, 0, 0, 0]);
    out.extend_from_slice(&term.to_le_bytes());
    out.extend_from_slice(&index.to_le_bytes());
    let crc = stamp.salt.crc(&out[start + 8..]);
    out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(body);
    out.resize(start + frame_bytes(body.len()), 0);
}

impl Frame {
    /// The header that `bytes` begin with, if it verifies as one that was written at `offset` under this salt.
    pub(super) fn decode(bytes: &[u8], salt: Salt, offset: u32) -> Option<Frame> {
        let header = bytes.get(..FRAME_HEADER_BYTES)?;
        if header[..4] != salt.sync_word() || word(header, 4) != salt.crc(&header[8..]) || word(header, 8) != offset {
            return None;
        }
        let position = LogPosition { term: long(header, 32), index: long(header, 40) };
        Some(Frame {
            kind: Kind::from_byte(header[24])?,
            offset,
            proven: word(header, 12),
            position: (header[25] == 1).then_some(position),
            body_bytes: word(header, 16),
            body_crc: word(header, 20),
        })
    }

    /// The body, if `bytes` (which begin with this frame) hold it whole and it verifies.
    pub(super) fn body<'a>(&self, bytes: &'a [u8], salt: Salt) -> Option<&'a [u8]> {
        let length = usize::try_from(self.body_bytes).ok()?;
        let body = bytes.get(FRAME_HEADER_BYTES..FRAME_HEADER_BYTES.checked_add(length)?)?;
        (salt.crc(body) == self.body_crc).then_some(body)
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from(word(bytes, at)) | u64::from(word(bytes, at + 4)) << 32
}
