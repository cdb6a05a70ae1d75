use crate::{Header, LogTime};

/// By what a record is live or not: the replicated clock, and the generations in force. A reader takes it before it
/// looks for the record, so that what it is shown was live at one moment of the log.
///
/// There is one namespace and no truncate yet, so one pair of generations stands for all; headers carry them from the
/// first record on, because what is stored cannot be given them later.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Horizon {
    /// The replicated clock.
    pub clock: LogTime,
    /// The generation of the namespace.
    pub namespace_generation: u64,
    /// The generation of the group.
    pub group_generation: u64,
}

impl Horizon {
    /// Whether the record is there for anybody: not expired, and of the generations in force.
    pub fn shows(&self, header: &Header) -> bool {
        header.expires_at > self.clock && self.is_of_now(header)
    }

    /// Whether the record has left the counts: its bucket has passed, or its generation. Once the clock and the
    /// generations that say so are durable its bytes may go, because no replay finds it counted again.
    pub fn has_let_go_of(&self, header: &Header) -> bool {
        header.bucket.has_passed(self.clock) || !self.is_of_now(header)
    }

    fn is_of_now(&self, header: &Header) -> bool {
        header.namespace_generation == self.namespace_generation && header.group_generation == self.group_generation
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bucket, Version};

    #[test]
    fn a_record_is_shown_until_it_expires_and_let_go_of_after_its_bucket() {
        let written = LogTime::from_millis(120_000);
        let expires_at = LogTime::from_millis(150_000);
        let header = Header {
            namespace_generation: 1,
            group_generation: 2,
            expires_at,
            bucket: Bucket::of(written, expires_at),
            counted_by_name: true,
            version: Version::new(1),
            value_bytes: 0,
            value_hash: 0,
        };
        let at = |millis, namespace_generation, group_generation| {
            let horizon = Horizon { clock: LogTime::from_millis(millis), namespace_generation, group_generation };
            (horizon.shows(&header), horizon.has_let_go_of(&header))
        };
        assert_eq!(at(149_999, 1, 2), (true, false));
        assert_eq!(at(150_000, 1, 2), (false, false), "expired, but its bucket has not passed");
        assert_eq!(at(180_000, 1, 2), (false, true));
        assert_eq!(at(149_999, 2, 2), (false, true), "of an older generation of the namespace");
        assert_eq!(at(149_999, 1, 3), (false, true), "of an older generation of the group");
    }
}
