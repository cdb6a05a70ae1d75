//! Reading a log back. Nothing here writes: whatever is refused is left as it was found.
//!
//! The scan follows frames from the header on. Where the first one fails to verify, the question is whether these bytes
//! had been synced. They had, if any frame further on that verifies says so in its `proven` field, or if the next
//! segment holds a frame (a segment is sealed and synced before the next one is written to). Then it is damage, and
//! refused. Otherwise it is what a crash left of the last write, and cut.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use super::checkpoint::Checkpoint;
use super::directory::Listing;
use super::disk::parent_of;
use super::fold::Fold;
use super::frame::{FRAME_HEADER_BYTES, Frame, Kind, Salt, file_offset, frame_bytes};
use super::header::HEADER_BYTES;
use super::image::{Head, Image};
use super::index::Index;
use super::segment::{SegmentFile, segment_path};
use super::{LogError, MAX_INDEX, MAX_PAYLOAD_BYTES};

/// A log as it was found, and what has to be mended before it can be written to.
pub(super) struct Recovered {
    pub(super) checkpoint: Checkpoint,
    pub(super) index: Index,
    /// What the last segment says.
    pub(super) fold: Fold,
    /// Oldest first, without a hole; the last is written to.
    pub(super) segments: Vec<Arc<SegmentFile>>,
    /// Those of them whose summary was believed.
    pub(super) unread: Vec<Weak<SegmentFile>>,
    pub(super) tail: Tail,
    /// The end of the last but one segment, where nothing proves that its seal was synced.
    pub(super) seal: Option<UnprovenSeal>,
    /// Made for the next segment by a write that a crash cut off before the seal.
    pub(super) leftover: Option<PathBuf>,
    /// Segments that a purge had not come to remove.
    pub(super) purged: Vec<(u32, PathBuf)>,
    pub(super) spares: Vec<PathBuf>,
    pub(super) unfinished: Vec<PathBuf>,
}

/// The end of the last segment.
pub(super) struct Tail {
    /// Where the next frame goes.
    pub(super) end: u32,
    /// Below this every byte is known to be synced.
    pub(super) proven: u32,
    /// Frames that verify but are not known to be synced: `proven..end`.
    pub(super) unproven: Vec<u8>,
    /// Where the last frame of a cut write ends that still verifies; it must not be there when new frames come to lie
    /// before it.
    pub(super) rubbish_end: Option<u32>,
    /// Length of the file, which an interrupted copy may have left short.
    pub(super) file_bytes: u64,
}

/// The end of a sealed segment whose seal may be in the page cache alone: the process may have been killed before it
/// could sync it. Nothing may be written to the next segment before this is on disk.
pub(super) struct UnprovenSeal {
    pub(super) segment: Arc<SegmentFile>,
    /// Below this every byte is known to be synced.
    pub(super) proven: u32,
    /// What follows it, the seal included.
    pub(super) bytes: Vec<u8>,
}

/// Why a frame could not be followed.
enum Stop {
    Sealed,
    Open,
}

struct Scan {
    /// The state after the last frame that was folded in.
    checkpoint: Checkpoint,
    fold: Fold,
    at: usize,
    /// Where the last marker passed stands: all before it is synced.
    marker: Option<usize>,
    stop: Stop,
}

