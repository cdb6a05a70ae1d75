use std::time::Duration;

use crate::LogTime;

/// The longest lifetime that can be asked for: ten years. It bounds the hourly buckets in which expiry is counted.
pub const MAX_TTL: Duration = Duration::from_secs(10 * 366 * 86_400);

/// How long a record is to live, from the stamp of the entry that writes it: a lower bound. At least a second, at most
/// [`MAX_TTL`], or for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ttl(u64);

impl Ttl {
    /// No expiry (Kask's `default_ttl: 0`).
    pub const FOREVER: Self = Self(u64::MAX);

    /// That many seconds; `None` for 0. More than [`MAX_TTL`] is cut to it (RFC 8030, 5.2: a server may retain for
    /// less, and says so in its answer).
    pub fn from_secs(seconds: u64) -> Option<Self> {
        (seconds > 0).then(|| Self(seconds.min(MAX_TTL.as_secs())))
    }

    /// Seconds; `None` when it is for ever.
    pub fn as_secs(self) -> Option<u64> {
        (self != Self::FOREVER).then_some(self.0)
    }

    /// When a record written at `clock` expires.
    pub fn expires_at(self, clock: LogTime) -> LogTime {
        self.as_secs().map_or(LogTime::NEVER, |seconds| clock.after(Duration::from_secs(seconds)))
    }
}

/// What lifetime a namespace gives: a default for those who ask for none, a maximum for those who ask for much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TtlPolicy {
    default: Ttl,
    maximum: Ttl,
}

impl TtlPolicy {
    /// What is asked for is granted, and nothing expires that was not asked to.
    pub const UNLIMITED: Self = Self { default: Ttl::FOREVER, maximum: Ttl::FOREVER };

    /// `None` if the default is longer than the maximum.
    pub fn new(default: Ttl, maximum: Ttl) -> Option<Self> {
        (default <= maximum).then_some(Self { default, maximum })
    }

    /// For those who ask for none.
    pub fn default_ttl(&self) -> Ttl {
        self.default
    }

    /// The longest that is granted.
    pub fn max_ttl(&self) -> Ttl {
        self.maximum
    }

    /// What is granted to a request that asks for that lifetime, or for none.
    pub fn grant(&self, requested: Option<Ttl>) -> Ttl {
        requested.map_or(self.default, |ttl| ttl.min(self.maximum))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_grants_its_default_and_never_more_than_its_maximum() {
        let day = Ttl::from_secs(86_400).unwrap();
        let hour = Ttl::from_secs(3_600).unwrap();
        let year = Ttl::from_secs(31_536_000).unwrap();
        let policy = TtlPolicy::new(hour, day).unwrap();
        assert_eq!(policy.grant(None), hour);
        assert_eq!(policy.grant(Some(day)), day);
        assert_eq!(policy.grant(Some(year)), day);
        assert_eq!(policy.grant(Some(Ttl::FOREVER)), day);
        assert_eq!(TtlPolicy::new(day, hour), None);
        assert_eq!(TtlPolicy::new(Ttl::FOREVER, Ttl::FOREVER).unwrap().grant(None), Ttl::FOREVER);
    }

    #[test]
    fn a_huge_ttl_is_cut_and_never_becomes_endless() {
        let huge = Ttl::from_secs(u64::MAX).unwrap();
        assert_eq!(huge.as_secs(), Some(MAX_TTL.as_secs()));
        assert!(huge < Ttl::FOREVER);
        assert!(huge.expires_at(LogTime::from_millis(u64::MAX - 5)) < LogTime::NEVER);
        assert_eq!(Ttl::from_secs(0), None);
    }
}
