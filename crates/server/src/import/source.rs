//! The store that is copied: what an import asks of Redis or Valkey, on one connection.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::{Instant, timeout};

use super::resp::{Bulk, Piece, RespError, Room, read_piece, write_command};
use super::source_url::SourceUrl;

/// A machine on the same network answers in less than a second; a new connection is tried twice by then.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// How long all of one command may be written: as long as it may be silent.
const WRITE_PATIENCE: Duration = Duration::from_secs(30);
/// What may be held of the answers to one SCAN or of a batch's values. Keys are some 60 bytes, values some 2 KB.
const ANSWER_BYTES: usize = 64 * 1024 * 1024;
/// The largest value that a node may be told to take (`http.max_value_bytes`), and one byte to tell that there is more.
pub(super) const KEPT_VALUE_BYTES: usize = 4 * 1024 * 1024 + 1;
/// What INFO answers is some KB.
const SMALL: Room = Room { each: 64 * 1024, all: 64 * 1024 };
/// How many keys a SCAN looks at. Larger ones hold the server's other clients up for longer than a millisecond.
const SCAN_COUNT: &[u8] = b"1000";

/// Why the source, which is named first, cannot be read on. Nothing of a key is in it.
#[derive(Debug, thiserror::Error)]
pub(super) enum SourceError {
    /// There is no connection.
    #[error("{0} takes no connection ({1}); is it the address, and does a firewall let you in?")]
    NotConnected(String, std::io::Error),
    /// There was one.
    #[error("{0} cannot be read on: {1}")]
    Lost(String, RespError),
    /// It wants another password.
    #[error("{0} refuses the password, or wants one ({1}); give it in --password-file, and the user in the URL")]
    Denied(String, String),
    /// A command was answered with an error of that code.
    #[error("{0} answers {1} with the error {2}{hint}", hint = hint(.2))]
    Refused(String, &'static str, String),
}

/// What to do about an error that operators meet.
fn hint(code: &str) -> &'static str {
    match code {
        "MOVED" | "ASK" | "CLUSTERDOWN" => {
            "; it is a part of a cluster whose keys move, try again when they are at rest"
        }
        "LOADING" => "; it still reads its data from the disk, try again then",
        "NOPERM" => "; its user needs SCAN, STRLEN, GETRANGE, PTTL, TYPE and EXISTS",
        "MASTERDOWN" => "; it is a replica that has lost its master, ask the master",
        _ => "",
    }
}

/// What is at a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    /// A string of so many bytes, or nothing any more.
    Bytes(u64),
    /// Something that is no string.
    NoString,
}

/// A string and how long it lives, as they were at one moment.
pub(super) struct Found {
    pub(super) value: Bulk,
    pub(super) lives: Lives,
}

/// How long a key is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lives {
    /// It is gone.
    Gone,
    /// It does not expire.
    Ever,
    /// Until then.
    Until(Instant),
}

impl Lives {
    /// What PTTL answers (Redis, "PTTL": -2 without a key, -1 without an end), received at that moment.
    fn of(pttl: i64, at: Instant) -> Self {
        match u64::try_from(pttl) {
            Ok(millis) => Self::Until(at + Duration::from_millis(millis)),
            Err(_) if pttl == -1 => Self::Ever,
            Err(_) => Self::Gone,
        }
    }
}

pub(super) struct Source {
    url: SourceUrl,
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
}

impl Source {
    /// Connects, logs in with that password and chooses the database.
    pub(super) async fn open(url: &SourceUrl, password: Option<&str>) -> Result<Self, SourceError> {
        let connecting = timeout(CONNECT_PATIENCE, TcpStream::connect(url.address.to_string())).await;
        let stream = connecting.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
        let stream = stream.and_then(|stream| stream.set_nodelay(true).map(|()| stream));
        let stream = stream.map_err(|error| SourceError::NotConnected(url.to_string(), error))?;
        let (reader, writer) = stream.into_split();
        let mut source = Self { url: url.clone(), reader: BufReader::with_capacity(64 * 1024, reader), writer };
        if let Some(password) = password {
            let user = url.user.as_deref().map(str::as_bytes);
            let words: Vec<&[u8]> =
                [Some(&b"AUTH"[..]), user, Some(password.as_bytes())].into_iter().flatten().collect();
            source.done("AUTH", &words).await?;
        }
        if url.database != 0 {
            source.done("SELECT", &[b"SELECT", url.database.to_string().as_bytes()]).await?;
        }
        Ok(source)
    }

