use std::collections::{BTreeMap, BTreeSet};

use crate::checksum::{self, Sums};
use crate::{Bucket, GroupName, LogTime, MAX_GROUPS, NamespaceId, RowKey, Tally};

/// What every group of every namespace counts, with what follows from a change of it: the sum of hashes, and which rows of
/// the stored form are others now.
///
/// Invariants, held here and checked by the properties in tests/:
/// - a group's total is the sum of its buckets, and a namespace's that of its groups;
/// - no group is there that counts nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ledger {
    namespaces: BTreeMap<NamespaceId, Counts>,
    /// The last bucket of records of groups that are not counted by name, of the namespaces that have such.
    unnamed: BTreeMap<NamespaceId, Bucket>,
    /// The sum of the hashes of all that is replicated but clock and rules.
    pub(crate) sums: Sums,
    /// The rows that changed.
    pub(crate) changed: BTreeSet<RowKey>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Counts {
    total: Tally,
    groups: BTreeMap<GroupName, Group>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Group {
    total: Tally,
    buckets: BTreeMap<Bucket, Tally>,
}

impl Ledger {
    /// What a namespace counts, all groups together. O(1).
    pub(crate) fn total(&self, namespace: NamespaceId) -> Tally {
        self.namespaces.get(&namespace).map(|counts| counts.total).unwrap_or_default()
    }

    /// What each group of a namespace counts.
    pub(crate) fn groups(&self, namespace: NamespaceId) -> impl Iterator<Item = (&GroupName, Tally)> {
        let groups = self.namespaces.get(&namespace).into_iter().flat_map(|counts| &counts.groups);
        groups.map(|(name, group)| (name, group.total))
    }

    /// What one group counts; `None` for one that counts nothing.
    pub(crate) fn group(&self, namespace: NamespaceId, name: &str) -> Option<Tally> {
        self.namespaces.get(&namespace)?.groups.get(name).map(|group| group.total)
    }

    /// What a group counts in one bucket.
    pub(crate) fn bucket(&self, namespace: NamespaceId, name: &GroupName, bucket: Bucket) -> Option<Tally> {
        self.namespaces.get(&namespace)?.groups.get(name)?.buckets.get(&bucket).copied()
    }

    /// Everything that is counted, by namespace, group and bucket.
    pub(crate) fn tallies(&self) -> impl Iterator<Item = (NamespaceId, &GroupName, Bucket, Tally)> {
        self.namespaces.iter().flat_map(|(&namespace, counts)| {
            counts.groups.iter().flat_map(move |(name, group)| {
                group.buckets.iter().map(move |(&bucket, &tally)| (namespace, name, bucket, tally))
            })
        })
    }

    /// Whether a group's next record is counted by its name: it is already, or there is room for one more.
    pub(crate) fn counts_by_name(&self, namespace: NamespaceId, group: &str) -> bool {
        let Some(counts) = self.namespaces.get(&namespace) else { return true };
        counts.groups.contains_key(group) || counts.groups.len() < MAX_GROUPS
    }

    /// Counts something in.
    pub(crate) fn count_in(&mut self, namespace: NamespaceId, name: GroupName, bucket: Bucket, tally: &Tally) {
        self.restore(namespace, &name, bucket, tally);
        self.changed.insert(RowKey::Tally(namespace, name, bucket));
    }

    /// Puts back what a stored row counts.
    pub(crate) fn restore(&mut self, namespace: NamespaceId, name: &GroupName, bucket: Bucket, tally: &Tally) {
        let counts = self.namespaces.entry(namespace).or_default();
        counts.total.add(tally);
        // Nearly always it is there, and its name need not be copied.
        let group = match counts.groups.get_mut(name) {
            Some(group) => group,
            None => counts.groups.entry(name.clone()).or_default(),
        };
        let before = group.total;
        group.total.add(tally);
        group.buckets.entry(bucket).or_default().add(tally);
        self.sums.replace(namespace, name, &before, &group.total);
    }

    /// Counts something out; `None` if it was never counted in, which is a broken invariant: the caller stops the replica.
    #[must_use]
    pub(crate) fn count_out(
        &mut self,
        namespace: NamespaceId,
        name: &str,
        bucket: Bucket,
        tally: &Tally,
    ) -> Option<()> {
        let counts = self.namespaces.get_mut(&namespace)?;
        let group = counts.groups.get_mut(name)?;
        let of_bucket = group.buckets.get_mut(&bucket)?;
        let before = group.total;
        if !of_bucket.subtract(tally) || !group.total.subtract(tally) || !counts.total.subtract(tally) {
            return None;
        }
        let after = group.total;
        if of_bucket.is_empty() {
            group.buckets.remove(&bucket);
        }
        if group.buckets.is_empty() {
            counts.groups.remove(name);
        }
        let name = GroupName::new(name.as_bytes()).unwrap_or_default();
        self.sums.replace(namespace, &name, &before, &after);
        self.changed.insert(RowKey::Tally(namespace, name, bucket));
        Some(())
    }

    /// Time goes on: the buckets that have passed leave the counts.
    pub(crate) fn pass(&mut self, clock: LogTime) {
        let Self { namespaces, unnamed, sums, changed } = self;
        unnamed.retain(|&namespace, until| {
            let passed = until.has_passed(clock);
            if passed {
                sums.subtract(checksum::unnamed(namespace, *until));
                changed.insert(RowKey::Unnamed(namespace));
            }
            !passed
        });
        for (&namespace, Counts { total, groups }) in namespaces {
            groups.retain(|name, group| {
                let before = group.total;
                while let Some(passed) = group.buckets.first_entry().filter(|first| first.key().has_passed(clock)) {
                    changed.insert(RowKey::Tally(namespace, name.clone(), *passed.key()));
                    let passed = passed.remove();
                    let in_totals = group.total.subtract(&passed) && total.subtract(&passed);
                    debug_assert!(in_totals, "a total is the sum of its buckets");
                }
                if before != group.total {
                    sums.replace(namespace, name, &before, &group.total);
                }
                !group.buckets.is_empty()
            });
        }
    }

    /// A namespace counts nothing any more. What it counted comes back.
    pub(crate) fn clear(&mut self, namespace: NamespaceId) -> Tally {
        if let Some(until) = self.unnamed.remove(&namespace) {
            self.sums.subtract(checksum::unnamed(namespace, until));
            self.changed.insert(RowKey::Unnamed(namespace));
        }
        let Some(counts) = self.namespaces.remove(&namespace) else { return Tally::default() };
        for (name, group) in counts.groups {
            self.forget(namespace, &name, &group);
        }
        counts.total
    }

    /// A group counts nothing any more. What it counted comes back; `None` if it counted nothing before.
    pub(crate) fn clear_group(&mut self, namespace: NamespaceId, name: &GroupName) -> Option<Tally> {
        let counts = self.namespaces.get_mut(&namespace)?;
        let group = counts.groups.remove(name)?;
        let in_total = counts.total.subtract(&group.total);
        debug_assert!(in_total, "a total is the sum of its groups");
        self.forget(namespace, name, &group);
        Some(group.total)
    }

    /// The last bucket in which a group counts something.
    pub(crate) fn last_bucket(&self, namespace: NamespaceId, name: &str) -> Option<Bucket> {
        self.namespaces.get(&namespace)?.groups.get(name)?.buckets.keys().next_back().copied()
    }

    /// Until when there may be records of groups that are not counted by name; `None` if there are none.
    pub(crate) fn unnamed_until(&self, namespace: NamespaceId) -> Option<Bucket> {
        self.unnamed.get(&namespace).copied()
    }

    /// There may be such records until that bucket has passed.
    pub(crate) fn note_unnamed(&mut self, namespace: NamespaceId, until: Bucket) {
        if self.unnamed_until(namespace).is_none_or(|known| known < until) {
            self.restore_unnamed(namespace, until);
            self.changed.insert(RowKey::Unnamed(namespace));
        }
    }

    /// Puts that back.
    pub(crate) fn restore_unnamed(&mut self, namespace: NamespaceId, until: Bucket) {
        if let Some(before) = self.unnamed.insert(namespace, until) {
            self.sums.subtract(checksum::unnamed(namespace, before));
        }
        self.sums.add(checksum::unnamed(namespace, until));
    }

    /// All of those.
    pub(crate) fn unnamed(&self) -> impl Iterator<Item = (NamespaceId, Bucket)> {
        self.unnamed.iter().map(|(namespace, until)| (*namespace, *until))
    }

    /// How many keys are counted in buckets that have passed at that time.
    pub(crate) fn keys_until(&self, time: LogTime) -> u64 {
        let groups = self.namespaces.values().flat_map(|counts| counts.groups.values());
        let buckets = groups.flat_map(|group| group.buckets.range(..=Bucket::ending(time)));
        buckets.filter(|(bucket, _)| bucket.has_passed(time)).map(|(_, tally)| tally.keys).sum()
    }

    fn forget(&mut self, namespace: NamespaceId, name: &GroupName, group: &Group) {
        self.sums.replace(namespace, name, &group.total, &Tally::default());
        self.changed.extend(group.buckets.keys().map(|&bucket| RowKey::Tally(namespace, name.clone(), bucket)));
    }
}
