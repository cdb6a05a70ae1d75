//! Everything the log knows besides its entries, as a fold over frames.

use bytes::Bytes;

use super::frame::Kind;
use super::{LogPosition, MAX_IDENTITY_BYTES, MAX_INDEX, MAX_VOTE_BYTES};

/// The state after some prefix of the frames. Each segment's header holds the one before its first frame, so that
/// older segments can go as whole files, and so that a segment which does not continue its predecessor is noticed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Checkpoint {
    pub(super) identity: Bytes,
    pub(super) vote: Option<Bytes>,
    pub(super) committed: Option<LogPosition>,
    pub(super) purged: Option<LogPosition>,
    pub(super) last: Option<LogPosition>,
}

impl Checkpoint {
    /// Folds one frame in. A frame without the position its kind needs changes nothing; recovery refuses it first.
    pub(super) fn apply(&mut self, kind: Kind, position: Option<LogPosition>, body: &[u8]) {
        match kind {
            Kind::Entry | Kind::Truncated => self.last = position,
            Kind::Vote => self.vote = Some(Bytes::copy_from_slice(body)),
            Kind::Committed => self.committed = position,
            Kind::Purged => {
                self.purged = position;
                if self.last.map(|last| last.index) < position.map(|purged| purged.index) {
                    self.last = position;
                }
            }
            Kind::Synced | Kind::Sealed | Kind::Summary => {}
        }
    }

    /// Appends the stored form: lengths are two bytes, positions a flag byte and sixteen bytes, all little-endian.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_bytes(out, Some(&self.identity));
        put_bytes(out, self.vote.as_deref());
        for position in [self.committed, self.purged, self.last] {
            out.push(u8::from(position.is_some()));
            let LogPosition { term, index } = position.unwrap_or(LogPosition { term: 0, index: 0 });
            out.extend_from_slice(&term.to_le_bytes());
            out.extend_from_slice(&index.to_le_bytes());
        }
    }

    /// Reads the stored form; `None` if it is not one.
    pub(super) fn decode(mut bytes: &[u8]) -> Option<Checkpoint> {
        let identity = take_bytes(&mut bytes, MAX_IDENTITY_BYTES)??;
        let vote = take_bytes(&mut bytes, MAX_VOTE_BYTES)?;
        let committed = take_position(&mut bytes)?;
        let purged = take_position(&mut bytes)?;
        let last = take_position(&mut bytes)?;
        Some(Checkpoint { identity, vote, committed, purged, last })
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    out.push(u8::from(bytes.is_some()));
    let bytes = bytes.unwrap_or_default();
    // Both are at most 256 bytes, checked where they enter, so the length is never cut here.
    out.extend_from_slice(&u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (head, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(head)
}

fn take_flag(bytes: &mut &[u8]) -> Option<bool> {
    match take(bytes, 1)? {
        [0] => Some(false),
        [1] => Some(true),
        _ => None,
    }
}

fn take_bytes(bytes: &mut &[u8], bound: usize) -> Option<Option<Bytes>> {
    let present = take_flag(bytes)?;
    let length = usize::from(u16::from_le_bytes(take(bytes, 2)?.try_into().ok()?));
    let content = take(bytes, length)?;
    (length <= bound).then(|| present.then(|| Bytes::copy_from_slice(content)))
}

fn take_position(bytes: &mut &[u8]) -> Option<Option<LogPosition>> {
    let present = take_flag(bytes)?;
    let term = u64::from_le_bytes(take(bytes, 8)?.try_into().ok()?);
    let index = u64::from_le_bytes(take(bytes, 8)?.try_into().ok()?);
    (index <= MAX_INDEX).then(|| present.then_some(LogPosition { term, index }))
}
