//! PHP's serialisation (`serialize`, PHP manual), read with bounds. It knows what stands where, and makes no objects.

/// How deep values may be nested. A session's are nested four or five deep.
const MAX_DEPTH: u32 = 128;

/// A serialised value. `Debug` is not implemented: it holds what a site believes of a visitor.
pub(super) enum Php<'a> {
    Null,
    Bool(bool),
    Int(i64),
    /// As PHP wrote it.
    Float(&'a str),
    Text(&'a [u8]),
    /// In its order.
    Array(Vec<(Key<'a>, Self)>),
    /// An object, an enumeration's case, or a reference: what has a meaning for PHP alone.
    Opaque,
}

/// The key of an element.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Key<'a> {
    Int(i64),
    Text(&'a [u8]),
}

/// The bytes are no serialised value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotSerialized;

impl<'a> Php<'a> {
    /// Reads one value that takes all of the bytes.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, NotSerialized> {
        let mut reader = Reader { rest: bytes };
        let value = reader.value(0)?;
        if reader.rest.is_empty() { Ok(value) } else { Err(NotSerialized) }
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: u32) -> Result<Php<'a>, NotSerialized> {
        if depth > MAX_DEPTH {
            return Err(NotSerialized);
        }
        let (kind, rest) = self.rest.split_first().ok_or(NotSerialized)?;
        self.rest = rest;
        if *kind == b'N' {
            self.expect(b";")?;
            return Ok(Php::Null);
        }
        self.expect(b":")?;
        match kind {
            b'b' => match self.until(b';')? {
                b"0" => Ok(Php::Bool(false)),
                b"1" => Ok(Php::Bool(true)),
                _ => Err(NotSerialized),
            },
            b'i' => Ok(Php::Int(number(self.until(b';')?)?)),
            b'd' => float(self.until(b';')?),
            b's' => {
                let text = self.text()?;
                self.expect(b";")?;
                Ok(Php::Text(text))
            }
            b'a' => Ok(Php::Array(self.elements(depth)?)),
            b'r' | b'R' => number::<u64>(self.until(b';')?).map(|_| Php::Opaque),
            b'E' => {
                self.text()?;
                self.expect(b";")?;
                Ok(Php::Opaque)
            }
            b'O' => {
                self.text()?;
                self.expect(b":")?;
                self.elements(depth)?;
                Ok(Php::Opaque)
            }
            b'C' => {
                self.text()?;
                self.expect(b":")?;
                let length = number(self.until(b':')?)?;
                self.expect(b"{")?;
                self.take(length)?;
                self.expect(b"}")?;
                Ok(Php::Opaque)
            }
            _ => Err(NotSerialized),
        }
    }

    /// `N:{key value …}`. Nothing is allocated for what N announces.
    fn elements(&mut self, depth: u32) -> Result<Vec<(Key<'a>, Php<'a>)>, NotSerialized> {
        let count: u64 = number(self.until(b':')?)?;
        self.expect(b"{")?;
        let mut elements = Vec::new();
        for _ in 0..count {
            let key = match self.value(depth + 1)? {
                Php::Int(number) => Key::Int(number),
                Php::Text(text) => Key::Text(text),
                _ => return Err(NotSerialized),
            };
            elements.push((key, self.value(depth + 1)?));
        }
        self.expect(b"}")?;
        Ok(elements)
    }

    /// `N:"…"`
    fn text(&mut self) -> Result<&'a [u8], NotSerialized> {
        let length = number(self.until(b':')?)?;
        self.expect(b"\"")?;
        let text = self.take(length)?;
        self.expect(b"\"")?;
        Ok(text)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], NotSerialized> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(NotSerialized)?;
        self.rest = rest;
        Ok(taken)
    }

    fn until(&mut self, end: u8) -> Result<&'a [u8], NotSerialized> {
        // No number is longer.
        let end = self.rest.iter().take(64).position(|byte| *byte == end).ok_or(NotSerialized)?;
        let before = &self.rest[..end];
        self.rest = &self.rest[end + 1..];
        Ok(before)
    }

    fn expect(&mut self, text: &[u8]) -> Result<(), NotSerialized> {
        self.rest = self.rest.strip_prefix(text).ok_or(NotSerialized)?;
        Ok(())
    }
}

fn number<T: std::str::FromStr>(digits: &[u8]) -> Result<T, NotSerialized> {
    let plain = !digits.starts_with(b"+");
    let text = std::str::from_utf8(digits).ok().filter(|_| plain);
    text.and_then(|text| text.parse().ok()).ok_or(NotSerialized)
}

fn float(text: &[u8]) -> Result<Php<'_>, NotSerialized> {
    let text = std::str::from_utf8(text).map_err(|_| NotSerialized)?;
    if matches!(text, "INF" | "-INF" | "NAN") {
        return Ok(Php::Float(text));
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    let allowed = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-');
    let is_number = digits.starts_with(|first: char| first.is_ascii_digit()) && digits.bytes().all(allowed);
    if is_number && text.parse::<f64>().is_ok() { Ok(Php::Float(text)) } else { Err(NotSerialized) }
}
