//! Whom a person means: a member by its name, by its id, or by as much of its id as no other has.

use std::collections::BTreeSet;

use sessile_store::{Member, NodeId};
use tonic::Status;

/// Fewer digits of an id are no id: they might be a mistyped name, and a removal is for good.
const FEWEST_DIGITS: usize = 4;

/// The one member that is meant.
///
/// # Errors
/// There is none, or more than one, and who they are.
pub(crate) fn find<'members>(
    members: impl Iterator<Item = (&'members NodeId, &'members Member)>,
    who: &str,
) -> Result<(NodeId, Member), Status> {
    let members = Vec::from_iter(members);
    let mut found = members.clone();
    found.retain(|(id, member)| member.name == who || who.parse() == Ok(**id));
    if found.is_empty() {
        found.clone_from(&members);
        found.retain(|(id, _)| begins(**id, who));
    }
    match &found[..] {
        [(id, member)] => Ok((**id, Member::clone(member))),
        [] => {
            let names: BTreeSet<&str> = members.iter().map(|(_, member)| &*member.name).collect();
            let names = Vec::from_iter(names).join(", ");
            Err(Status::not_found(format!("no member is called {who:?}; the members are {names}")))
        }
        several => {
            let ids: Vec<String> = several.iter().map(|(id, member)| format!("{id} ({})", member.address)).collect();
            let text =
                format!("{} members are called {who:?}; say which one by its id: {}", several.len(), ids.join(", "));
            Err(Status::invalid_argument(text))
        }
    }
}

/// Whether that is the only one of these ids that is meant, whole or in part.
pub(super) fn is_one_of(ids: &[NodeId], who: &str) -> bool {
    who.parse().is_ok_and(|id| ids.contains(&id)) || ids.iter().filter(|id| begins(**id, who)).count() == 1
}

fn begins(id: NodeId, who: &str) -> bool {
    who.len() >= FEWEST_DIGITS && id.to_string().starts_with(&who.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tonic::Code;

    use super::*;

    #[test]
    fn a_member_is_found_by_its_name_its_id_or_what_no_other_id_begins_with() {
        let ids = ["aaaa0000", "aaaa1111", "bbbb0000"].map(|first| format!("{first}{}", "0".repeat(24)));
        let members: BTreeMap<NodeId, Member> = ids
            .iter()
            .zip(["n1", "n2", "n2"])
            .map(|(id, name)| (id.parse().unwrap(), Member { name: name.into(), ..Member::default() }))
            .collect();
        let find = |who: &str| find(members.iter(), who);
        for (who, found) in
            [("n1", 0), (&*ids[1], 1), ("aaaa0", 0), ("aaaa1111", 1), ("AAAA1", 1), ("bbbb", 2), ("bbbb0000", 2)]
        {
            assert_eq!(find(who).unwrap().0.to_string(), ids[found], "{who}");
        }
        for (who, code, said) in [
            ("n2", Code::InvalidArgument, "2 members are called \"n2\"; say which one by its id: aaaa1111"),
            ("aaaa", Code::InvalidArgument, "2 members are called \"aaaa\"; say which one by its id: aaaa0000"),
            ("bbb", Code::NotFound, "no member is called \"bbb\"; the members are n1, n2"),
            ("", Code::NotFound, "no member is called \"\""),
            ("cccc", Code::NotFound, "no member is called \"cccc\""),
        ] {
            let refused = find(who).unwrap_err();
            assert!(refused.code() == code && refused.message().starts_with(said), "{who}: {refused:?}");
        }
    }

    #[test]
    fn a_name_goes_before_what_an_id_begins_with() {
        let member = |name: &str| Member { name: name.into(), ..Member::default() };
        let ids = ["1", "2"].map(|last| format!("cafe{}{last}", "0".repeat(27)));
        let members = BTreeMap::from([(ids[0].parse().unwrap(), member("n1")), (NodeId::from(7), member("cafe"))]);
        assert_eq!(find(members.iter(), "cafe").unwrap().0, NodeId::from(7));
        let removed = ids.map(|id| id.parse().unwrap());
        assert!(is_one_of(&removed, &removed[0].to_string()) && !is_one_of(&removed, "cafe"));
        assert!(is_one_of(&removed[..1], "cafe") && !is_one_of(&removed[..1], "caf"));
    }
}
