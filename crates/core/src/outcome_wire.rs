//! An outcome as bytes (proto/sessile/v1/outcome.proto), for the way back to the node that took the request.

use bytes::Bytes;
use prost::Message;

use crate::wire::{self, outcome::Kind, refused::Reason};
use crate::{
    Limit, LogTime, NamespaceChanged, NamespaceId, NamespaceRefusal, Outcome, Refusal, RulesVersion, Taken, Version,
};

/// Bytes that are no outcome. Never repeats them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an outcome: {0}")]
pub struct OutcomeError(&'static str);

impl Outcome {
    /// The bytes that go back to whoever proposed.
    pub fn encode(&self) -> Bytes {
        let kind = match self {
            Self::Written { version } => Kind::Written(wire::Written { version: version.log_index() }),
            Self::Deleted { existed, taken } => {
                Kind::Deleted(wire::Deleted { existed: *existed, taken: taken.as_ref().map(taken_to_wire) })
            }
            Self::Registered { incarnation } => Kind::Registered(wire::Registered { incarnation: *incarnation }),
            Self::Ticked => Kind::Ticked(wire::Ticked {}),
            Self::Rules { version } => Kind::Rules(wire::RulesInForce { version: version.number() }),
            Self::Noted { entry } => Kind::Noted(wire::Noted { entry: *entry }),
            Self::Refused(refusal) => Kind::Refused(wire::Refused { reason: Some(reason(*refusal)) }),
            Self::Namespace(NamespaceChanged { namespace, keys, bytes }) => {
                Kind::Namespace(wire::NamespaceChanged { namespace: namespace.number(), keys: *keys, bytes: *bytes })
            }
            Self::Renewed { version } => {
                Kind::Renewed(wire::Renewed { version: version.map_or(0, Version::log_index) })
            }
        };
        wire::Outcome { kind: Some(kind) }.encode_to_vec().into()
    }

    /// Reads what `encode` wrote. A value that it hands out shares the bytes.
    ///
    /// # Errors
    /// The bytes are damaged, or of a kind that only a newer program knows.
    pub fn decode(bytes: Bytes) -> Result<Self, OutcomeError> {
        let outcome = wire::Outcome::decode(bytes).map_err(|_| OutcomeError("the protobuf is damaged"))?;
        Ok(match outcome.kind.ok_or(OutcomeError("its kind is unknown"))? {
            Kind::Written(written) => Self::Written { version: Version::new(written.version) },
            Kind::Deleted(deleted) => {
                Self::Deleted { existed: deleted.existed, taken: deleted.taken.map(taken_from_wire) }
            }
            Kind::Registered(registered) => Self::Registered { incarnation: registered.incarnation },
            Kind::Ticked(wire::Ticked {}) => Self::Ticked,
            Kind::Rules(rules) => Self::Rules { version: RulesVersion::new(rules.version) },
            Kind::Noted(noted) => Self::Noted { entry: noted.entry },
            Kind::Refused(refused) => {
                Self::Refused(refusal(refused.reason.ok_or(OutcomeError("its reason is unknown"))?)?)
            }
            Kind::Namespace(wire::NamespaceChanged { namespace, keys, bytes }) => {
                Self::Namespace(NamespaceChanged { namespace: NamespaceId::new(namespace), keys, bytes })
            }
            Kind::Renewed(wire::Renewed { version }) => {
                Self::Renewed { version: Some(version).filter(|version| *version > 0).map(Version::new) }
            }
        })
    }
}

fn taken_to_wire(taken: &Taken) -> wire::Taken {
    wire::Taken {
        value: taken.value.clone(),
        version: taken.version.log_index(),
        expires_at_ms: taken.expires_at.as_millis(),
        clock_ms: taken.clock.as_millis(),
    }
}

fn taken_from_wire(taken: wire::Taken) -> Taken {
    Taken {
        value: taken.value,
        version: Version::new(taken.version),
        expires_at: LogTime::from_millis(taken.expires_at_ms),
        clock: LogTime::from_millis(taken.clock_ms),
    }
}

fn reason(refusal: Refusal) -> Reason {
    let plain = wire::Reason {};
    match refusal {
        Refusal::ConditionFailed => Reason::ConditionFailed(plain),
        Refusal::UnknownIncarnation { current } => Reason::UnknownIncarnation(wire::UnknownIncarnation { current }),
        Refusal::Forgotten => Reason::Forgotten(plain),
        Refusal::WindowFull => Reason::WindowFull(plain),
        Refusal::TooManyProposers => Reason::TooManyProposers(plain),
        Refusal::Malformed => Reason::Malformed(plain),
        Refusal::RulesUnsupported => Reason::RulesUnsupported(plain),
        Refusal::Removed => Reason::Removed(plain),
        Refusal::Namespace(refusal) => {
            Reason::Namespace(wire::NamespaceRefused { reason: Some(namespace_reason(refusal)) })
        }
        Refusal::Limit(limit) => Reason::Limit(limit_to_wire(limit).into()),
        Refusal::IdempotencyKeyReused => Reason::IdempotencyKeyReused(plain),
        Refusal::AnswersFull => Reason::AnswersFull(plain),
    }
}

fn refusal(reason: Reason) -> Result<Refusal, OutcomeError> {
    Ok(match reason {
        Reason::ConditionFailed(_) => Refusal::ConditionFailed,
        Reason::UnknownIncarnation(wire::UnknownIncarnation { current }) => Refusal::UnknownIncarnation { current },
        Reason::Forgotten(_) => Refusal::Forgotten,
        Reason::WindowFull(_) => Refusal::WindowFull,
        Reason::TooManyProposers(_) => Refusal::TooManyProposers,
        Reason::Malformed(_) => Refusal::Malformed,
        Reason::RulesUnsupported(_) => Refusal::RulesUnsupported,
        Reason::Removed(_) => Refusal::Removed,
        Reason::Namespace(refused) => {
            Refusal::Namespace(namespace_refusal(refused.reason.ok_or(OutcomeError("its reason is unknown"))?))
        }
        Reason::Limit(limit) => Refusal::Limit(limit_from_wire(limit)?),
        Reason::IdempotencyKeyReused(_) => Refusal::IdempotencyKeyReused,
        Reason::AnswersFull(_) => Refusal::AnswersFull,
    })
}

fn limit_to_wire(limit: Limit) -> wire::Limit {
    match limit {
        Limit::Keys => wire::Limit::Keys,
        Limit::Bytes => wire::Limit::Bytes,
        Limit::Value => wire::Limit::Value,
        Limit::Lifetime => wire::Limit::Lifetime,
    }
}

fn limit_from_wire(limit: i32) -> Result<Limit, OutcomeError> {
    match wire::Limit::try_from(limit) {
        Ok(wire::Limit::Keys) => Ok(Limit::Keys),
        Ok(wire::Limit::Bytes) => Ok(Limit::Bytes),
        Ok(wire::Limit::Value) => Ok(Limit::Value),
        Ok(wire::Limit::Lifetime) => Ok(Limit::Lifetime),
        Ok(wire::Limit::Unspecified) | Err(_) => Err(OutcomeError("its limit is unknown")),
    }
}

fn namespace_reason(refusal: NamespaceRefusal) -> wire::namespace_refused::Reason {
    use wire::namespace_refused::Reason as Of;
    let plain = wire::Reason {};
    match refusal {
        NamespaceRefusal::NotSeeded => Of::NotSeeded(plain),
        NamespaceRefusal::Seeded => Of::Seeded(plain),
        NamespaceRefusal::Unknown => Of::Unknown(plain),
        NamespaceRefusal::NameTaken { by } => Of::NameTaken(by.number()),
        NamespaceRefusal::BaseUriTaken { by } => Of::BaseUriTaken(by.number()),
        NamespaceRefusal::TooMany => Of::TooMany(plain),
        NamespaceRefusal::Changed => Of::Changed(plain),
        NamespaceRefusal::NotEmpty { keys, bytes } => Of::NotEmpty(wire::Counted { keys, bytes }),
        NamespaceRefusal::QuotaBelow { keys, bytes } => Of::QuotaBelow(wire::Counted { keys, bytes }),
        NamespaceRefusal::UnknownGroup => Of::UnknownGroup(plain),
        NamespaceRefusal::TooManyGroups => Of::TooManyGroups(plain),
    }
}

fn namespace_refusal(reason: wire::namespace_refused::Reason) -> NamespaceRefusal {
    use wire::namespace_refused::Reason as Of;
    match reason {
        Of::NotSeeded(_) => NamespaceRefusal::NotSeeded,
        Of::Seeded(_) => NamespaceRefusal::Seeded,
        Of::Unknown(_) => NamespaceRefusal::Unknown,
        Of::NameTaken(by) => NamespaceRefusal::NameTaken { by: NamespaceId::new(by) },
        Of::BaseUriTaken(by) => NamespaceRefusal::BaseUriTaken { by: NamespaceId::new(by) },
        Of::TooMany(_) => NamespaceRefusal::TooMany,
        Of::Changed(_) => NamespaceRefusal::Changed,
        Of::NotEmpty(wire::Counted { keys, bytes }) => NamespaceRefusal::NotEmpty { keys, bytes },
        Of::QuotaBelow(wire::Counted { keys, bytes }) => NamespaceRefusal::QuotaBelow { keys, bytes },
        Of::UnknownGroup(_) => NamespaceRefusal::UnknownGroup,
        Of::TooManyGroups(_) => NamespaceRefusal::TooManyGroups,
    }
}
