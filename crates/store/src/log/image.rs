//! A segment as it is found on disk: its header, and all of it where that is needed.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::checkpoint::Checkpoint;
use super::disk::Disk;
use super::fold::Fold;
use super::frame::{FRAME_ALIGNMENT, FRAME_HEADER_BYTES, Frame, file_offset};
use super::header::{HEADER_BYTES, SegmentHeader};
use super::segment::{SegmentFile, segment_path};
use super::summary::{decode_summary, summary_at};
use super::{LogError, MAX_SEGMENT_BYTES};

/// Preallocated space is passed over in pieces of this size: most of a segment that is searched has never been used. A
/// multiple of the frames' alignment.
const ZERO_PIECE: [u8; 1024] = [0; 1024];

/// A segment of which the header was read.
pub(super) struct Head {
    pub(super) segment: SegmentFile,
    pub(super) header: SegmentHeader,
}

/// A segment that was read whole.
pub(super) struct Image {
    pub(super) segment: SegmentFile,
    pub(super) header: SegmentHeader,
    /// As many as the segment's size says.
    pub(super) bytes: Vec<u8>,
    /// Of these, how many there are in the file.
    pub(super) file_bytes: u64,
}

/// What the frames that verify beyond some point say.
#[derive(Default)]
pub(super) struct Beyond {
    pub(super) proven: usize,
    pub(super) end: Option<usize>,
}

impl Head {
    pub(super) fn load(directory: &Path, number: u32) -> Result<Head, LogError> {
        let path = segment_path(directory, number);
        let file = Disk::open(&path)?;
        let mut block = Vec::with_capacity(HEADER_BYTES);
        (&file).take(HEADER_BYTES as u64).read_to_end(&mut block).map_err(LogError::io("read", &path))?;
        let header = SegmentHeader::decode(&block).map_err(|what| LogError::damaged(&path, 0, what))?;
        if header.number != number {
            let what = format!("this name holds segment {}", header.number);
            return Err(LogError::Missing { file: path, what });
        }
        Ok(Head { segment: SegmentFile::opened(number, header.size, header.salt, path, file), header })
    }

    /// What the segment's summary says, if it has one that verifies. Then all of the segment was synced, and `behind` is
    /// the log's state behind it.
    pub(super) fn summary(&self, behind: &Checkpoint) -> Result<Option<Fold>, LogError> {
        let SegmentFile { number, size, salt, path, .. } = &self.segment;
        let at = summary_at(*size);
        let mut bytes = vec![0; usize::try_from(size - at).unwrap_or(0)];
        let file = self.segment.file()?;
        // A file that was cut short has none.
        if file.metadata().map_err(LogError::io("look at", path))?.len() < u64::from(*size) {
            return Ok(None);
        }
        file.read_exact_at(&mut bytes, at.into()).map_err(LogError::io("read", path))?;
        Ok(decode_summary(&bytes, behind, *salt, *number, *size))
    }
}

impl Image {
    pub(super) fn of(head: Head) -> Result<Image, LogError> {
        let Head { segment, header } = head;
        let mut bytes = read_whole(&*segment.file()?, &segment.path)?;
        // No frame was ever written beyond the size. A short file is filled up with zeros before it is written to, and
        // they may be what a frame was cut of: what it says then, it says already.
        let size = usize::try_from(header.size).unwrap_or(usize::MAX);
        bytes.truncate(size);
        let file_bytes = bytes.len() as u64;
        bytes.resize(size, 0);
        Ok(Image { segment, header, bytes, file_bytes })
    }

    /// Looks at every place where a frame could stand, from `from` on, until one proves that `from` was synced.
    pub(super) fn frames_beyond(&self, from: usize) -> Beyond {
        let word = self.segment.salt.sync_word();
        let mut beyond = Beyond::default();
        let rest = self.bytes.get(from..).unwrap_or_default();
        for (number, piece) in rest.chunks(ZERO_PIECE.len()).enumerate() {
            if *piece == ZERO_PIECE[..piece.len()] {
                continue;
            }
            for (place, start) in piece.chunks(FRAME_ALIGNMENT).enumerate() {
                if !start.starts_with(&word) {
                    continue;
                }
                let at = from + number * ZERO_PIECE.len() + place * FRAME_ALIGNMENT;
                let Some(frame) = Frame::decode(&self.bytes[at..], self.segment.salt, file_offset(at)) else {
                    continue;
                };
                beyond.proven = beyond.proven.max(usize::try_from(frame.proven).unwrap_or(usize::MAX));
                beyond.end = Some(at + FRAME_HEADER_BYTES);
                if beyond.proven > from {
                    return beyond;
                }
            }
        }
        beyond
    }
}

fn read_whole(file: &File, path: &Path) -> Result<Vec<u8>, LogError> {
    let length = file.metadata().map_err(LogError::io("look at", path))?.len();
    let mut bytes = vec![0; usize::try_from(length.min(MAX_SEGMENT_BYTES.into())).unwrap_or(0)];
    file.read_exact_at(&mut bytes, 0).map_err(LogError::io("read", path))?;
    Ok(bytes)
}
