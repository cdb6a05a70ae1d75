//! Making a node the only member of its cluster, by what its log ends with.

use std::collections::{BTreeMap, BTreeSet};

use openraft::EntryPayload;
use openraft::entry::RaftEntry;
use sessile_core::{Change, Command, HistoryCommand, LogTime};

use crate::codec::encode_entry;
use crate::data_dir::DataDir;
use crate::log::{LogPosition, LogRecord, RaftLog};
use crate::log_tail::{vote_for_itself, voted_term};
use crate::types::{Entry, log_id_at};
use crate::{Member, Membership, NodeId, Proposal, StoreError};

/// What an operator had done to a node that does not run, for the history of changes.
pub(crate) struct Act<'a> {
    pub(crate) who: &'a str,
    pub(crate) what: &'a str,
    pub(crate) result: &'a str,
    /// The time in the log, which this does not move.
    pub(crate) at: LogTime,
    /// Whether the rules in force have a history.
    pub(crate) is_noted: bool,
}

/// Appends to the log that this node is the only member from here on, durably, in a term of its own. Everything before it is
/// committed with it when the node starts: nobody else has a word in that, and what a majority had acknowledged stands before
/// it. Whoever was a member before is tombstoned when it is applied.
pub(crate) fn make_alone(
    dir: &DataDir,
    log: &RaftLog,
    (node, member): (NodeId, Member),
    act: &Act<'_>,
) -> Result<LogPosition, StoreError> {
    let last = log.last().unwrap_or(LogPosition { term: 0, index: 0 });
    let term = voted_term(dir, log)?.max(last.term) + 1;
    // The vote before the entries, as a leader of that term would have them on its disk.
    vote_for_itself(log, term, node)?;
    let mut index = last.index;
    let mut next = || {
        index += 1;
        LogPosition { term, index }
    };
    let only = BTreeSet::from([node]);
    let membership = Membership::new(vec![only], BTreeMap::from([(node, member)]));
    let membership = membership.map_err(|_| dir.disagreement("a membership of one is refused; this is a defect"))?;
    let mut records = vec![record(next(), EntryPayload::Membership(membership))];
    if act.is_noted {
        let begin = next();
        let change = Change::new(act.who, "this machine", act.what);
        let command = |command| Proposal { stamp: act.at, command: Command::History(command).encode() };
        records.push(record(begin, EntryPayload::Normal(command(HistoryCommand::Begin(change)))));
        let ends = HistoryCommand::end(begin.index, act.result);
        records.push(record(next(), EntryPayload::Normal(command(ends))));
    }
    log.durably(|done| log.append(records, done))?;
    Ok(LogPosition { term, index })
}

fn record(position: LogPosition, payload: EntryPayload<Proposal, NodeId, Member>) -> LogRecord {
    LogRecord { position, payload: encode_entry(&Entry::new(log_id_at(position), payload)) }
}
