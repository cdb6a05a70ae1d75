use std::collections::BTreeMap;

/// A record that is needed until then is needed for ever.
pub(super) const FOREVER: u64 = u64::MAX;

/// So many steps are kept of a table: each rounds the lapse of a sixteenth of its bytes up to the end of that sixteenth.
const STEPS: usize = 16;

/// How many bytes of a table are needed until when, by the caller's clock.
///
/// Invariants: steps ascend in time; what is told to have lapsed has lapsed, and at most a sixteenth more has.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Lapses(Vec<(u64, u64)>);

impl Lapses {
    /// Of a table whose writer did not count them: nothing of it is dropped unseen, and a merge finds out soon.
    pub(super) fn unknown(bytes: u64) -> Self {
        Self(vec![(0, bytes), (FOREVER, 0)])
    }

    /// When all of it has lapsed.
    pub(super) fn end(&self) -> u64 {
        self.0.last().map_or(0, |(until, _)| *until)
    }

    /// Whether nothing in it is needed any more.
    pub(super) fn is_over(&self, now: u64) -> bool {
        has_lapsed(self.end(), now)
    }

    /// Bytes that are not needed any more.
    pub(super) fn lapsed_bytes(&self, now: u64) -> u64 {
        self.0.iter().take_while(|(until, _)| has_lapsed(*until, now)).map(|(_, bytes)| bytes).sum()
    }
}

/// Whether what is needed until then is needed no more.
pub(super) fn has_lapsed(until: u64, now: u64) -> bool {
    until <= now && until != FOREVER
}

/// Gathers the lapses of what is written into a table.
#[derive(Default)]
pub(super) struct LapseCounter {
    by_end: BTreeMap<u64, u64>,
    bytes: u64,
}

impl LapseCounter {
    pub(super) fn add(&mut self, until: u64, bytes: u64) {
        *self.by_end.entry(until).or_default() += bytes;
        self.bytes += bytes;
    }

    pub(super) fn finish(self) -> Lapses {
        let step = self.bytes.div_ceil(STEPS as u64).max(1);
        let (mut steps, mut open) = (Vec::new(), None);
        for (until, bytes) in self.by_end {
            // A step of its own: rounded up to it, nothing before it would ever lapse.
            if until == FOREVER {
                steps.extend(open.take());
            }
            let gathered = bytes + open.map_or(0, |(_, bytes)| bytes);
            open = Some((until, gathered));
            if gathered >= step {
                steps.extend(open.take());
            }
        }
        steps.extend(open);
        Lapses(steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lapses(parts: &[(u64, u64)]) -> Lapses {
        let mut counter = LapseCounter::default();
        parts.iter().for_each(|(until, bytes)| counter.add(*until, *bytes));
        counter.finish()
    }

    #[test]
    fn what_is_told_to_have_lapsed_has_lapsed_and_hardly_more_has() {
        let parts: Vec<(u64, u64)> = (0..1_000).map(|turn| (turn % 97 * 10, 5)).collect();
        let (lapses, all) = (lapses(&parts), 5_000);
        assert!(lapses.0.len() <= STEPS + 1);
        for now in 0..1_000 {
            let exact: u64 = parts.iter().filter(|(until, _)| *until <= now).map(|(_, bytes)| bytes).sum();
            let told = lapses.lapsed_bytes(now);
            assert!(told <= exact && exact - told <= all / STEPS as u64 + 60, "at {now}: {told} of {exact}");
        }
        assert_eq!((lapses.lapsed_bytes(960), lapses.is_over(960), lapses.is_over(959)), (all, true, false));
    }

    #[test]
    fn what_is_needed_for_ever_keeps_nothing_else_from_lapsing_and_never_lapses() {
        let mixed = lapses(&[(FOREVER, 1), (10, 100)]);
        assert_eq!((mixed.lapsed_bytes(9), mixed.lapsed_bytes(10), mixed.lapsed_bytes(FOREVER)), (0, 100, 100));
        assert!(!mixed.is_over(FOREVER));
        assert!(lapses(&[]).is_over(0), "there is nothing in it");
    }
}
