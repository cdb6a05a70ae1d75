//! Where the requests on an HTTP/1 connection begin and end, as far as deadlines and a few checks need to know it.
//!
//! hyper parses requests, and tells neither what else of them it has read nor the target as it came. This looks at the
//! same bytes before hyper does and gives them on up to the next border only, so that the rest of a read is known to be
//! the beginning of another request. Where the bytes are no HTTP it gives on everything: hyper is the one who refuses.

/// How many bytes of a body follow a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// So many.
    Length(u64),
    /// As many as its chunks say.
    Chunked,
}

/// What the next byte belongs to.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    Head(Head),
    /// A header is whole, and hyper has not said yet what follows.
    HeadEnd,
    Length(u64),
    Chunked(Chunk),
}

/// A header so far.
#[derive(Debug, Default, PartialEq, Eq)]
struct Head {
    bytes: usize,
    /// Bytes of the line under way, without its end.
    line_bytes: usize,
    /// The request line is over.
    has_line: bool,
}

/// A chunked body so far (RFC 9112, 7.1).
#[derive(Debug, PartialEq, Eq)]
enum Chunk {
    Size {
        size: u64,
        is_over: bool,
    },
    Data(u64),
    DataEnd,
    /// In the trailers, with so many bytes of the line under way.
    Trailer(usize),
}

/// A reader's place in the requests of one connection.
#[derive(Debug)]
pub(crate) struct Messages {
    place: Place,
    fragment: bool,
}

impl Messages {
    pub(crate) fn new() -> Self {
        Self { place: Place::Head(Head::default()), fragment: false }
    }

    /// Tells what follows the header that was whole; without one, hyper did not take it for a whole one.
    pub(crate) fn head_is_taken(&mut self, framing: Option<Framing>) {
        if self.place == Place::HeadEnd {
            self.place = match framing {
                None | Some(Framing::Length(0)) => Place::Head(Head::default()),
                Some(Framing::Length(bytes)) => Place::Length(bytes),
                Some(Framing::Chunked) => Place::Chunked(Chunk::Size { size: 0, is_over: false }),
            };
        }
    }

    /// Whether a header is whole, and what follows it is not known.
    pub(crate) fn is_at_head_end(&self) -> bool {
        self.place == Place::HeadEnd
    }

    /// Whether everything that began is whole.
    pub(crate) fn is_between(&self) -> bool {
        matches!(&self.place, Place::HeadEnd | Place::Head(Head { bytes: 0, .. }))
    }

    /// Whether the next byte belongs to a header.
    pub(crate) fn is_in_head(&self) -> bool {
        matches!(self.place, Place::Head(_))
    }

    /// Whether the last request line had a `#` in it. Asked once a request.
    pub(crate) fn take_fragment(&mut self) -> bool {
        std::mem::take(&mut self.fragment)
    }

    /// How many of these bytes come before the next border: the end of a header or of a body.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> usize {
        match &mut self.place {
            Place::HeadEnd => 0,
            Place::Head(head) => {
                let (taken, is_whole) = head.take(bytes, &mut self.fragment);
                if is_whole {
                    self.place = Place::HeadEnd;
                }
                taken
            }
            Place::Length(left) => {
                let taken = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= taken as u64;
                if *left == 0 {
                    self.place = Place::Head(Head::default());
                }
                taken
            }
            Place::Chunked(chunk) => {
                let (taken, is_whole) = chunk.take(bytes);
                if is_whole {
                    self.place = Place::Head(Head::default());
                }
                taken
            }
        }
    }
}

impl Head {
    /// How many bytes belong to it, and whether it is whole with them. A line ends with a line feed; a carriage return
    /// before it does not count.
    fn take(&mut self, bytes: &[u8], fragment: &mut bool) -> (usize, bool) {
        let mut taken = 0;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            taken += line.len();
            if !self.has_line {
                *fragment |= line.contains(&b'#');
            }
            let Some((_, rest)) = line.split_last().filter(|(last, _)| **last == b'\n') else {
                // A carriage return may be the last byte of a read.
                self.line_bytes += line.iter().filter(|byte| **byte != b'\r').count();
                break;
            };
            let is_empty = self.line_bytes == 0 && rest.iter().all(|byte| *byte == b'\r');
            self.line_bytes = 0;
            if is_empty {
                self.bytes += taken;
                return (taken, true);
            }
            self.has_line = true;
        }
        self.bytes += taken;
        (taken, false)
    }
}