/// Reads the log in `directory`: the last segments whole, and of those before the summary, if `believes_summaries`.
pub(super) fn recover(directory: &Path, believes_summaries: bool) -> Result<Recovered, LogError> {
    let listing = Listing::of(directory)?;
    let Some((&newest, _)) = listing.segments.last_key_value() else {
        return Err(if listing.holds_a_log() {
            let what = "segments were purged here, so one must be left".to_owned();
            LogError::Missing { file: directory.join("*.seg"), what }
        } else {
            LogError::NoLog { directory: directory.to_path_buf() }
        });
    };
    // Removals are not ordered among each other, so a crash in a purge may leave old segments on both sides of a hole.
    // Only what follows the last hole counts; the check at the end finds out whether something needed was before it.
    let oldest = (1..=newest).rev().take_while(|number| listing.segments.contains_key(number)).last().unwrap_or(newest);
    let mut head = Head::load(directory, oldest)?;
    let mut index = Index::after(head.header.checkpoint.last);
    let (mut segments, mut unread) = (Vec::new(), Vec::new());
    let mut seal = None;
    let (tail, leftover, checkpoint, fold) = loop {
        let next = head.segment.number.checked_add(1).filter(|next| *next <= newest);
        let following = next.map(|next| Head::load(directory, next)).transpose()?;
        let behind = following.as_ref().map(|following| &following.header.checkpoint);
        if let Some(behind) = behind.filter(|_| believes_summaries)
            && let Some(fold) = head.summary(behind)?
        {
            join(&fold, &mut index, behind, &head.segment)?;
            head.segment.release();
            let segment = Arc::new(head.segment);
            unread.push(Arc::downgrade(&segment));
            segments.push(segment);
            seal = None;
            head = following.ok_or(LogError::WriterGone)?;
            continue;
        }
        let mut scan = Scan::before(&head.header.checkpoint);
        let image = Image::of(head)?;
        scan.follow(&image)?;
        join(&scan.fold, &mut index, &scan.checkpoint, &image.segment)?;
        if let Stop::Open = scan.stop {
            let (tail, leftover) = cut(&image, &scan, following, newest)?;
            segments.push(Arc::new(image.segment));
            break (tail, leftover, scan.checkpoint, scan.fold);
        }
        let Some(following) = following else {
            let what = format!("{} was sealed after this one had been made", image.segment.path.display());
            let file = segment_path(directory, image.segment.number.saturating_add(1));
            return Err(LogError::Missing { file, what });
        };
        if following.header.checkpoint != scan.checkpoint {
            let what = format!("it does not continue {}", image.segment.path.display());
            return Err(LogError::Missing { file: following.segment.path, what });
        }
        let segment = Arc::new(image.segment);
        seal = scan.unproven_seal(segment.salt, &image.bytes).map(|(proven, bytes)| UnprovenSeal {
            segment: Arc::clone(&segment),
            proven,
            bytes,
        });
        segment.release();
        segments.push(segment);
        head = following;
    };
    // A frame in the last segment proves the seal before it: it was written after the seal had been synced.
    let seal = seal.filter(|_| tail.end == file_offset(HEADER_BYTES));
    let floor = index.floor();
    if floor.map(|floor| floor.index) != checkpoint.purged.map(|purged| purged.index) {
        let what = format!("it begins after {floor:?}, but entries were purged only up to {:?}", checkpoint.purged);
        return Err(LogError::Missing { file: segment_path(directory, oldest - 1), what });
    }
    let purged = listing.segments.into_iter().filter(|(number, _)| *number < oldest).collect();
    let (spares, unfinished) = (listing.spares, listing.unfinished);
    Ok(Recovered { checkpoint, index, fold, segments, unread, tail, seal, leftover, purged, spares, unfinished })
}

/// Judges where the last segment stops: damage, or a torn write to cut.
fn cut(image: &Image, scan: &Scan, following: Option<Head>, newest: u32) -> Result<(Tail, Option<PathBuf>), LogError> {
    let path = &image.segment.path;
    let beyond = image.frames_beyond(scan.at);
    if beyond.proven > scan.at {
        let what =
            format!("no frame verifies here, but one further on proves that {} bytes were synced", beyond.proven);
        return Err(LogError::damaged(path, scan.at as u64, what));
    }
    let mut leftover = None;
    if let Some(following) = following {
        let following = Image::of(following)?;
        if following.segment.number != newest || following.frames_beyond(HEADER_BYTES).end.is_some() {
            let what = format!("no frame verifies here, but {} was written to later", following.segment.path.display());
            return Err(LogError::damaged(path, scan.at as u64, what));
        }
        leftover = Some(following.segment.path);
    }
    // A marker at the very end proves all before it; anything else since the last marker is not known to be synced.
    let proven = scan.marker.unwrap_or(HEADER_BYTES);
    let synced = scan.at == scan.marker.map_or(HEADER_BYTES, |marker| marker + FRAME_HEADER_BYTES);
    let unproven = if synced { Vec::new() } else { image.bytes[proven..scan.at].to_vec() };
    let tail = Tail {
        end: file_offset(scan.at),
        proven: file_offset(proven),
        unproven,
        rubbish_end: beyond.end.map(file_offset),
        file_bytes: image.file_bytes,
    };
    Ok((tail, leftover))
}

/// Takes `index` over a segment, behind which the state is `behind`.
fn join(fold: &Fold, index: &mut Index, behind: &Checkpoint, segment: &SegmentFile) -> Result<(), LogError> {
    fold.join(index, behind.purged).map_err(|(found, expected)| {
        let what = format!("entry {found} stands where entry {expected} should");
        LogError::damaged(&segment.path, HEADER_BYTES as u64, what)
    })
}

