use std::collections::BTreeMap;
use std::sync::Arc;

use openraft::raft::{AppendEntriesRequest, VoteRequest};
use parking_lot::Mutex;
use sessile_store::{LogId, NodeId, TypeConfig, Vote};

use super::links::Link;

/// What the newest election that this node began has left: two connections to each voter, and what is known of its log.
///
/// Whoever wins sends heartbeats and its log over these connections: a leader may take writes only once it was heard, a write
/// is acknowledged only once it was taken, and to connect would cost a round trip more each time.
#[derive(Clone, Default)]
pub(crate) struct Elections(Arc<Mutex<BTreeMap<NodeId, Voter>>>);

#[derive(Default)]
struct Voter {
    /// Until they are taken.
    heartbeats: Option<Arc<Link>>,
    log: Option<Arc<Link>>,
    shared: Option<Shared>,
}

/// How far a voter's log is known to be that of the candidate, by the vote that it gave.
struct Shared {
    vote: Vote,
    upto: LogId,
}

impl Elections {
    pub(super) fn take_for_heartbeats(&self, node: NodeId) -> Option<Arc<Link>> {
        self.0.lock().get_mut(&node)?.heartbeats.take()
    }

    pub(super) fn take_for_log(&self, node: NodeId) -> Option<Arc<Link>> {
        self.0.lock().get_mut(&node)?.log.take()
    }

    /// The connections for this election, which are new ones if it `begins`: for heartbeats, and for the log.
    pub(super) fn links(&self, node: NodeId, begins: bool, new_link: impl Fn() -> Arc<Link>) -> [Arc<Link>; 2] {
        let mut voters = self.0.lock();
        let voter = voters.entry(node).or_default();
        if begins {
            *voter = Voter::default();
        }
        [&mut voter.heartbeats, &mut voter.log].map(|link| link.get_or_insert_with(&new_link).clone())
    }

    /// A voter with that last entry has given its vote.
    ///
    /// All entries of one term were made by one leader, one behind the other. So if the last entries of candidate and voter
    /// are of the same term, and the candidate's is not the lower one, it has the voter's entry, and (Raft's Log Matching
    /// Property; Raft dissertation, 3.5) everything before it.
    pub(super) fn granted(&self, node: NodeId, asked: &VoteRequest<TypeConfig>, last: Option<LogId>) {
        let shared = asked
            .last_log_id
            .zip(last)
            .filter(|(own, theirs)| own.leader_id == theirs.leader_id && theirs.index <= own.index);
        let shared = shared.map(|(_, upto)| Shared { vote: asked.vote, upto });
        self.0.lock().entry(node).or_default().shared = shared;
    }

    /// Whether anything is known of a voter's log.
    pub(super) fn knows_log_of(&self, node: NodeId) -> bool {
        self.0.lock().get(&node).is_some_and(|voter| voter.shared.is_some())
    }

    /// The last entry of an append, if all of its entries are known to be in that member's log already. What is known is
    /// forgotten with the first append of which that is not so: from there on the member's own answers say more.
    ///
    /// openraft looks for the end of a member's log by bisection over all of the log, eight entries at a time. That is a
    /// round trip for each doubling of the log, between a leader's election and the first write that it acknowledges.
    /// The vote tells the same at once.
    pub(super) fn is_there(&self, node: NodeId, append: &AppendEntriesRequest<TypeConfig>) -> Option<LogId> {
        let mut voters = self.0.lock();
        let shared = &mut voters.get_mut(&node)?.shared;
        let last = append.entries.last().map(|entry| entry.log_id);
        let there = shared
            .as_ref()
            .zip(last)
            .filter(|(shared, last)| shared.vote.leader_id == append.vote.leader_id && last.index <= shared.upto.index);
        let last = there.map(|(_, last)| last);
        if last.is_none() {
            *shared = None;
        }
        last
    }
}

#[cfg(test)]
mod tests {
    use openraft::EntryPayload;
    use sessile_store::{Entry, log_id};

    use super::super::links::Directory;
    use super::*;