    /// Which run of the server this is. A cursor of another run leads nowhere: the order of keys is drawn at each start.
    /// `None` where it does not tell.
    pub(super) async fn run_id(&mut self) -> Result<Option<String>, SourceError> {
        let answers = self.ask(&[&[b"INFO", b"server"]], SMALL).await?;
        let Some(Piece::Bulk(Some(info))) = answers.first() else { return Ok(None) };
        let info = String::from_utf8_lossy(&info.kept);
        let id = info.lines().find_map(|line| line.strip_prefix("run_id:")).map(str::trim);
        Ok(id.filter(|id| !id.is_empty()).map(str::to_owned))
    }

    /// How many keys its database has, of all types; 0 where it does not tell.
    pub(super) async fn size(&mut self) -> Result<u64, SourceError> {
        match self.ask(&[&[b"DBSIZE"]], SMALL).await?[..] {
            [Piece::Integer(keys)] => Ok(u64::try_from(keys).unwrap_or(0)),
            _ => Ok(0),
        }
    }

    /// The next keys, and where to go on; 0 at the end. Of each key it holds so many bytes at the most.
    pub(super) async fn scan(
        &mut self,
        cursor: u64,
        pattern: Option<&[u8]>,
        keep: usize,
    ) -> Result<(u64, Vec<Bulk>), SourceError> {
        let from = cursor.to_string();
        let mut words: Vec<&[u8]> = vec![b"SCAN", from.as_bytes(), b"COUNT", SCAN_COUNT];
        if let Some(pattern) = pattern {
            words.extend([&b"MATCH"[..], pattern]);
        }
        let mut command = BytesMut::new();
        write_command(&mut command, &words);
        let (reader, writer) = (&mut self.reader, &mut self.writer);
        let read = async {
            let (room, mut left) = (Room { each: keep, all: ANSWER_BYTES }, ANSWER_BYTES);
            match read_piece(reader, room, &mut left).await? {
                Piece::Error(code) => return Ok(Err(code)),
                Piece::Array(2) => {}
                _ => return Err(RespError::Garbled("SCAN answers with a cursor and keys")),
            }
            let next = match read_piece(reader, SMALL, &mut left).await? {
                Piece::Bulk(Some(next)) => std::str::from_utf8(&next.kept).ok().and_then(|next| next.parse().ok()),
                _ => None,
            };
            let next = next.ok_or(RespError::Garbled("a cursor was expected"))?;
            let Piece::Array(count) = read_piece(reader, room, &mut left).await? else {
                return Err(RespError::Garbled("an array of keys was expected"));
            };
            let mut keys = Vec::new();
            for _ in 0..count {
                let Piece::Bulk(Some(key)) = read_piece(reader, room, &mut left).await? else {
                    return Err(RespError::Garbled("a key was expected"));
                };
                // What each takes beside its bytes, so that a million empty ones are a million.
                left = left.checked_sub(size_of::<Bulk>()).ok_or(RespError::TooLarge(ANSWER_BYTES))?;
                keys.push(key);
            }
            Ok(Ok((next, keys)))
        };
        let answered = tokio::try_join!(write(writer, &command), read);
        let (_, answer) = answered.map_err(|error| SourceError::Lost(self.url.to_string(), error))?;
        answer.map_err(|code| self.refused("SCAN", code))
    }

    /// How long what is at each of those keys is.
    pub(super) async fn lengths(&mut self, keys: &[Bytes]) -> Result<Vec<Length>, SourceError> {
        let commands: Vec<[&[u8]; 2]> = keys.iter().map(|key| [&b"STRLEN"[..], key]).collect();
        let commands: Vec<&[&[u8]]> = commands.iter().map(|command| &command[..]).collect();
        let answers = self.ask(&commands, SMALL).await?;
        let length = |piece| match piece {
            Piece::Integer(length) => Ok(Length::Bytes(u64::try_from(length).unwrap_or(0))),
            Piece::Error(code) if code == "WRONGTYPE" => Ok(Length::NoString),
            other => Err(self.unexpected("STRLEN", other)),
        };
        answers.into_iter().map(length).collect()
    }

    /// The types of what is at those keys, as the server calls them.
    pub(super) async fn types(&mut self, keys: &[Bytes]) -> Result<Vec<String>, SourceError> {
        let commands: Vec<[&[u8]; 2]> = keys.iter().map(|key| [&b"TYPE"[..], key]).collect();
        let commands: Vec<&[&[u8]]> = commands.iter().map(|command| &command[..]).collect();
        let answers = self.ask(&commands, SMALL).await?;
        let kind = |piece| match piece {
            Piece::Status(kind) => Ok(kind),
            other => Err(self.unexpected("TYPE", other)),
        };
        answers.into_iter().map(kind).collect()
    }

