//! Reading entries back from a segment by following its frames.

use std::fs::File;
use std::os::unix::fs::FileExt;

use bytes::Bytes;

use super::frame::{FRAME_HEADER_BYTES, Frame, Kind, frame_bytes};
use super::index::Stretch;
use super::segment::SegmentFile;
use super::{LogError, LogPosition, LogRecord};

/// Most bytes that one call of the operating system reads, unless a single frame is larger.
const PIECE_BYTES: usize = 1 << 20;

/// A reader of one segment's frames.
pub(super) struct Walk<'a> {
    segment: &'a SegmentFile,
    file: &'a File,
    /// Nothing is read from here on.
    end: u32,
    piece: Bytes,
    /// Where in the file `piece` begins.
    base: u32,
}

impl<'a> Walk<'a> {
    pub(super) fn new(segment: &'a SegmentFile, file: &'a File, end: u32) -> Walk<'a> {
        Walk { segment, file, end, piece: Bytes::new(), base: 0 }
    }

    /// Adds the entries of `stretch` to `records` until their payloads, with the `bytes` of those before, exceed
    /// `max_bytes`; at least one. Whether all were added. Every frame on the way is verified.
    pub(super) fn entries(
        &mut self,
        stretch: &Stretch,
        records: &mut Vec<LogRecord>,
        bytes: &mut usize,
        max_bytes: usize,
    ) -> Result<bool, LogError> {
        let (mut at, mut next) = (stretch.from.offset, stretch.from.index);
        let mut terms = stretch.terms.iter().copied().peekable();
        let mut term = 0;
        while next <= stretch.last {
            let frame = self.header(at, next)?;
            match (frame.kind, frame.position) {
                (Kind::Entry, Some(position)) if position.index == next => {
                    while let Some((_, begun)) = terms.next_if(|(first, _)| *first <= next) {
                        term = begun;
                    }
                    if next >= stretch.first {
                        if position.term != term {
                            return Err(self.does_not_hold(at, next));
                        }
                        let length = usize::try_from(frame.body_bytes).unwrap_or(usize::MAX);
                        *bytes = bytes.saturating_add(length);
                        if *bytes > max_bytes && !records.is_empty() {
                            return Ok(false);
                        }
                        let payload = self.body(&frame, at, next)?;
                        records.push(LogRecord { position: LogPosition { term, index: next }, payload });
                    }
                    next += 1;
                }
                (Kind::Vote | Kind::Committed | Kind::Purged | Kind::Synced, _) => {}
                _ => return Err(self.does_not_hold(at, next)),
            }
            at = after(&frame, at).ok_or_else(|| self.does_not_hold(at, next))?;
        }
        Ok(true)
    }

    /// The frame's header at `at`, where the entry `index` is looked for.
    fn header(&mut self, at: u32, index: u64) -> Result<Frame, LogError> {
        let bytes = self.bytes(at, FRAME_HEADER_BYTES, index)?;
        Frame::decode(&bytes, self.segment.salt, at).ok_or_else(|| self.does_not_hold(at, index))
    }

    fn body(&mut self, frame: &Frame, at: u32, index: u64) -> Result<Bytes, LogError> {
        let length = FRAME_HEADER_BYTES.saturating_add(usize::try_from(frame.body_bytes).unwrap_or(usize::MAX));
        let bytes = self.bytes(at, length, index)?;
        if frame.body(&bytes, self.segment.salt).is_none() {
            return Err(self.does_not_hold(at, index));
        }
        Ok(bytes.slice(FRAME_HEADER_BYTES..))
    }

    fn does_not_hold(&self, at: u32, index: u64) -> LogError {
        LogError::damaged(&self.segment.path, at.into(), format!("entry {index} does not verify"))
    }

    /// `length` bytes from `at` on.
    fn bytes(&mut self, at: u32, length: usize, index: u64) -> Result<Bytes, LogError> {
        let left = usize::try_from(self.end.saturating_sub(at)).unwrap_or(0);
        if length > left {
            return Err(self.does_not_hold(at, index));
        }
        let held = |walk: &Self| {
            let start = usize::try_from(at.checked_sub(walk.base)?).ok()?;
            (start.checked_add(length)? <= walk.piece.len()).then(|| walk.piece.slice(start..start + length))
        };
        if let Some(bytes) = held(self) {
            return Ok(bytes);
        }
        let mut piece = vec![0; length.max(PIECE_BYTES).min(left)];
        self.file.read_exact_at(&mut piece, at.into()).map_err(LogError::io("read", &self.segment.path))?;
        self.piece = piece.into();
        self.base = at;
        Ok(self.piece.slice(..length))
    }
}

/// Where the frame after the one at `at` stands; `None` beyond what a segment can hold.
fn after(frame: &Frame, at: u32) -> Option<u32> {
    let length = usize::try_from(frame.body_bytes).ok()?;
    at.checked_add(u32::try_from(frame_bytes(length)).ok()?)
}