    fn voter() -> NodeId {
        NodeId::from(2)
    }

    fn campaign(term: u64, last: LogId) -> VoteRequest<TypeConfig> {
        VoteRequest::new(Vote::new(term, NodeId::from(1)), Some(last))
    }

    /// What a leader of that term sends: entries of an earlier term, up to that one.
    fn append(term: u64, entries: impl IntoIterator<Item = LogId>) -> AppendEntriesRequest<TypeConfig> {
        let entries = entries.into_iter().map(|log_id| Entry { log_id, payload: EntryPayload::Blank });
        AppendEntriesRequest {
            vote: Vote::new_committed(term, NodeId::from(1)),
            prev_log_id: None,
            entries: entries.collect(),
            leader_commit: None,
        }
    }

    #[test]
    fn an_election_leaves_a_connection_for_heartbeats_and_one_for_the_log_and_the_next_makes_new_ones() {
        let elections = Elections::default();
        let directory = Directory::without_tls();
        let new_link = || Arc::new(Link::new(voter(), directory.clone(), "127.0.0.1:1".to_owned()));
        let [heartbeats, log] = elections.links(voter(), true, new_link);
        assert!(!Arc::ptr_eq(&heartbeats, &log), "a heartbeat must not wait behind the log");
        let of_the_vote = elections.links(voter(), false, new_link);
        assert!(Arc::ptr_eq(&of_the_vote[0], &heartbeats) && Arc::ptr_eq(&of_the_vote[1], &log));
        assert!(elections.take_for_heartbeats(voter()).is_some_and(|taken| Arc::ptr_eq(&taken, &heartbeats)));
        assert!(elections.take_for_log(voter()).is_some_and(|taken| Arc::ptr_eq(&taken, &log)));
        assert!(elections.take_for_log(voter()).is_none(), "one that broke is not taken again");
        let of_the_next = elections.links(voter(), true, new_link);
        assert!(!Arc::ptr_eq(&of_the_next[0], &heartbeats) && !Arc::ptr_eq(&of_the_next[1], &log));
    }

    #[test]
    fn what_a_vote_says_of_a_log_is_not_asked_for_again() {
        let elections = Elections::default();
        elections.granted(voter(), &campaign(8, log_id(7, 100)), Some(log_id(7, 90)));
        for last in [50, 75, 90] {
            let probe = append(8, [log_id(7, last - 1), log_id(7, last)]);
            assert_eq!(elections.is_there(voter(), &probe), Some(log_id(7, last)));
        }
        assert_eq!(elections.is_there(voter(), &append(8, [log_id(7, 90), log_id(7, 91)])), None);
        assert!(!elections.knows_log_of(voter()), "the member's own answers say more from now on");
        assert_eq!(elections.is_there(voter(), &append(8, [log_id(7, 50)])), None);
    }

    #[test]
    fn a_vote_says_nothing_of_a_log_whose_end_another_leader_made_or_that_is_longer_or_empty() {
        for last in [Some(log_id(6, 90)), Some(log_id(7, 101)), None] {
            let elections = Elections::default();
            elections.granted(voter(), &campaign(8, log_id(7, 100)), last);
            assert!(!elections.knows_log_of(voter()), "{last:?}");
        }
    }

    #[test]
    fn a_vote_counts_in_its_own_term_and_until_the_next_campaign() {
        let elections = Elections::default();
        elections.granted(voter(), &campaign(8, log_id(7, 100)), Some(log_id(7, 100)));
        assert_eq!(elections.is_there(voter(), &append(9, [log_id(7, 50)])), None);

        elections.granted(voter(), &campaign(9, log_id(7, 100)), Some(log_id(7, 100)));
        assert_eq!(elections.is_there(voter(), &append(9, [])), None, "it asks for nothing");

        elections.granted(voter(), &campaign(10, log_id(7, 100)), Some(log_id(7, 100)));
        let directory = Directory::without_tls();
        elections.links(voter(), true, || Arc::new(Link::new(voter(), directory.clone(), String::new())));
        assert!(!elections.knows_log_of(voter()));
    }
}
