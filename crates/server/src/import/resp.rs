//! RESP 2, the protocol of Redis and Valkey, as far as an import needs it: commands, and the pieces of answers one after the
//! other. Nothing here knows what a command means.
//!
//! Why not a library: whatever a server answers, no more of it is held than the caller asked for. The rest of a value that is
//! too long is read and dropped, a count in an answer allocates nothing, and every wait for bytes ends.

use std::io;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};
use tokio::time::timeout;

/// The longest line of an answer: errors are the longest, and Redis cuts them far below that.
const MAX_LINE_BYTES: u64 = 16 * 1024;
/// The longest word of an error or a status: types of modules have nine characters.
const MAX_WORD_BYTES: usize = 32;
/// The longest string that Redis stores (`proto-max-bulk-len`); who announces more speaks another protocol.
const MAX_BULK_BYTES: u64 = 512 * 1024 * 1024;
/// How long a server may be silent in the middle of an answer. A command that takes longer would hold up all its clients.
const SILENCE: Duration = Duration::from_secs(30);

/// Why an answer cannot be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum RespError {
    /// The connection ended or failed.
    #[error("the connection broke ({0})")]
    Broken(#[from] io::Error),
    /// Nothing came for [`SILENCE`].
    #[error("it was silent for {} s", SILENCE.as_secs())]
    Silent,
    /// What came is not RESP, or not what the command answers.
    #[error("its answer is not the protocol of Redis: {0}")]
    Garbled(&'static str),
    /// What came would take more room than its reader gives it.
    #[error("its answer is larger than {0} bytes, the most that one may be")]
    TooLarge(usize),
}

/// One piece of an answer. Of an array only how many pieces follow.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// The first word of a status.
    Status(String),
    /// The first word of an error, its code. The rest may repeat keys.
    Error(String),
    Integer(i64),
    Bulk(Option<Bulk>),
    Array(u64),
}

/// A string, of which the beginning was kept. `Debug` shows its length only.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Bulk {
    pub(super) kept: Bytes,
    /// How long it is.
    pub(super) len: u64,
}

impl Bulk {
    /// The whole of it, if it was kept whole.
    pub(super) fn whole(&self) -> Option<&Bytes> {
        Some(&self.kept).filter(|kept| kept.len() as u64 == self.len)
    }
}

impl std::fmt::Debug for Bulk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bulk({} bytes)", self.len)
    }
}

/// What may be held of the answers to one pipeline.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// Of each string.
    pub(super) each: usize,
    /// Of all together.
    pub(super) all: usize,
}

/// Appends a command.
pub(super) fn write_command(to: &mut BytesMut, words: &[&[u8]]) {
    to.put_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        to.put_slice(format!("${}\r\n", word.len()).as_bytes());
        to.put_slice(word);
        to.put_slice(b"\r\n");
    }
}

/// Reads the next piece, and takes what it keeps of it out of `left`.
pub(super) async fn read_piece(
    from: &mut (impl AsyncBufRead + Unpin),
    room: Room,
    left: &mut usize,
) -> Result<Piece, RespError> {
    let line = read_line(from).await?;
    let (kind, rest) = line.split_first().ok_or(RespError::Garbled("an empty line"))?;
    match kind {
        b'+' => Ok(Piece::Status(first_word(rest))),
        b'-' => Ok(Piece::Error(first_word(rest))),
        b':' => Ok(Piece::Integer(number(rest)?)),
        b'*' => {
            let count = u64::try_from(number(rest)?).map_err(|_| RespError::Garbled("an array without a length"))?;
            Ok(Piece::Array(count))
        }
        b'$' => match number(rest)? {
            -1 => Ok(Piece::Bulk(None)),
            len => {
                let len = u64::try_from(len).ok().filter(|len| *len <= MAX_BULK_BYTES);
                let len = len.ok_or(RespError::Garbled("a string of impossible length"))?;
                Ok(Piece::Bulk(Some(read_bulk(from, len, room, left).await?)))
            }
        },
        _ => Err(RespError::Garbled("a piece of unknown kind")),
    }
}

async fn read_bulk(
    from: &mut (impl AsyncBufRead + Unpin),
    len: u64,
    room: Room,
    left: &mut usize,
) -> Result<Bulk, RespError> {
    let keep = usize::try_from(len).unwrap_or(usize::MAX).min(room.each);
    *left = left.checked_sub(keep).ok_or(RespError::TooLarge(room.all))?;
    let mut kept = BytesMut::with_capacity(keep);
    let mut missing = len;
    while missing > 0 {
        let there = fill(from).await?;
        let take = there.len().min(usize::try_from(missing).unwrap_or(usize::MAX));
        let wanted = take.min(keep - kept.len());
        kept.extend_from_slice(&there[..wanted]);
        from.consume(take);
        missing -= take as u64;
    }
    if !read_line(from).await?.is_empty() {
        return Err(RespError::Garbled("a string that does not end where it says"));
    }
    Ok(Bulk { kept: kept.freeze(), len })
}

