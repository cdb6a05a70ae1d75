//! What holds of whatever bytes are read from a disk or from another member. Here for the targets in fuzz/, and for the
//! tests that hold the seeds to it.

use bytes::Bytes;

pub use crate::backup::fuzzing::backup;
pub use crate::log::fuzzing::log_recovery;
pub use crate::state::fuzzing::{record, row, snapshot};
use crate::types::log_id;
use crate::{decode_entry, decode_membership, encode_entry, encode_membership};

/// Bytes are refused, or are an entry or a membership that comes back as it went.
pub fn entry(bytes: &[u8]) {
    let at = log_id(3, 7);
    if let Ok(entry) = decode_entry(at, Bytes::copy_from_slice(bytes)) {
        assert_eq!(decode_entry(at, encode_entry(&entry)), Ok(entry));
    }
    if let Ok(membership) = decode_membership(Bytes::copy_from_slice(bytes)) {
        assert_eq!(decode_membership(encode_membership(&membership)), Ok(membership));
    }
}

#[cfg(test)]
#[path = "../../../fuzz/seeds.rs"]
pub(crate) mod seeds;

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use openraft::EntryPayload;
    use openraft::entry::RaftEntry;
    use sessile_core::{Command, LogTime};

    use super::*;
    use crate::{Entry, Member, Membership, NodeId, Proposal, StoredMembership};

    #[test]
    fn every_seed_of_an_entry_is_one_and_comes_back() {
        let member =
            |number: u64| Member { name: format!("n{number}"), address: "[::1]:7081".into(), ..Member::default() };
        let members: BTreeMap<_, _> = (1..=3).map(|number| (NodeId::from(number), member(number))).collect();
        let voters = |numbers: &[u64]| numbers.iter().copied().map(NodeId::from).collect::<BTreeSet<_>>();
        let membership = Membership::new(vec![voters(&[1, 2]), voters(&[1, 3])], members).unwrap();
        let proposal = Proposal { stamp: LogTime::from_millis(1_700_000_000_000), command: Command::Tick.encode() };
        let encode = |payload| -> Vec<u8> { encode_entry(&Entry::new(log_id(3, 7), payload)).into() };
        let stored = StoredMembership::new(Some(log_id(2, 9)), membership.clone());
        let made = [
            ("blank", encode(EntryPayload::Blank)),
            ("proposal", encode(EntryPayload::Normal(proposal))),
            ("membership", encode(EntryPayload::Membership(membership))),
            ("stored_membership", encode_membership(&stored).into()),
        ];
        seeds::hold("entry", &made, entry);
    }
}
