use crate::{NamespaceSettings, Put, Tally, Ttl};

/// What a namespace may hold, and what it counts now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest lifetime.
    pub max_ttl: Ttl,
    /// The largest value, in bytes; 0 for any.
    pub max_value: u64,
    /// The most keys; 0 for any number.
    pub max_keys: u64,
    /// The most bytes of keys and values; 0 for any number.
    pub max_bytes: u64,
    /// Keys that are counted now.
    pub keys: u64,
    /// Bytes that are counted now.
    pub bytes: u64,
}

/// Which limit of its namespace a write would break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, serde::Serialize, serde::Deserialize)]
pub enum Limit {
    /// The number of keys.
    #[error("the namespace has as many keys as it may have")]
    Keys,
    /// The bytes of keys and values.
    #[error("the namespace has as many bytes as it may have")]
    Bytes,
    /// The size of a value.
    #[error("the value is larger than the namespace stores")]
    Value,
    /// The longest lifetime.
    #[error("the lifetime is longer than the namespace gives")]
    Lifetime,
}

impl Limits {
    /// None.
    pub const NONE: Self = Self { max_ttl: Ttl::FOREVER, max_value: 0, max_keys: 0, max_bytes: 0, keys: 0, bytes: 0 };

    /// Those of a namespace that counts so much.
    pub fn of(settings: &NamespaceSettings, total: &Tally) -> Self {
        let NamespaceSettings { max_keys, max_bytes, max_value, .. } = *settings;
        Self { max_ttl: settings.ttl.max_ttl(), max_value, max_keys, max_bytes, keys: total.keys, bytes: total.bytes }
    }

    /// The limit that a write would break, of a key of so many bytes. `replaced` is the size of the counted value that it
    /// takes the place of. What makes nothing larger passes, also where there is more than there may be.
    pub fn broken_by(&self, put: &Put, key_bytes: u64, replaced: Option<u64>) -> Option<Limit> {
        let value_bytes = put.value.len() as u64;
        let bounded = |limit: u64| limit > 0;
        if put.ttl > self.max_ttl {
            return Some(Limit::Lifetime);
        }
        if bounded(self.max_value) && value_bytes > self.max_value {
            return Some(Limit::Value);
        }
        if bounded(self.max_keys) && replaced.is_none() && self.keys >= self.max_keys {
            return Some(Limit::Keys);
        }
        let before = replaced.map_or(0, |value| value + key_bytes);
        let after = value_bytes + key_bytes;
        let grows = after > before;
        let total = self.bytes.saturating_sub(before).saturating_add(after);
        (bounded(self.max_bytes) && grows && total > self.max_bytes).then_some(Limit::Bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Condition;

    #[test]
    fn a_write_is_held_against_each_limit_at_its_edge() {
        let ttl = |seconds| Ttl::from_secs(seconds).unwrap();
        let put = |bytes, seconds| Put { value: vec![0; bytes].into(), ttl: ttl(seconds), condition: Condition::None };
        let limits = Limits { max_ttl: ttl(60), max_value: 10, max_keys: 2, max_bytes: 30, keys: 1, bytes: 16 };
        let full = Limits { keys: 2, bytes: 30, ..limits };
        let over = Limits { keys: 3, bytes: 50, ..limits };
        for (name, limits, put, replaced, broken) in [
            ("fits exactly", limits, put(10, 60), None, None),
            ("lives too long", limits, put(10, 61), None, Some(Limit::Lifetime)),
            ("is too large", limits, put(11, 60), None, Some(Limit::Value)),
            ("is one byte too many", Limits { bytes: 17, ..limits }, put(10, 60), None, Some(Limit::Bytes)),
            ("is one key too many", full, put(1, 60), None, Some(Limit::Keys)),
            ("replaces one as large", full, put(5, 60), Some(5), None),
            ("replaces a smaller one", full, put(6, 60), Some(5), Some(Limit::Bytes)),
            ("makes what is over smaller", over, put(4, 60), Some(5), None),
            ("has no limits", Limits { keys: 9, bytes: 99, ..Limits::NONE }, put(99, 99), None, None),
        ] {
            assert_eq!(limits.broken_by(&put, 4, replaced), broken, "{name}");
        }
    }
}