impl Chunk {
    /// The same of a body.
    fn take(&mut self, bytes: &[u8]) -> (usize, bool) {
        let mut taken = 0;
        while let Some(byte) = bytes.get(taken) {
            if let Self::Data(left) = self {
                let part = (bytes.len() - taken).min(usize::try_from(*left).unwrap_or(usize::MAX));
                taken += part;
                *left -= part as u64;
                if *left == 0 {
                    *self = Self::DataEnd;
                }
                continue;
            }
            taken += 1;
            match self {
                Self::Size { size, is_over } => match (byte, char::from(*byte).to_digit(16)) {
                    (b'\n', _) => *self = if *size == 0 { Self::Trailer(0) } else { Self::Data(*size) },
                    (_, Some(digit)) if !*is_over => *size = size.saturating_mul(16).saturating_add(digit.into()),
                    _ => *is_over = true,
                },
                Self::DataEnd if *byte == b'\n' => *self = Self::Size { size: 0, is_over: false },
                Self::Trailer(0) if *byte == b'\n' => return (taken, true),
                Self::Trailer(line) => *line = if *byte == b'\n' { 0 } else { *line + usize::from(*byte != b'\r') },
                Self::DataEnd | Self::Data(_) => {}
            }
        }
        (taken, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The borders of what is read in pieces of that size, as offsets; a body follows each header.
    fn borders(bytes: &[u8], piece: usize, framing: Framing) -> Vec<usize> {
        let (mut messages, mut at, mut found) = (Messages::new(), 0, Vec::new());
        while at < bytes.len() {
            let end = bytes.len().min(at + piece);
            at += messages.take(&bytes[at..end]);
            if messages.is_at_head_end() {
                found.push(at);
                messages.head_is_taken(Some(framing));
            } else if messages.is_between() {
                found.push(at);
            }
        }
        found
    }

    #[test]
    fn borders_are_found_however_the_bytes_arrive() {
        let get = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\nHost: x\n\nGET";
        let post = b"POST /a HTTP/1.1\r\n\r\n12\r\n\r\n456POST /b HTTP/1.1\r\n\r\n\r\n";
        let chunked =
            b"POST /a HTTP/1.1\r\n\r\nA;x=3\r\n\r\n01234567\r\n1\r\n\n\r\n0\r\nT: 1\r\n\r\nGET / HTTP/1.1\r\n";
        for piece in 1..=get.len() {
            assert_eq!(borders(get, piece, Framing::Length(0)), [28, 53], "{piece}");
            assert_eq!(borders(post, piece, Framing::Length(9)), [20, 29, 49], "{piece}");
            assert_eq!(borders(chunked, piece, Framing::Chunked), [20, 56], "{piece}");
        }
    }

    #[test]
    fn a_number_sign_counts_in_a_request_line_and_nowhere_else() {
        for (head, expected) in [
            ("GET /a#b HTTP/1.1\r\n\r\n", true),
            ("GET /a HTTP/1.1\r\nX: #\r\n\r\n", false),
            ("GET http://x/a?b#c HTTP/1.1\r\n\r\n", true),
        ] {
            for piece in 1..=head.len() {
                let mut messages = Messages::new();
                head.as_bytes().chunks(piece).for_each(|piece| assert_eq!(messages.take(piece), piece.len()));
                assert!(messages.is_at_head_end());
                assert_eq!((messages.take_fragment(), messages.take_fragment()), (expected, false), "{head:?}");
            }
        }
    }

    #[test]
    fn an_empty_line_before_a_request_is_no_request() {
        let mut messages = Messages::new();
        assert_eq!(messages.take(b"\r\nGET"), 2);
        messages.head_is_taken(None);
        assert!(messages.is_between());
        assert_eq!(messages.take(b"GET /# HTTP/1.1\r\n"), 17);
        assert!(messages.take_fragment() && messages.is_in_head() && !messages.is_between());
    }
}