/// Reads a sealed segment whole and verifies it.
pub(super) fn read_sealed(segment: &SegmentFile) -> Result<(), LogError> {
    let directory = parent_of(&segment.path);
    let image = Image::of(Head::load(directory, segment.number)?)?;
    let mut scan = Scan::before(&image.header.checkpoint);
    scan.follow(&image)?;
    match scan.stop {
        Stop::Sealed => Ok(()),
        Stop::Open => {
            let what = "no frame verifies here, but the segment was sealed further on".to_owned();
            Err(LogError::damaged(&segment.path, scan.at as u64, what))
        }
    }
}

impl Scan {
    /// At the first frame of a segment.
    fn before(checkpoint: &Checkpoint) -> Scan {
        let fold = Fold::after(checkpoint.last);
        Scan { checkpoint: checkpoint.clone(), fold, at: HEADER_BYTES, marker: None, stop: Stop::Open }
    }

    /// Folds in the frames of one segment, up to its seal or to the first that does not verify.
    fn follow(&mut self, image: &Image) -> Result<(), LogError> {
        let salt = image.segment.salt;
        while let Some(rest) = image.bytes.get(self.at..) {
            let Some(frame) = Frame::decode(rest, salt, file_offset(self.at)) else { break };
            let Some(body) = frame.body(rest, salt) else { break };
            let next = self.at + frame_bytes(body.len());
            if next > image.bytes.len() || frame.kind == Kind::Summary {
                break;
            }
            self.fold(&frame, body).map_err(|what| LogError::damaged(&image.segment.path, self.at as u64, what))?;
            self.place(&frame, image.segment.number);
            match frame.kind {
                Kind::Sealed => {
                    self.stop = Stop::Sealed;
                    return Ok(());
                }
                Kind::Synced => self.marker = Some(self.at),
                _ => {}
            }
            self.at = next;
        }
        Ok(())
    }

    /// What of a sealed segment is not known to be synced: nothing, if the seal has its marker.
    fn unproven_seal(&self, salt: Salt, bytes: &[u8]) -> Option<(u32, Vec<u8>)> {
        let end = self.at + FRAME_HEADER_BYTES;
        let marker = bytes.get(end..).and_then(|rest| Frame::decode(rest, salt, file_offset(end)));
        if marker.is_some_and(|marker| marker.kind == Kind::Synced && marker.proven == file_offset(end)) {
            return None;
        }
        let proven = self.marker.unwrap_or(HEADER_BYTES);
        Some((file_offset(proven), bytes[proven..end].to_vec()))
    }

    /// Checks that a frame that verifies also makes sense, then folds it in.
    fn fold(&mut self, frame: &Frame, body: &[u8]) -> Result<(), String> {
        if frame.position.is_some_and(|position| position.index > MAX_INDEX) {
            return Err(format!("a frame that says {:?} names an index that no entry has", frame.kind));
        }
        match (frame.kind, frame.position) {
            (Kind::Entry, Some(position)) => {
                self.fold
                    .expects(position.index)
                    .map_err(|expected| format!("entry {} stands where entry {expected} should", position.index))?;
                if body.len() > MAX_PAYLOAD_BYTES {
                    return Err(format!("the payload of entry {} is too long", position.index));
                }
            }
            (Kind::Entry | Kind::Committed | Kind::Purged, None) => {
                return Err(format!("a frame that says {:?} names no position", frame.kind));
            }
            (Kind::Truncated, position) => {
                let purged = self.checkpoint.purged.map(|purged| purged.index);
                if position.map(|position| position.index) < purged {
                    return Err(format!("it truncates to {position:?}, but entries were purged up to {purged:?}"));
                }
            }
            _ => {}
        }
        self.checkpoint.apply(frame.kind, frame.position, body);
        Ok(())
    }

    fn place(&mut self, frame: &Frame, segment: u32) {
        match (frame.kind, frame.position) {
            (Kind::Entry, Some(position)) => {
                let length = frame_bytes(usize::try_from(frame.body_bytes).unwrap_or(usize::MAX));
                self.fold.entry(position, segment, frame.offset, frame.offset + file_offset(length));
            }
            (kind, position) => self.fold.other(kind, position),
        }
    }
}
