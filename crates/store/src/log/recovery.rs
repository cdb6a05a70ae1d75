//! Reading a log back. Nothing here writes: whatever is refused is left as it was found.
//!
//! The scan follows frames from the header on. Where the first one fails to verify, the question is whether these bytes
//! had been synced. They had, if any frame further on that verifies says so in its `proven` field, or if the next
//! segment holds a frame (a segment is sealed and synced before the next one is written to). Then it is damage, and
//! refused. Otherwise it is what a crash left of the last write, and cut.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::checkpoint::Checkpoint;
use super::directory::Listing;
use super::disk::Disk;
use super::frame::{FRAME_ALIGNMENT, FRAME_HEADER_BYTES, Frame, Kind, Salt, frame_bytes};
use super::header::{HEADER_BYTES, SegmentHeader};
use super::index::{Index, Placed};
use super::segment::{SegmentFile, segment_path};
use super::{LogError, MAX_INDEX, MAX_PAYLOAD_BYTES};

/// Preallocated space is passed over in pieces of this size: most of a segment that is searched has never been used. A
/// multiple of the frames' alignment.
const ZERO_PIECE: [u8; 1024] = [0; 1024];

/// A log as it was found, and what has to be mended before it can be written to.
pub(super) struct Recovered {
    pub(super) checkpoint: Checkpoint,
    pub(super) index: Index,
    /// Oldest first, without a hole; the last is written to.
    pub(super) segments: Vec<Arc<SegmentFile>>,
    pub(super) tail: Tail,
    /// The end of the last but one segment, where nothing proves that its seal was synced.
    pub(super) seal: Option<UnprovenSeal>,
    /// Made for the next segment by a write that a crash cut off before the seal.
    pub(super) leftover: Option<PathBuf>,
    /// Segments that a purge had not come to remove.
    pub(super) purged: Vec<(u32, PathBuf)>,
    pub(super) spares: Vec<PathBuf>,
    pub(super) unfinished: Option<PathBuf>,
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

struct Image {
    segment: SegmentFile,
    header: SegmentHeader,
    /// As many as the segment's size says.
    bytes: Vec<u8>,
    /// Of these, how many there are in the file.
    file_bytes: u64,
}

struct Scan {
    checkpoint: Checkpoint,
    index: Index,
    at: usize,
    /// Where the last marker passed stands: all before it is synced.
    marker: Option<usize>,
    stop: Stop,
    /// The next entry is the first of its segment, or the first after a truncation.
    begins: bool,
}

/// Reads the log in `directory`.
pub(super) fn recover(directory: &Path) -> Result<Recovered, LogError> {
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
    let first = Image::load(directory, oldest)?;
    let start = first.header.checkpoint.clone();
    let index = Index::after(start.last);
    let mut segments = Vec::new();
    let mut scan = Scan { checkpoint: start, index, at: HEADER_BYTES, marker: None, stop: Stop::Open, begins: true };
    let mut image = first;
    let mut seal = None;
    let (tail, leftover) = loop {
        scan.follow(&image)?;
        let next = image.segment.number.checked_add(1).filter(|next| *next <= newest);
        if let Stop::Open = scan.stop {
            let (tail, leftover) = cut(directory, &image, &scan, next, newest)?;
            segments.push(Arc::new(image.segment));
            break (tail, leftover);
        }
        let Some(next) = next else {
            let what = format!("{} was sealed after this one had been made", image.segment.path.display());
            let file = segment_path(directory, image.segment.number.saturating_add(1));
            return Err(LogError::Missing { file, what });
        };
        let following = Image::load(directory, next)?;
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
        image = following;
    };
    // A frame in the last segment proves the seal before it: it was written after the seal had been synced.
    let seal = seal.filter(|_| tail.end == offset(HEADER_BYTES));
    let floor = scan.index.floor();
    if floor.map(|floor| floor.index) != scan.checkpoint.purged.map(|purged| purged.index) {
        let what =
            format!("it begins after {floor:?}, but entries were purged only up to {:?}", scan.checkpoint.purged);
        return Err(LogError::Missing { file: segment_path(directory, oldest - 1), what });
    }
    let purged = listing.segments.into_iter().filter(|(number, _)| *number < oldest).collect();
    let (spares, unfinished) = (listing.spares, listing.unfinished);
    let Scan { checkpoint, index, .. } = scan;
    Ok(Recovered { checkpoint, index, segments, tail, seal, leftover, purged, spares, unfinished })
}

/// Judges where the last segment stops: damage, or a torn write to cut.
fn cut(
    directory: &Path,
    image: &Image,
    scan: &Scan,
    next: Option<u32>,
    newest: u32,
) -> Result<(Tail, Option<PathBuf>), LogError> {
    let path = &image.segment.path;
    let beyond = image.frames_beyond(scan.at);
    if beyond.proven > scan.at {
        let what =
            format!("no frame verifies here, but one further on proves that {} bytes were synced", beyond.proven);
        return Err(LogError::damaged(path, scan.at as u64, what));
    }
    let mut leftover = None;
    if let Some(next) = next {
        let following = Image::load(directory, next)?;
        if next != newest || following.frames_beyond(HEADER_BYTES).end.is_some() {
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
        end: offset(scan.at),
        proven: offset(proven),
        unproven,
        rubbish_end: beyond.end.map(offset),
        file_bytes: image.file_bytes,
    };
    Ok((tail, leftover))
}

/// File offsets fit: a segment is at most [`super::MAX_SEGMENT_BYTES`] long.
fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// What the frames that verify beyond some point say.
#[derive(Default)]
struct Beyond {
    proven: usize,
    end: Option<usize>,
}

impl Image {
    fn load(directory: &Path, number: u32) -> Result<Image, LogError> {
        let path = segment_path(directory, number);
        let file = Disk::open(&path)?;
        let mut bytes = read_whole(&file, &path)?;
        let header = SegmentHeader::decode(&bytes).map_err(|what| LogError::damaged(&path, 0, what))?;
        // No frame was ever written beyond the size. A short file is filled up with zeros before it is written to, and
        // they may be what a frame was cut of: what it says then, it says already.
        let size = usize::try_from(header.size).unwrap_or(usize::MAX);
        bytes.truncate(size);
        let file_bytes = bytes.len() as u64;
        bytes.resize(size, 0);
        if header.number != number {
            let what = format!("this name holds segment {}", header.number);
            return Err(LogError::Missing { file: path, what });
        }
        let segment = SegmentFile::opened(number, header.size, header.salt, path, file);
        Ok(Image { segment, header, bytes, file_bytes })
    }

    /// Looks at every place where a frame could stand, from `from` on, until one proves that `from` was synced.
    fn frames_beyond(&self, from: usize) -> Beyond {
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
                let Some(frame) = Frame::decode(&self.bytes[at..], self.segment.salt, offset(at)) else { continue };
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

fn read_whole(mut file: &File, path: &Path) -> Result<Vec<u8>, LogError> {
    let length = file.metadata().map_err(LogError::io("look at", path))?.len();
    let mut bytes = Vec::with_capacity(usize::try_from(length.min(super::MAX_SEGMENT_BYTES.into())).unwrap_or(0));
    file.read_to_end(&mut bytes).map_err(LogError::io("read", path))?;
    Ok(bytes)
}

impl Scan {
    /// Folds in the frames of one segment, up to its seal or to the first that does not verify.
    fn follow(&mut self, image: &Image) -> Result<(), LogError> {
        self.at = HEADER_BYTES;
        self.marker = None;
        self.stop = Stop::Open;
        self.begins = true;
        let salt = image.segment.salt;
        while let Some(rest) = image.bytes.get(self.at..) {
            let Some(frame) = Frame::decode(rest, salt, offset(self.at)) else { break };
            let Some(body) = frame.body(rest, salt) else { break };
            let next = self.at + frame_bytes(body.len());
            if next > image.bytes.len() {
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
        let marker = bytes.get(end..).and_then(|rest| Frame::decode(rest, salt, offset(end)));
        if marker.is_some_and(|marker| marker.kind == Kind::Synced && marker.proven == offset(end)) {
            return None;
        }
        let proven = self.marker.unwrap_or(HEADER_BYTES);
        Some((offset(proven), bytes[proven..end].to_vec()))
    }

    /// Checks that a frame that verifies also makes sense, then folds it in.
    fn fold(&mut self, frame: &Frame, body: &[u8]) -> Result<(), String> {
        if frame.position.is_some_and(|position| position.index > MAX_INDEX) {
            return Err(format!("a frame that says {:?} names an index that no entry has", frame.kind));
        }
        match (frame.kind, frame.position) {
            (Kind::Entry, Some(position)) => {
                self.index
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
                self.index.truncate(position);
                self.begins = true;
            }
            (Kind::Purged, Some(position)) => self.index.purge(position),
            _ => {}
        }
        self.checkpoint.apply(frame.kind, frame.position, body);
        Ok(())
    }

    fn place(&mut self, frame: &Frame, segment: u32) {
        if let (Kind::Entry, Some(position)) = (frame.kind, frame.position) {
            let length = frame_bytes(usize::try_from(frame.body_bytes).unwrap_or(usize::MAX));
            let (index, offset, end) = (position.index, frame.offset, frame.offset + offset(length));
            self.index.push_stored(position, Placed { index, segment, offset, end, begins: self.begins });
            self.begins = false;
        }
    }
}
