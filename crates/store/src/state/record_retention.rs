use parking_lot::RwLock;
use sessile_core::{Horizons, LogTime};

use super::stored::{RECORD_SPACE, decode_header, group_of_record};
use crate::engine::Retention;

/// Which records an engine may leave out in its merges: those that have left the counts by the horizons of the last
/// `persist`. A crash rewinds the clock to there, and the replay finds what it found before.
#[derive(Debug, Default)]
pub(super) struct RecordRetention(RwLock<Horizons>);

impl RecordRetention {
    /// What a crash would find again.
    pub(super) fn persisted(&self, horizons: Horizons) {
        *self.0.write() = horizons;
    }
}

impl Retention for RecordRetention {
    fn may_lapse(&self, key: &[u8]) -> bool {
        key.first() == Some(&RECORD_SPACE)
    }

    fn needed_until(&self, key: &[u8], value: &[u8]) -> u64 {
        // What is damaged stays, to be found by whoever reads it.
        let Ok((header, _)) = decode_header(key, value) else { return u64::MAX };
        let Ok((namespace, group)) = group_of_record(key) else { return u64::MAX };
        // The clock aside, only its generation or its namespace can say that it is not needed.
        let by_generation = self.0.read().at(LogTime::default());
        match header.bucket.end() {
            _ if by_generation.have_let_go_of(namespace, group, &header) => 0,
            LogTime::NEVER => u64::MAX,
            end => end.as_millis(),
        }
    }

    fn now(&self) -> u64 {
        self.0.read().clock.as_millis()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use sessile_core::{
        BaseUri, Command, Context, Header, NamespaceCommand, NamespaceId, NamespaceName, NamespaceSettings, Record,
        Records, RulesVersion, SessionKey, State,
    };

    use super::*;
    use crate::state::examples;
    use crate::state::stored::{encode_record, record_key};

    const SECOND: NamespaceId = NamespaceId::new(2);

    /// Where there are none.
    struct NoRecords;

    impl Records for NoRecords {
        type Error = Infallible;

        fn get(&mut self, _: NamespaceId, _: &SessionKey) -> Result<Option<Record>, Infallible> {
            Ok(None)
        }

        fn put(&mut self, _: NamespaceId, _: &SessionKey, _: Record) {}

        fn remove(&mut self, _: NamespaceId, _: &SessionKey) {}
    }

    fn settings(name: &str) -> NamespaceSettings {
        NamespaceSettings::unlimited(NamespaceName::new(name).unwrap(), BaseUri::new(name).unwrap())
    }

    /// What a persist after each of these would keep.
    fn horizons_after(commands: impl IntoIterator<Item = NamespaceCommand>) -> Vec<Horizons> {
        let (mut state, rules) = (State::default(), RulesVersion::SUPPORTED);
        let seed = NamespaceCommand::Seed(vec![settings("sessions")]);
        let all = [Command::RaiseRules(rules), Command::Namespace(seed)].into_iter();
        let mut apply = |(index, command)| {
            let context = Context { index, stamp: LogTime::default(), rules_supported: rules };
            state.apply(&context, &command, &mut NoRecords).unwrap();
            state.horizons().clone()
        };
        (1..).zip(all.chain(commands.into_iter().map(Command::Namespace))).map(&mut apply).skip(1).collect()
    }

    fn stored(namespace: NamespaceId, generation: u64) -> (Bytes, Bytes) {
        let key = record_key(namespace, &examples::key());
        let record = examples::record(b"a session's value");
        let header = Header { namespace_generation: generation, group_generation: generation, ..record.header };
        let bytes = encode_record(&key, &Record { header, ..record });
        (key, bytes)
    }

    #[test]
    fn what_a_persist_does_not_know_yet_is_needed_and_what_it_knows_to_be_gone_is_not() {
        let retention = RecordRetention::default();
        let needed = |(key, value): &(Bytes, Bytes)| retention.needed_until(key, value) > 0;
        let (old, new) = (stored(SECOND, 0), stored(SECOND, 1));
        assert!(needed(&old), "before the first persist of this process");
        let horizons = horizons_after([
            NamespaceCommand::Create(settings("echo")),
            NamespaceCommand::Truncate { namespace: SECOND, group: None },
            NamespaceCommand::Drop { namespace: SECOND, force: false },
        ]);
        for ((at, of_old, of_new), horizons) in [
            ("before there is such a namespace", true, true),
            ("while it is there", true, true),
            ("after it was truncated", false, true),
            ("after it was dropped", false, false),
        ]
        .into_iter()
        .zip(horizons)
        {
            retention.persisted(horizons);
            assert_eq!((needed(&old), needed(&new)), (of_old, of_new), "{at}");
        }
    }
}
