use super::Seen;

/// Once everything is mended, all nodes are voters of one membership with a leader, at one place of the log, without anybody's
/// help (Reimage is routine; Restart is routine).
pub(in super::super) fn whole(seen: &[Seen<'_>], nodes: usize) -> Result<(), String> {
    if seen.len() < nodes {
        let names: Vec<_> = seen.iter().map(|seen| seen.name).collect();
        return Err(format!("of {nodes} nodes only {names:?} are members"));
    }
    let all: std::collections::BTreeSet<_> = seen.iter().map(|seen| seen.status.node).collect();
    for Seen { name, status, .. } in seen {
        if !status.has_leader {
            return Err(format!("{name} knows no leader"));
        }
        // A majority of the members before this change may still be needed, and that can be all of them.
        if status.is_joint {
            return Err(format!("{name} is in the middle of a change of the membership"));
        }
        if status.voters != all {
            return Err(format!("{name} counts as voters {:?}, and there are {all:?}", status.voters));
        }
    }
    let applied: std::collections::BTreeSet<_> = seen.iter().map(|seen| seen.status.applied).collect();
    match (applied.first(), applied.last()) {
        (Some(Some(first)), Some(Some(last))) if last - first <= 20 => Ok(()),
        _ => Err(format!("they have applied up to {applied:?}")),
    }
}
