//! The summary of a sealed segment: what reading all of it would say, in a frame of its own at the segment's end.
//!
//! ```text
//!  header | batch | synced | … | sealed synced |  unused  | summary |
//!                                                          └ from here on the writer writes no batch
//! ```
//! It is written once the seal is synced, so one that verifies proves that the whole segment was synced. It is never
//! synced itself and never needed: where it is missing, torn or does not fit, the segment is read.
//!
//! ```text
//!  0  version (1), CRC-32C of the log's state behind the segment (4), then a flag: 0 nothing truncated, 1 all, 2 up to
//!  6  term (8), index (8) of the truncation
//! 22  number of terms (2), of extents (2)
//! 26  each term: first index (8), term (8)
//!     each extent: first anchor (8), first (8), last (8), end (4), number of anchors (4)
//!         each anchor: entries since the first anchor (4), offset (4)
//! ```

use super::checkpoint::Checkpoint;
use super::fold::Fold;
use super::frame::{FRAME_ALIGNMENT, FRAME_HEADER_BYTES, Frame, Kind, Salt, Stamp, encode};
use super::index::{ANCHOR_BYTES, Anchor, Extent};
use super::{LogPosition, MAX_INDEX};

const VERSION: u8 = 1;

/// Room for what is not anchors: a handful of terms and truncations. A segment with more has no summary and is read.
const FIXED_BYTES: u32 = 192;

/// Bytes of an anchor.
const STORED_ANCHOR_BYTES: u32 = 8;

/// Where the summary of a segment of `size` bytes stands; no batch is written from there on.
pub(super) fn summary_at(size: u32) -> u32 {
    let anchors = (size / ANCHOR_BYTES + 1) * STORED_ANCHOR_BYTES;
    let bytes = frame_header_bytes() + FIXED_BYTES + anchors;
    let alignment = u32::try_from(FRAME_ALIGNMENT).unwrap_or(8);
    (size - bytes.min(size)) / alignment * alignment
}

/// The size of a segment in which a batch may end at `end`.
pub(super) fn size_with_summary(end: u32) -> u32 {
    // One anchor and one alignment more, for what the summary itself adds.
    let anchors = (end / ANCHOR_BYTES + 2) * STORED_ANCHOR_BYTES;
    end.saturating_add(frame_header_bytes() + FIXED_BYTES + anchors + STORED_ANCHOR_BYTES)
}

fn frame_header_bytes() -> u32 {
    u32::try_from(FRAME_HEADER_BYTES).unwrap_or(u32::MAX)
}

/// The frame that says what `fold` and the state behind the segment are, of a segment that is synced up to `end`; `None`
/// if it has no room.
pub(super) fn encode_summary(fold: &Fold, behind: &Checkpoint, salt: Salt, size: u32, end: u32) -> Option<Vec<u8>> {
    let offset = summary_at(size);
    let mut body = vec![VERSION];
    body.extend_from_slice(&fingerprint(behind).to_le_bytes());
    let truncated = fold.truncated();
    let LogPosition { term, index } = truncated.flatten().unwrap_or(LogPosition { term: 0, index: 0 });
    body.push(match truncated {
        None => 0,
        Some(None) => 1,
        Some(Some(_)) => 2,
    });
    body.extend_from_slice(&term.to_le_bytes());
    body.extend_from_slice(&index.to_le_bytes());
    let (extents, terms) = fold.entries();
    body.extend_from_slice(&u16::try_from(terms.len()).ok()?.to_le_bytes());
    body.extend_from_slice(&u16::try_from(extents.len()).ok()?.to_le_bytes());
    for (first, term) in terms {
        body.extend_from_slice(&first.to_le_bytes());
        body.extend_from_slice(&term.to_le_bytes());
    }
    for extent in extents {
        let from = extent.anchors.first()?.index;
        body.extend_from_slice(&from.to_le_bytes());
        body.extend_from_slice(&extent.first.to_le_bytes());
        body.extend_from_slice(&extent.last.to_le_bytes());
        body.extend_from_slice(&extent.end.to_le_bytes());
        body.extend_from_slice(&u32::try_from(extent.anchors.len()).ok()?.to_le_bytes());
        for anchor in &extent.anchors {
            body.extend_from_slice(&u32::try_from(anchor.index - from).ok()?.to_le_bytes());
            body.extend_from_slice(&anchor.offset.to_le_bytes());
        }
    }
    let mut frame = Vec::new();
    encode(&mut frame, Stamp { salt, offset, proven: end }, Kind::Summary, None, &body);
    (end <= offset && frame.len() <= usize::try_from(size - offset).ok()?).then_some(frame)
}

/// What the summary at the end of a segment says, if `bytes`, which are the segment's from [`summary_at`] on, are one of
/// this segment, and `behind` is the log's state behind it.
pub(super) fn decode_summary(bytes: &[u8], behind: &Checkpoint, salt: Salt, number: u32, size: u32) -> Option<Fold> {
    let frame = Frame::decode(bytes, salt, summary_at(size)).filter(|frame| frame.kind == Kind::Summary)?;
    let mut body = Reader(frame.body(bytes, salt)?);
    if body.take::<1>()? != [VERSION] || u32::from_le_bytes(body.take()?) != fingerprint(behind) {
        return None;
    }
    let flag = body.take::<1>()?;
    let position = LogPosition { term: body.long()?, index: body.long()? };
    let truncated = match flag {
        [0] => None,
        [1] => Some(None),
        [2] => Some(Some(position)),
        _ => return None,
    };
    let (terms, extents) = (u16::from_le_bytes(body.take()?), u16::from_le_bytes(body.take()?));
    let terms: Vec<_> = (0..terms).map(|_| Some((body.long()?, body.long()?))).collect::<Option<_>>()?;
    let extents: Vec<_> = (0..extents).map(|_| body.extent(number, size)).collect::<Option<_>>()?;
    let follow = extents.windows(2).all(|pair| pair[0].last.checked_add(1) == Some(pair[1].first));
    let known = extents.first().is_none_or(|first| terms.first().is_some_and(|(begins, _)| *begins <= first.first));
    (follow && known && body.0.is_empty()).then(|| Fold::of(truncated, &terms, extents))
}

/// Tells one state from another; the header of the next segment has it whole.
fn fingerprint(state: &Checkpoint) -> u32 {
    let mut bytes = Vec::new();
    state.encode(&mut bytes);
    crc32c::crc32c(&bytes)
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn long(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn word(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn extent(&mut self, segment: u32, size: u32) -> Option<Extent> {
        let (from, first, last) = (self.long()?, self.long()?, self.long()?);
        let (end, anchors) = (self.word()?, self.word()?);
        let mut kept = Vec::new();
        for _ in 0..anchors {
            kept.push(Anchor { index: from.checked_add(self.word()?.into())?, offset: self.word()? });
        }
        let ascend = kept.windows(2).all(|pair| pair[0].index < pair[1].index && pair[0].offset < pair[1].offset);
        let begins = kept.first().is_some_and(|anchor| anchor.index <= first) && first <= last && last <= MAX_INDEX;
        let ends = kept.last().is_some_and(|anchor| anchor.index <= last && anchor.offset < end);
        (ascend && begins && ends && end <= size).then_some(Extent { segment, first, last, end, anchors: kept })
    }
}