    /// What is at each of those keys, and until when. The value comes first, so that one without a lifetime was there.
    pub(super) async fn values(&mut self, keys: &[Bytes]) -> Result<Vec<Found>, SourceError> {
        let last = (KEPT_VALUE_BYTES - 1).to_string();
        let both = |key| [[&b"GETRANGE"[..], key, b"0", last.as_bytes()].to_vec(), [&b"PTTL"[..], key].to_vec()];
        let commands: Vec<Vec<&[u8]>> = keys.iter().flat_map(|key| both(&key[..])).collect();
        let commands: Vec<&[&[u8]]> = commands.iter().map(|command| &command[..]).collect();
        let room = Room { each: KEPT_VALUE_BYTES, all: ANSWER_BYTES };
        let mut answers = self.ask(&commands, room).await?.into_iter();
        let at = Instant::now();
        let mut found = Vec::with_capacity(keys.len());
        while let (Some(value), Some(lives)) = (answers.next(), answers.next()) {
            let none = || Bulk { kept: Bytes::new(), len: 0 };
            found.push(match (value, lives) {
                (Piece::Bulk(value), Piece::Integer(pttl)) => {
                    Found { value: value.unwrap_or_else(none), lives: Lives::of(pttl, at) }
                }
                // It became something else since it was measured: what was there is gone.
                (Piece::Error(code), Piece::Integer(_)) if code == "WRONGTYPE" => {
                    Found { value: none(), lives: Lives::Gone }
                }
                (Piece::Bulk(_), other) => return Err(self.unexpected("PTTL", other)),
                (other, _) => return Err(self.unexpected("GETRANGE", other)),
            });
        }
        Ok(found)
    }

    /// Whether each of those keys is still there.
    pub(super) async fn present(&mut self, keys: &[Bytes]) -> Result<Vec<bool>, SourceError> {
        let commands: Vec<[&[u8]; 2]> = keys.iter().map(|key| [&b"EXISTS"[..], key]).collect();
        let commands: Vec<&[&[u8]]> = commands.iter().map(|command| &command[..]).collect();
        let answers = self.ask(&commands, SMALL).await?;
        let present = |piece| match piece {
            Piece::Integer(count) => Ok(count > 0),
            other => Err(self.unexpected("EXISTS", other)),
        };
        answers.into_iter().map(present).collect()
    }

    /// A command that is answered with a status.
    async fn done(&mut self, name: &'static str, words: &[&[u8]]) -> Result<(), SourceError> {
        match self.ask(&[words], SMALL).await?.pop() {
            Some(Piece::Status(_)) => Ok(()),
            Some(other) => Err(self.unexpected(name, other)),
            None => Ok(()),
        }
    }

    /// Sends commands at once, and reads a piece for each.
    async fn ask(&mut self, commands: &[&[&[u8]]], room: Room) -> Result<Vec<Piece>, SourceError> {
        let mut bytes = BytesMut::new();
        commands.iter().for_each(|words| write_command(&mut bytes, words));
        let (reader, writer) = (&mut self.reader, &mut self.writer);
        let read = async {
            let (mut pieces, mut left) = (Vec::with_capacity(commands.len()), room.all);
            for _ in commands {
                pieces.push(read_piece(reader, room, &mut left).await?);
            }
            Ok(pieces)
        };
        // At the same time: whoever writes all before it reads may wait for a server that waits for it.
        let answered = tokio::try_join!(write(writer, &bytes), read);
        answered.map(|(_, pieces)| pieces).map_err(|error| SourceError::Lost(self.url.to_string(), error))
    }

    fn unexpected(&self, name: &'static str, piece: Piece) -> SourceError {
        match piece {
            Piece::Error(code) => self.refused(name, code),
            _ => SourceError::Lost(self.url.to_string(), RespError::Garbled("another kind of answer was expected")),
        }
    }

    fn refused(&self, name: &'static str, code: String) -> SourceError {
        if name == "AUTH" || code == "NOAUTH" || code == "WRONGPASS" {
            SourceError::Denied(self.url.to_string(), code)
        } else {
            SourceError::Refused(self.url.to_string(), name, code)
        }
    }
}

async fn write(to: &mut OwnedWriteHalf, bytes: &[u8]) -> Result<(), RespError> {
    let written = timeout(WRITE_PATIENCE, to.write_all(bytes)).await.map_err(|_| RespError::Silent)?;
    Ok(written?)
}