/// What has come and was not read, at least a byte.
async fn fill(from: &mut (impl AsyncBufRead + Unpin)) -> Result<&[u8], RespError> {
    let there = timeout(SILENCE, from.fill_buf()).await.map_err(|_| RespError::Silent)??;
    if there.is_empty() { Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()) } else { Ok(there) }
}

/// A line without its end.
async fn read_line(from: &mut (impl AsyncBufRead + Unpin)) -> Result<Vec<u8>, RespError> {
    let mut line = Vec::new();
    let mut bounded = from.take(MAX_LINE_BYTES);
    timeout(SILENCE, bounded.read_until(b'\n', &mut line)).await.map_err(|_| RespError::Silent)??;
    if line.is_empty() {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    if !line.ends_with(b"\r\n") {
        return Err(RespError::Garbled("a line without an end"));
    }
    line.truncate(line.len() - 2);
    Ok(line)
}

fn number(digits: &[u8]) -> Result<i64, RespError> {
    let text = std::str::from_utf8(digits).ok();
    text.and_then(|text| text.parse().ok()).ok_or(RespError::Garbled("a number was expected"))
}

/// `WRONGTYPE` of `WRONGTYPE Operation against …`.
fn first_word(text: &[u8]) -> String {
    let word = text.iter().take(MAX_WORD_BYTES).take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'-');
    word.map(|byte| char::from(*byte)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: Room = Room { each: 4, all: 10 };

    async fn pieces(mut bytes: &[u8]) -> (Vec<Piece>, String) {
        let (mut read, mut left) = (Vec::new(), ROOM.all);
        loop {
            match read_piece(&mut bytes, ROOM, &mut left).await {
                Ok(piece) => read.push(piece),
                Err(error) => return (read, error.to_string()),
            }
        }
    }

    fn bulk(kept: &'static [u8], len: u64) -> Piece {
        Piece::Bulk(Some(Bulk { kept: Bytes::from_static(kept), len }))
    }

    #[tokio::test]
    async fn an_answer_is_read_piece_by_piece() {
        let (read, end) = pieces(b"+OK\r\n:-2\r\n$3\r\nab\n\r\n$0\r\n\r\n$-1\r\n*2\r\n-NOAUTH of secret\r\n").await;
        let expected = [
            Piece::Status("OK".to_owned()),
            Piece::Integer(-2),
            bulk(b"ab\n", 3),
            bulk(b"", 0),
            Piece::Bulk(None),
            Piece::Array(2),
            Piece::Error("NOAUTH".to_owned()),
        ];
        assert_eq!(read, expected);
        assert!(end.starts_with("the connection broke"), "{end}");
    }

    #[tokio::test]
    async fn no_more_is_held_of_an_answer_than_there_is_room_for() {
        let (read, end) = pieces(b"$6\r\nabcdef\r\n$6\r\nabcdef\r\n:1\r\n$6\r\nabcdef\r\n").await;
        assert_eq!(read, [bulk(b"abcd", 6), bulk(b"abcd", 6), Piece::Integer(1)]);
        assert_eq!(end, "its answer is larger than 10 bytes, the most that one may be");
        // Neither is what a number announces allocated.
        let (read, _) = pieces(b"*9223372036854775807\r\n").await;
        assert_eq!(read, [Piece::Array(9_223_372_036_854_775_807)]);
    }

    #[tokio::test]
    async fn what_is_not_the_protocol_is_told_as_such() {
        let long = [&b"+"[..], &[b'x'; 20_000], b"\r\n"].concat();
        for garbled in [
            &b"HTTP/1.1 400 Bad Request\r\n"[..],
            b"\r\n",
            b":\r\n",
            b":x\r\n",
            b"*-1\r\n",
            b"$-2\r\n",
            b"$536870913\r\n",
            b"$2\r\nabc\r\n",
            b"+OK\n",
            b"+OK",
            &long,
        ] {
            let (read, end) = pieces(garbled).await;
            assert_eq!(read, [], "{garbled:?}");
            assert!(end.starts_with("its answer is not the protocol of Redis: "), "{garbled:?}: {end}");
        }
        for broken in [&b""[..], b"$3\r\nab"] {
            let (_, end) = pieces(broken).await;
            assert!(end.starts_with("the connection broke"), "{broken:?}: {end}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_falls_silent_is_not_waited_for_without_end() {
        let (server, client) = tokio::io::duplex(64);
        let mut client = tokio::io::BufReader::new(client);
        let silent = read_piece(&mut client, ROOM, &mut 10).await.unwrap_err();
        assert_eq!(silent.to_string(), "it was silent for 30 s");
        drop(server);
    }

    #[test]
    fn a_command_is_an_array_of_strings() {
        let mut command = BytesMut::new();
        write_command(&mut command, &[b"GET", b"a\r\nb"]);
        assert_eq!(&command[..], b"*2\r\n$3\r\nGET\r\n$4\r\na\r\nb\r\n");
    }
}
