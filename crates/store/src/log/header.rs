//! The first block of a segment file.
//!
//! ```text
//!    0  format version (1)
//!    1  "SSL-LOG"
//!    8  segment number (4), file size (4), salt (8)
//!   24  checkpoint: the state before the first frame
//! 4092  CRC-32C of everything before it, so a flip anywhere in the block is found
//! ```

use super::checkpoint::Checkpoint;
use super::frame::Salt;
use super::{MAX_SEGMENT_BYTES, MIN_SEGMENT_BYTES};

/// Bytes before the first frame: one page, so that writing frames never rewrites a page the header lies in.
pub(super) const HEADER_BYTES: usize = 4096;

const VERSION: u8 = 1;
const MAGIC: &[u8; 7] = b"SSL-LOG";
const CRC_AT: usize = HEADER_BYTES - 4;
const CHECKPOINT_AT: usize = 24;

/// What a segment file says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) number: u32,
    pub(super) size: u32,
    pub(super) salt: Salt,
    pub(super) checkpoint: Checkpoint,
}

impl SegmentHeader {
    /// The stored form, [`HEADER_BYTES`] long.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut block = Vec::with_capacity(HEADER_BYTES);
        block.push(VERSION);
        block.extend_from_slice(MAGIC);
        block.extend_from_slice(&self.number.to_le_bytes());
        block.extend_from_slice(&self.size.to_le_bytes());
        block.extend_from_slice(&self.salt.0.to_le_bytes());
        self.checkpoint.encode(&mut block);
        block.resize(CRC_AT, 0);
        block.extend_from_slice(&crc32c::crc32c(&block).to_le_bytes());
        block
    }

    /// Reads the stored form; an error says in words what is wrong with it.
    pub(super) fn decode(block: &[u8]) -> Result<SegmentHeader, String> {
        let block = block.get(..HEADER_BYTES).ok_or("the file is shorter than a segment's header")?;
        if block[CRC_AT..] != crc32c::crc32c(&block[..CRC_AT]).to_le_bytes() {
            return Err(match block[0] {
                VERSION => "the segment's header fails its checksum".to_owned(),
                other => format!("the header fails its checksum, or format version {other} is not known here"),
            });
        }
        if block[0] != VERSION || block[1..8] != *MAGIC {
            return Err(format!("not a segment of format version {VERSION} (first byte {})", block[0]));
        }
        let word = |at: usize| u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]]);
        let salt = Salt(u64::from(word(16)) | u64::from(word(20)) << 32);
        let checkpoint = Checkpoint::decode(&block[CHECKPOINT_AT..CRC_AT]).ok_or("the checkpoint cannot be read")?;
        let (number, size) = (word(8), word(12));
        // Opening fills a short file up to its size.
        if !(MIN_SEGMENT_BYTES..=MAX_SEGMENT_BYTES).contains(&size) {
            return Err(format!("it says that the segment has {size} bytes, which no segment has"));
        }
        Ok(SegmentHeader { number, size, salt, checkpoint })
    }
}
