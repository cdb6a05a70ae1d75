use std::sync::Arc;

use crate::{Header, LogTime, NamespaceId, NamespaceTable};

/// By what records are live or not: the replicated clock, and the generations in force. A reader takes it before it
/// looks for a record, so that what it is shown was live at one moment of the log. Cheap to clone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Horizons {
    /// The replicated clock.
    pub clock: LogTime,
    /// The namespaces there are, with their generations.
    pub namespaces: Arc<NamespaceTable>,
}

impl Horizons {
    /// That of a group's keys; `None` in a namespace that does not exist, where nothing is live.
    pub fn of(&self, namespace: NamespaceId, group: &str) -> Option<Horizon> {
        let namespace = self.namespaces.get(namespace)?;
        let (namespace_generation, group_generation) = (namespace.generation, namespace.group_generation(group));
        Some(Horizon { clock: self.clock, namespace_generation, group_generation })
    }

    /// The same at another time.
    #[must_use]
    pub fn at(&self, clock: LogTime) -> Self {
        Self { clock, namespaces: Arc::clone(&self.namespaces) }
    }

    /// Whether the record is there for anybody ([`Horizon::shows`]).
    pub fn shows(&self, namespace: NamespaceId, group: &str, header: &Header) -> bool {
        self.of(namespace, group).is_some_and(|horizon| horizon.shows(header))
    }

    /// Whether the record has left the counts ([`Horizon::has_let_go_of`]), or its namespace was dropped. What is of a
    /// namespace that was made later is not let go of.
    pub fn have_let_go_of(&self, namespace: NamespaceId, group: &str, header: &Header) -> bool {
        match self.of(namespace, group) {
            Some(horizon) => horizon.has_let_go_of(header),
            None => self.namespaces.is_gone(namespace),
        }
    }
}

/// By what the records of one group are live or not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Horizon {
    /// The replicated clock.
    pub clock: LogTime,
    /// The oldest generation of the namespace of which records are there.
    pub namespace_generation: u64,
    /// The oldest generation of the group of which records are there.
    pub group_generation: u64,
}

impl Horizon {
    /// Whether the record is there for anybody: not expired, and of the generations in force.
    pub fn shows(&self, header: &Header) -> bool {
        header.expires_at > self.clock
            && header.namespace_generation >= self.namespace_generation
            && header.group_generation >= self.group_generation
    }

    /// Whether the record has left the counts: its bucket has passed, or its generation. Once the clock and the
    /// generations that say so are durable its bytes may go, because no replay finds it counted again.
    ///
    /// What is not counted by its group's name does not leave the counts with its group: nobody knows how much of what is
    /// counted together belongs to one.
    pub fn has_let_go_of(&self, header: &Header) -> bool {
        header.bucket.has_passed(self.clock)
            || header.namespace_generation < self.namespace_generation
            || (header.counted_by_name && header.group_generation < self.group_generation)
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
            lifetime: None,
        };
        let judged = |header: &Header, millis, namespace_generation, group_generation| {
            let horizon = Horizon { clock: LogTime::from_millis(millis), namespace_generation, group_generation };
            (horizon.shows(header), horizon.has_let_go_of(header))
        };
        let at = |millis, of_namespace, of_group| judged(&header, millis, of_namespace, of_group);
        assert_eq!(at(149_999, 1, 2), (true, false));
        assert_eq!(at(150_000, 1, 2), (false, false), "expired, but its bucket has not passed");
        assert_eq!(at(180_000, 1, 2), (false, true));
        assert_eq!(at(149_999, 2, 2), (false, true), "of an older generation of the namespace");
        assert_eq!(at(149_999, 1, 3), (false, true), "of an older generation of the group");
        assert_eq!(at(149_999, 0, 0), (true, false), "what was forgotten hides nothing");
        let together = Header { counted_by_name: false, ..header.clone() };
        assert_eq!(judged(&together, 149_999, 1, 3), (false, false), "hidden, and counted until it would have expired");
    }

    #[test]
    fn nothing_is_live_in_a_namespace_that_does_not_exist() {
        let horizons = Horizons::default();
        assert!(horizons.of(NamespaceId::SESSIONS, "awiki").is_some());
        assert_eq!(horizons.of(NamespaceId::new(2), "awiki"), None);
    }
}
