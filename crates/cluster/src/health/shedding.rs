use std::collections::BTreeSet;

use sessile_core::{NamespaceId, NamespaceTable};

use crate::disk::FULL;

/// A namespace takes writes again when the pressure is so much below the one at which it stopped: it would come and go with
/// each file of the log.
const MARGIN: u32 = FULL / 16;

/// The namespaces that give way to others while disks fill up: the lower their priority, the sooner. Those of the highest
/// priority never do, they are refused with all writes where there is no room, and where all have one nobody gives way.
///
/// With n different priorities the first gives way after an nth of the way from where little is left to where nothing is, the
/// next after two, and so on. Pure: the same pressure and namespaces, the same answer; those that `gave_way` take writes a
/// little later again.
pub(super) fn give_way(
    namespaces: &NamespaceTable,
    pressure: u32,
    gave_way: &BTreeSet<NamespaceId>,
) -> BTreeSet<NamespaceId> {
    let priorities: BTreeSet<u32> = namespaces.iter().map(|(_, of)| of.settings.priority).collect();
    let steps = u32::try_from(priorities.len()).unwrap_or(FULL);
    // The first step comes after so much; the highest priority's would be FULL, where all is refused.
    let begins = |priority: u32| {
        let lower = u32::try_from(priorities.range(..priority).count()).unwrap_or(FULL);
        (lower + 1 < steps).then(|| FULL * (lower + 1) / steps)
    };
    let gives_way = |id: NamespaceId, priority: u32| {
        begins(priority).is_some_and(|begins| {
            let ends = if gave_way.contains(&id) { begins.saturating_sub(MARGIN) } else { begins };
            pressure >= ends && pressure > 0
        })
    };
    namespaces.iter().filter(|(id, of)| gives_way(*id, of.settings.priority)).map(|(id, _)| id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sessile_core::{BaseUri, NamespaceName, NamespaceSettings};

    fn table(priorities: &[(&str, u32)]) -> NamespaceTable {
        NamespaceTable::of(priorities.iter().map(|&(name, priority)| NamespaceSettings {
            priority,
            ..NamespaceSettings::unlimited(NamespaceName::new(name).unwrap(), BaseUri::new(name).unwrap())
        }))
    }

    fn names(table: &NamespaceTable, pressure: u32, gave_way: &BTreeSet<NamespaceId>) -> Vec<String> {
        give_way(table, pressure, gave_way).into_iter().map(|id| table.name_of(id)).collect()
    }

    #[test]
    fn those_of_the_lowest_priority_give_way_first_and_those_of_the_highest_never() {
        let farm = table(&[("sessions", 10), ("anonymous", 1), ("tokens", 10), ("echo", 5)]);
        let none = BTreeSet::new();
        for (pressure, expected) in [
            (0, &[][..]),
            (332, &[]),
            (333, &["anonymous"]),
            (665, &["anonymous"]),
            (666, &["anonymous", "echo"]),
            (FULL, &["anonymous", "echo"]),
        ] {
            assert_eq!(names(&farm, pressure, &none), expected, "{pressure}");
        }
    }

    #[test]
    fn where_all_are_as_important_nobody_gives_way() {
        let farm = table(&[("sessions", 0), ("echo", 0)]);
        assert!(names(&farm, FULL, &BTreeSet::new()).is_empty());
        assert!(names(&NamespaceTable::default(), FULL, &BTreeSet::new()).is_empty());
    }

    #[test]
    fn one_that_gave_way_comes_back_a_little_later_than_it_went() {
        let farm = table(&[("sessions", 1), ("anonymous", 0)]);
        let gave_way = give_way(&farm, 500, &BTreeSet::new());
        assert_eq!(gave_way.len(), 1);
        assert_eq!(names(&farm, 438, &gave_way), ["anonymous"]);
        assert!(names(&farm, 437, &gave_way).is_empty());
        assert!(names(&farm, 499, &BTreeSet::new()).is_empty());
    }
}
