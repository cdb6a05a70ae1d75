//! The rules of a session store, pure: what a command does to the one record its key has now, and to the counts that
//! every replica keeps. The same log gives the same state, byte for byte, on every replica.
//!
//! This crate deliberately knows nothing of I/O, async, wall time, Raft, or HTTP. Time is an argument
//! ([`LogTime`]), stored records are reached through [`Records`], and every refusal is a value.
//!
//! The way of one command: bytes → [`Command::decode`] → [`State::apply`] (has this proposer said it before?) →
//! [`decide`] (what happens to the record, within the [`Limits`] of its namespace) → [`Tally`] (what that does to the counts) → [`Outcome`].

// From the bottom up: a module knows those above it in this list, and none below.

// What everything else is made of: keys, numbers, times.
mod base_uri;
mod idempotency_key;
mod key;
mod namespace;
mod proposer_id;
mod read_consistency;
mod renewal;
mod rules;
mod time;
mod ttl;
mod version;

// What is stored: a record, and what it counts; the namespaces.
mod bucket;
mod record;
mod tally;

mod namespace_settings;
mod namespace_table;

// What is asked and answered. A command's bytes are written in `command`, an outcome's in `outcome_wire`.
mod condition;
mod history;
mod namespace_command;

mod command;
mod limits;
mod outcome;
mod outcome_wire;

// The rules, each by itself.
mod answers;
mod horizon;
mod proposer;
mod stamp;

mod set_time;

mod decide;

// The whole state, and what holds it against the records.
mod checksum;
mod row;

mod ledger;
mod namespace_rules;

mod state;

mod recount;

pub mod injected;

#[cfg(test)]
mod examples;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
#[cfg(test)]
mod golden;

mod wire {
    //! Generated from proto/sessile/v1/{command,outcome}.proto, and kept in proto/generated.
    #![allow(missing_docs, clippy::all, unreachable_pub)]
    include!("../../../proto/generated/core.rs");
}

pub use answers::{ANSWERS_KEPT, Answer, MAX_ANSWER_BYTES, MAX_ANSWERS};
pub use base_uri::{BaseUri, BaseUriError};
pub use bucket::Bucket;
pub use command::{
    Action, Command, CommandError, Delete, Idempotency, Put, Register, Renew, SessionCommand, SessionRequest,
};
pub use condition::{Condition, MAX_CONDITION_VERSIONS};
pub use decide::{Decision, Place, decide};
pub use history::{Change, HistoryCommand, HistoryEntry, MAX_HISTORY, MAX_HISTORY_TEXT};
pub use horizon::{Horizon, Horizons};
pub use idempotency_key::{IdempotencyKey, IdempotencyKeyError, MAX_IDEMPOTENCY_KEY_BYTES};
pub use key::{GroupName, GroupNameError, KeyError, MAX_GROUP_BYTES, MAX_KEY_BYTES, SessionKey, group_of};
pub use limits::{Limit, Limits};
pub use namespace::{
    MAX_GROUPS, MAX_NAMESPACE_NAME_BYTES, MAX_NAMESPACES, NamespaceId, NamespaceName, NamespaceNameError,
};
pub use namespace_command::{NamespaceChanged, NamespaceCommand, NamespaceRefusal};
pub use namespace_settings::{NamespaceSettings, SettingsError};
pub use namespace_table::{Namespace, NamespaceTable, StoredNamespace, TruncatedGroup};
pub use outcome::{Outcome, Refusal, Taken};
pub use outcome_wire::OutcomeError;
pub use proposer::{MAX_PROPOSERS, MAX_WINDOW_BYTES, MAX_WINDOW_COMMANDS, Proposer};
pub use proposer_id::ProposerId;
pub use read_consistency::ReadConsistency;
pub use record::{Header, Record, value_hash};
pub use recount::Recount;
pub use renewal::Renewal;
pub use row::{RestoreError, Row, RowKey};
pub use rules::RulesVersion;
pub use set_time::{MAX_SET_AHEAD, TimeOrder, TimeRefusal, set_time};
pub use stamp::{JUMP_AGREEMENT, MAX_FORWARD_JUMP, Stamp, stamp};
pub use state::{ApplyError, Context, Records, State};
pub use tally::Tally;
pub use time::LogTime;
pub use ttl::{MAX_TTL, Ttl, TtlPolicy};
pub use version::Version;
