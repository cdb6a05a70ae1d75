use sessile_store::KeyHash;

/// The most keys of a member: the one in use, and the next one.
const MAX_KEYS: usize = 2;

/// By which keys the membership is to recognise a node that has shown one on its connection and wants these. It is `known` by
/// others so far, or by none. `None` if it is somebody else.
///
/// Whoever has no key of a member changes nothing about that member's keys, also if it knows the join token. Keys stand in the
/// membership only if every member's program keeps them there.
pub(super) fn named_keys(
    known: &[KeyHash],
    shown: Option<KeyHash>,
    wanted: &[KeyHash],
    may_name_keys: bool,
) -> Option<Vec<KeyHash>> {
    if known.is_empty() {
        return Some(shown.filter(|_| may_name_keys).into_iter().collect());
    }
    shown.filter(|shown| known.contains(shown))?;
    Some(if (1..=MAX_KEYS).contains(&wanted.len()) { wanted.to_vec() } else { known.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn key(number: u8) -> KeyHash {
        KeyHash::new([number; 32])
    }

    #[test]
    fn a_members_keys_are_changed_by_who_has_one_of_them_and_by_nobody_else() {
        let (old, new, other) = (key(1), key(2), key(3));
        for (known, shown, wanted, named) in [
            (vec![], Some(old), vec![], Some(vec![old])),
            // What is not shown is not believed.
            (vec![], Some(old), vec![other], Some(vec![old])),
            (vec![], None, vec![other], Some(vec![])),
            (vec![old], Some(old), vec![], Some(vec![old])),
            (vec![old], Some(old), vec![old, new], Some(vec![old, new])),
            (vec![old, new], Some(new), vec![new], Some(vec![new])),
            (vec![old], Some(old), vec![old, new, other], Some(vec![old])),
            (vec![old], Some(other), vec![other], None),
            (vec![old], None, vec![], None),
        ] {
            assert_eq!(named_keys(&known, shown, &wanted, true), named, "{known:?} {shown:?} {wanted:?}");
        }
    }

    #[test]
    fn no_key_is_named_while_a_member_would_drop_it() {
        assert_eq!(named_keys(&[], Some(key(1)), &[], false), Some(vec![]));
    }
}
