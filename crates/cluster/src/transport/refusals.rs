use std::sync::atomic::{AtomicU64, Ordering};

use prost::Message;
use tonic::{Code, Status};

use crate::wire::Refusal;
use crate::wire::refusal::Reason;

/// How often something was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusalCount {
    /// Why, as a metric's label.
    pub reason: &'static str,
    /// By this node.
    pub here: u64,
    /// By others, of what this node sent: an alertable mismatch, not a timeout.
    pub there: u64,
}

impl RefusalCount {
    /// How many reasons there are.
    pub const REASONS: usize = REASONS.len();
}

/// Every reason, and its name in metrics.
const REASONS: [(Reason, &str); 12] = [
    (Reason::NoEnvelope, "no_envelope"),
    (Reason::WrongCluster, "wrong_cluster"),
    (Reason::WrongGroup, "wrong_group"),
    (Reason::WrongNode, "wrong_node"),
    (Reason::Removed, "removed"),
    (Reason::Version, "version"),
    (Reason::NotReady, "not_ready"),
    (Reason::Token, "token"),
    (Reason::NameTaken, "name_taken"),
    (Reason::WrongKey, "wrong_key"),
    (Reason::NotAMember, "not_a_member"),
    (Reason::Replaced, "replaced"),
];

/// What this node refused, and what others refused of this node, by reason.
#[derive(Default)]
pub(super) struct Refusals {
    here: [AtomicU64; REASONS.len()],
    there: [AtomicU64; REASONS.len()],
}

impl Refusals {
    /// This node refused something.
    pub(super) fn here(&self, reason: Reason) {
        count(&self.here, reason);
    }

    /// Another node refused something of this one.
    pub(super) fn by_others(&self, reason: Reason) {
        count(&self.there, reason);
    }

    pub(super) fn counts(&self) -> Vec<RefusalCount> {
        let counts = REASONS.iter().zip(self.here.iter().zip(&self.there));
        let count = |(&(_, reason), (here, there)): (&(Reason, &'static str), (&AtomicU64, &AtomicU64))| RefusalCount {
            reason,
            here: here.load(Ordering::Relaxed),
            there: there.load(Ordering::Relaxed),
        };
        counts.map(count).collect()
    }
}

fn count(counts: &[AtomicU64; REASONS.len()], reason: Reason) {
    if let Some(at) = REASONS.iter().position(|(known, _)| *known == reason) {
        counts[at].fetch_add(1, Ordering::Relaxed);
    }
}

/// A refusal that programs can tell apart and people can read.
pub(crate) fn refuse(reason: Reason, text: &str) -> Status {
    let code = match reason {
        Reason::NotReady => Code::Unavailable,
        Reason::Token => Code::PermissionDenied,
        Reason::NameTaken => Code::AlreadyExists,
        _ => Code::FailedPrecondition,
    };
    let (known_before, precisely) = match reason {
        Reason::Replaced => (Reason::Removed, Reason::Replaced),
        _ => (reason, Reason::Unspecified),
    };
    let refusal = Refusal { reason: known_before.into(), text: text.to_owned(), precisely: precisely.into() };
    let details = refusal.encode_to_vec();
    Status::with_details(code, text, details.into())
}

/// Why the other side refused, if it did; anything else is a failure of the way there.
pub(crate) fn refusal_of(status: &Status) -> Option<(Reason, String)> {
    let refusal = Refusal::decode(status.details()).ok().filter(|_| !status.details().is_empty())?;
    let reasons = [refusal.precisely(), refusal.reason()];
    let known = reasons.into_iter().find(|reason| *reason != Reason::Unspecified)?;
    Some((known, refusal.text))
}
