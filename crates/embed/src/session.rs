use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use sessile_cluster::LiveRecord;
use sessile_core::{Condition, Taken, Ttl, Version};

/// A live session. The value is secret: `Debug` shows its length only.
#[derive(Clone, PartialEq, Eq)]
pub struct Session {
    /// What was stored.
    pub value: Bytes,
    /// Which write it is: for conditions.
    pub version: Version,
    /// How long it has left; `None` when it never expires.
    pub remaining: Option<Duration>,
}

impl From<LiveRecord> for Session {
    fn from(LiveRecord { record, clock }: LiveRecord) -> Self {
        let header = record.header;
        Self { value: record.value, version: header.version, remaining: header.expires_at.left(clock) }
    }
}

impl From<Taken> for Session {
    fn from(Taken { value, version, expires_at, clock }: Taken) -> Self {
        Self { value, version, remaining: expires_at.left(clock) }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({} bytes, {:?}, {:?} left)", self.value.len(), self.version, self.remaining)
    }
}

/// How a value is stored or renewed. By default for as long as its namespace says, whatever is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WriteOptions {
    ttl: Option<Ttl>,
    condition: Condition,
}

impl WriteOptions {
    /// For that long at least: rounded up to seconds, and cut to the namespace's maximum.
    #[must_use]
    pub fn ttl(self, ttl: Duration) -> Self {
        let whole = ttl.as_secs().saturating_add(u64::from(ttl.subsec_nanos() > 0));
        Self { ttl: Ttl::from_secs(whole.max(1)), ..self }
    }

    /// Only if that holds of what is there: [`Condition::Absent`] adds, [`Condition::Present`] replaces, and
    /// [`Condition::Matches`] with the version that was read compares and sets.
    #[must_use]
    pub fn only_if(self, condition: Condition) -> Self {
        Self { condition, ..self }
    }

    pub(crate) fn into_parts(self) -> (Option<Ttl>, Condition) {
        (self.ttl, self.condition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_is_never_shorter_than_what_was_asked_for() {
        for (asked, seconds) in [
            (Duration::ZERO, 1),
            (Duration::from_millis(1), 1),
            (Duration::from_secs(1), 1),
            (Duration::from_millis(1_001), 2),
            (Duration::from_secs(3_600), 3_600),
        ] {
            assert_eq!(WriteOptions::default().ttl(asked).ttl, Ttl::from_secs(seconds), "{asked:?}");
        }
        assert_eq!(WriteOptions::default().ttl(Duration::MAX).ttl, Ttl::from_secs(u64::MAX));
    }

    #[test]
    fn a_value_is_never_printed() {
        let session = Session { value: Bytes::from_static(b"topsecret"), version: Version::new(7), remaining: None };
        let printed = format!("{session:?}");
        assert!(printed.contains("9 bytes") && !printed.contains("topsecret"), "{printed}");
    }
}
