//! An outcome as bytes (proto/sessile/v1/outcome.proto), for the way back to the node that took the request.

use bytes::Bytes;
use prost::Message;

use crate::wire::{self, outcome::Kind, refused::Reason};
use crate::{LogTime, Outcome, Refusal, RulesVersion, Taken, Version};

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
                Self::Refused(refusal(refused.reason.ok_or(OutcomeError("its reason is unknown"))?))
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
    }
}

fn refusal(reason: Reason) -> Refusal {
    match reason {
        Reason::ConditionFailed(_) => Refusal::ConditionFailed,
        Reason::UnknownIncarnation(wire::UnknownIncarnation { current }) => Refusal::UnknownIncarnation { current },
        Reason::Forgotten(_) => Refusal::Forgotten,
        Reason::WindowFull(_) => Refusal::WindowFull,
        Reason::TooManyProposers(_) => Refusal::TooManyProposers,
        Reason::Malformed(_) => Refusal::Malformed,
        Reason::RulesUnsupported(_) => Refusal::RulesUnsupported,
        Reason::Removed(_) => Refusal::Removed,
    }
}
