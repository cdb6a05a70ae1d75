//! A change of the membership that is under way, in words. While it is, nothing is committed without it.

use std::collections::BTreeSet;

use sessile_store::{NodeId, StoredMembership};

use super::quorum::Arithmetic;

/// The change that is under way, if one is: between two sets of voters, or of anything else that is not committed yet.
pub(crate) fn pending(
    on: &StoredMembership,
    is_committed: bool,
    name: impl Fn(NodeId) -> String,
    is_well: impl Fn(NodeId) -> bool,
) -> Option<String> {
    let named = |voters: &BTreeSet<NodeId>| voters.iter().map(|voter| name(*voter)).collect::<Vec<_>>().join(", ");
    match &on.membership().get_joint_config()[..] {
        [before, after] => {
            let (from, to) = (Arithmetic::of(before, &is_well), Arithmetic::of(after, &is_well));
            let mut sentence = format!(
                "a change of the voters from {} to {} is under way, which {} of {} and {} of {} must take over",
                named(before),
                named(after),
                from.quorum(),
                from.voters,
                to.quorum(),
                to.voters
            );
            let silent: BTreeSet<NodeId> = before.union(after).copied().filter(|voter| !is_well(*voter)).collect();
            if from.lacks_quorum() || to.lacks_quorum() {
                sentence +=
                    &format!(", and it cannot be made before more of them answer: bring back {}", named(&silent));
            }
            Some(sentence)
        }
        _ if !is_committed => Some("a change of the membership is under way".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use openraft::Membership;
    use sessile_store::Member;

    use super::*;

    fn of(configs: Vec<&[u64]>) -> StoredMembership {
        let configs: Vec<BTreeSet<NodeId>> =
            configs.into_iter().map(|voters| voters.iter().map(|voter| NodeId::from(*voter)).collect()).collect();
        let nodes: BTreeMap<NodeId, Member> =
            configs.iter().flatten().map(|voter| (*voter, Member::default())).collect();
        StoredMembership::new(None, Membership::new(configs, nodes).unwrap())
    }

    #[test]
    fn a_change_that_is_half_done_says_who_must_take_it_over_and_who_is_missing() {
        let name = |node: NodeId| format!("n{}", node.bits());
        let joint = of(vec![&[1, 2, 3], &[1, 3]]);
        assert_eq!(
            pending(&joint, true, name, |_| true).unwrap(),
            "a change of the voters from n1, n2, n3 to n1, n3 is under way, which 2 of 3 and 2 of 2 must take over"
        );
        let stuck = pending(&joint, true, name, |node| node != NodeId::from(3)).unwrap();
        assert!(stuck.ends_with(", and it cannot be made before more of them answer: bring back n3"), "{stuck}");
        let simple = of(vec![&[1, 2, 3]]);
        assert_eq!(pending(&simple, false, name, |_| true).unwrap(), "a change of the membership is under way");
        assert_eq!(pending(&simple, true, name, |_| false), None);
    }
}
