//! The frames of a backup file.

use std::io::{self, Read, Write};

use bytes::Bytes;

use crate::StoreError;

/// What a backup begins with, up to the number of its format.
const MAGIC: &[u8] = b"sessile backup ";
/// The format that this program writes, and the newest that it reads.
const FORMAT: u8 = b'1';
/// Length and checksum.
const FRAME_HEAD_BYTES: usize = 8;
/// The longest content of a frame. A chunk has 256 KiB or one large item, and none is larger than the outcomes of one
/// proposer; so a length beyond this is damage, and makes no room.
const MAX_FRAME_BYTES: u32 = 256 * 1024 * 1024;
/// How much of a frame is read at a time: room is made for what is there, not for what a length says.
const READ_BYTES: u64 = 1024 * 1024;

pub(super) fn unusable(what: impl Into<String>) -> StoreError {
    StoreError::Backup { what: what.into() }
}

/// Writes the line that a backup begins with. Gives the bytes that it takes.
pub(super) fn write_magic(out: &mut impl Write) -> io::Result<u64> {
    out.write_all(MAGIC)?;
    out.write_all(&[FORMAT, b'\n'])?;
    Ok(MAGIC.len() as u64 + 2)
}

/// Writes one frame. Gives the bytes that it takes.
pub(super) fn write_frame(out: &mut impl Write, content: &[u8]) -> io::Result<u64> {
    let too_long = |_| io::Error::other("a frame of a backup is too long; this is a defect");
    let length = u32::try_from(content.len()).map_err(too_long)?;
    let checksum = checksum(length, content);
    out.write_all(&length.to_le_bytes())?;
    out.write_all(&checksum.to_le_bytes())?;
    out.write_all(content)?;
    Ok((FRAME_HEAD_BYTES + content.len()) as u64)
}

fn checksum(length: u32, content: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&length.to_le_bytes()), content)
}

/// Reads the frames of a backup.
pub(super) struct Frames<R> {
    input: R,
    /// Bytes that were read.
    read: u64,
}

impl<R: Read> Frames<R> {
    /// Behind the line that the file begins with.
    pub(super) fn new(mut input: R) -> Result<Self, StoreError> {
        let mut line = [0; MAGIC.len() + 2];
        let is_backup =
            fill(&mut input, &mut line).map_err(|error| cannot_read(&error))? == line.len() && line.starts_with(MAGIC);
        if !is_backup {
            return Err(unusable("it does not begin as a backup of Sessile does"));
        }
        match line[MAGIC.len()..] {
            [FORMAT, b'\n'] => Ok(Self { input, read: line.len() as u64 }),
            [newer, _] if newer.is_ascii_digit() => Err(unusable(format!(
                "it has format {}, and this program reads only format {}: use the newest program",
                char::from(newer),
                char::from(FORMAT)
            ))),
            _ => Err(unusable("it is of a format that this program does not know: use the newest program")),
        }
    }

    /// Bytes that were read.
    pub(super) fn read(&self) -> u64 {
        self.read
    }

    /// The content of the next frame; `None` at the end of the file.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        let mut head = [0; FRAME_HEAD_BYTES];
        match fill(&mut self.input, &mut head).map_err(|error| cannot_read(&error))? {
            0 => return Ok(None),
            FRAME_HEAD_BYTES => {}
            _ => return Err(self.cut_short()),
        }
        let [a, b, c, d, e, f, g, h] = head;
        let (length, expected) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
        if length > MAX_FRAME_BYTES {
            return Err(self.damaged());
        }
        let mut content = Vec::new();
        while (content.len() as u64) < u64::from(length) {
            let wanted = (u64::from(length) - content.len() as u64).min(READ_BYTES);
            let come = (&mut self.input).take(wanted).read_to_end(&mut content).map_err(|error| cannot_read(&error))?;
            if come == 0 {
                return Err(self.cut_short());
            }
        }
        if checksum(length, &content) != expected {
            return Err(self.damaged());
        }
        self.read += (FRAME_HEAD_BYTES + content.len()) as u64;
        Ok(Some(content.into()))
    }

    fn damaged(&self) -> StoreError {
        unusable(format!("it is damaged behind byte {}", self.read))
    }

    fn cut_short(&self) -> StoreError {
        unusable(format!("it ends in the middle of a frame, behind byte {}: it was cut short", self.read))
    }
}

fn cannot_read(error: &io::Error) -> StoreError {
    unusable(format!("it cannot be read: {error}"))
}

/// Fills a buffer as far as there is input. Gives how far that is.
fn fill(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(come) => filled += come,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
