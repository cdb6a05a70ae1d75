//! Commands and parts of outcomes, for the golden encodings and for the seeds of the fuzz targets. What is here stays as it
//! is, as those bytes do; what is new gets a place beside it.

use bytes::Bytes;

use crate::{
    Action, BaseUri, Command, Condition, Idempotency, IdempotencyKey, LogTime, NamespaceId, NamespaceName,
    NamespaceSettings, ProposerId, Put, ReadConsistency, Register, Renewal, SessionCommand, SessionKey, SessionRequest,
    Taken, Ttl, TtlPolicy, Version,
};

pub(crate) fn session(action: Action) -> Command {
    Command::Session(SessionCommand {
        proposer: ProposerId::new(0x0123_4567_89ab_cdef),
        incarnation: 7,
        sequence: 300,
        lowest_outstanding: 299,
        namespace: NamespaceId::SESSIONS,
        key: SessionKey::new("awiki:MWSession:0").unwrap(),
        request: action.into(),
    })
}

pub(crate) fn put(ttl: Ttl, condition: Condition) -> Command {
    session(Action::Put(Put { value: Bytes::from_static(b"a value"), ttl, condition }))
}

pub(crate) fn named(command: Command) -> Command {
    let Command::Session(session) = command else { return command };
    let idempotency = IdempotencyKey::new("a-1").ok().map(|key| Idempotency { key, asked: Some(hour()) });
    let request = SessionRequest { idempotency, ..session.request };
    Command::Session(SessionCommand { request, ..session })
}

pub(crate) fn hour() -> Ttl {
    Ttl::from_secs(3600).unwrap()
}

pub(crate) fn versions() -> Vec<Version> {
    vec![Version::new(1), Version::new(u64::MAX)]
}

pub(crate) fn register() -> Command {
    Command::Register(Register { proposer: ProposerId::new(5), previous: 3, nonce: u64::MAX })
}

pub(crate) fn taken() -> Taken {
    Taken {
        value: Bytes::from_static(b"a value"),
        version: Version::new(9),
        expires_at: LogTime::NEVER,
        clock: LogTime::from_millis(1_700_000_000_000),
    }
}

pub(crate) fn settings() -> NamespaceSettings {
    let minute = Ttl::from_secs(60).unwrap();
    NamespaceSettings {
        ttl: TtlPolicy::new(minute, minute).unwrap(),
        max_keys: 1,
        max_bytes: 2,
        max_value: 3,
        read_consistency: ReadConsistency::Local,
        priority: 4,
        renewal: Renewal::Never,
        ..NamespaceSettings::unlimited(NamespaceName::new("e").unwrap(), BaseUri::new("/e/").unwrap())
    }
}
