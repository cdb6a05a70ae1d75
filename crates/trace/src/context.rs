use std::fmt;
use std::num::{NonZeroU64, NonZeroU128};

/// Which trace a span is of, and which span it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace.
    pub trace: NonZeroU128,
    /// The span.
    pub span: NonZeroU64,
}

/// The header `traceparent`: whose span the request is of, and whether its spans are wanted (W3C Trace Context, 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    /// The caller's span.
    pub context: TraceContext,
    /// Whether the caller records it.
    pub sampled: bool,
}

/// Bytes of a context between members: the trace, 16 bytes, and the span, 8, big endian.
const BYTES: usize = 24;
/// `00-`, 32 digits, `-`, 16 digits, `-`, 2 digits.
const HEADER_BYTES: usize = 55;

impl TraceContext {
    /// As members tell it each other.
    pub fn to_bytes(self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        bytes[..16].copy_from_slice(&self.trace.get().to_be_bytes());
        bytes[16..].copy_from_slice(&self.span.get().to_be_bytes());
        bytes
    }

    /// Reads what `to_bytes` wrote; `None` for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (trace, span) = bytes.split_first_chunk::<16>()?;
        let span = span.try_into().ok()?;
        Some(Self {
            trace: NonZeroU128::new(u128::from_be_bytes(*trace))?,
            span: NonZeroU64::new(u64::from_be_bytes(span))?,
        })
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}/{:016x}", self.trace, self.span)
    }
}

impl fmt::Debug for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TraceParent {
    /// Reads the header; `None` for what is none, which is as if it were not there (W3C Trace Context, 4.3). Of a later version
    /// it reads what this one knows.
    pub fn parse(header: &[u8]) -> Option<Self> {
        let (known, more) = header.split_at_checked(HEADER_BYTES)?;
        let digits = |from: usize, to: usize| {
            let digits = std::str::from_utf8(&known[from..to]).ok()?;
            let lower = digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
            lower.then(|| u128::from_str_radix(digits, 16).ok()).flatten()
        };
        let version = digits(0, 2).filter(|version| *version != 0xff)?;
        let fits = more.is_empty() || version > 0 && more.starts_with(b"-");
        if !fits || [2, 35, 52].iter().any(|at| known[*at] != b'-') {
            return None;
        }
        let trace = NonZeroU128::new(digits(3, 35)?)?;
        let span = NonZeroU64::new(u64::try_from(digits(36, 52)?).ok()?)?;
        let sampled = digits(53, 55)? & 1 == 1;
        Some(Self { context: TraceContext { trace, span }, sampled })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_as_the_standard_has_it_and_anything_else_is_none() {
        let known = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let parent = TraceParent::parse(known.as_bytes()).unwrap();
        assert_eq!(format!("{}", parent.context), "4bf92f3577b34da6a3ce929d0e0e4736/00f067aa0ba902b7");
        assert!(parent.sampled);
        assert!(!TraceParent::parse(known.replace("-01", "-00").as_bytes()).unwrap().sampled);
        assert!(
            TraceParent::parse(known.replace("-01", "-09").as_bytes()).unwrap().sampled,
            "the other flags are of later versions"
        );
        assert_eq!(TraceParent::parse(known.replacen("00-", "cc-", 1).as_bytes()), Some(parent));
        assert_eq!(
            TraceParent::parse(format!("{}-what-comes", known.replacen("00-", "cc-", 1)).as_bytes()),
            Some(parent)
        );
        for wrong in [
            String::new(),
            known[..54].to_owned(),
            format!("{known}-"),
            format!("{known}x"),
            known.to_uppercase(),
            known.replacen("00-", "ff-", 1),
            known.replacen("00-", "0g-", 1),
            known.replacen('-', "_", 1),
            known.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            known.replace("00f067aa0ba902b7", &"0".repeat(16)),
            known.replace("00f067aa0ba902b7", "00f067aa0ba902b-"),
            "é".repeat(30),
        ] {
            assert_eq!(TraceParent::parse(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn members_tell_each_other_a_context_or_nothing() {
        let context = TraceContext { trace: NonZeroU128::MAX, span: NonZeroU64::MIN };
        assert_eq!(TraceContext::from_bytes(&context.to_bytes()), Some(context));
        for wrong in [&[][..], &[1; 23], &[1; 25], &[0; 24], &[[0; 16].as_slice(), &[1; 8]].concat()] {
            assert_eq!(TraceContext::from_bytes(wrong), None);
        }
    }
}
