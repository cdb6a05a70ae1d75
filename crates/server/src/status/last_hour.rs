use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use parking_lot::Mutex;
use sessile_core::NamespaceId;
use sessile_http::{Operation, RequestTotals, WAIT_BOUNDS};
use tokio::time::Instant;

/// How often a node looks at its counters for the charts of its status page.
pub(crate) const SAMPLE_EVERY: Duration = Duration::from_secs(10);

/// How far back the charts go.
pub(crate) const HOUR: Duration = Duration::from_secs(3_600);

/// How many samples are kept: an hour of them, and the one before. Each takes less than 200 bytes.
const SAMPLES: usize = 361;

/// How many samples of the namespaces are kept: a minute of them, and the one before. There may be 256 namespaces.
const NAMESPACE_SAMPLES: usize = 7;

/// Requests of each namespace since the process started, by [`Operation`].
pub(crate) type NamespaceRequests = BTreeMap<NamespaceId, [u64; Operation::ALL.len()]>;

/// What a node has measured in the last hour, in memory. Only the one who takes the samples and who asks for the status page
/// take its lock; no request does.
#[derive(Default)]
pub(crate) struct LastHour(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    samples: VecDeque<Sample>,
    namespaces: VecDeque<(Instant, NamespaceRequests)>,
}

/// What the counters showed at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) at: Instant,
    pub(crate) requests: RequestTotals,
    /// `None` before the node is a member.
    pub(crate) disk: Option<DiskBytes>,
}

/// Bytes of the data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DiskBytes {
    /// What the log and the state take.
    pub(crate) used: u64,
    /// What is left on its file system.
    pub(crate) free: u64,
}

/// What happened between two samples.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stretch {
    /// How long ago it ended.
    pub(crate) ended_ago: Duration,
    /// How long it was.
    pub(crate) lasted: Duration,
    /// What was counted in it.
    pub(crate) requests: RequestTotals,
    /// How the disk was at its end.
    pub(crate) disk: Option<DiskBytes>,
}

impl LastHour {
    /// Keeps a sample, and forgets the oldest one.
    pub(crate) fn note(&self, sample: Sample, namespaces: NamespaceRequests) {
        let mut kept = self.0.lock();
        keep(&mut kept.samples, SAMPLES, sample);
        keep(&mut kept.namespaces, NAMESPACE_SAMPLES, (sample.at, namespaces));
    }

    /// What happened between the samples, the oldest first.
    pub(crate) fn stretches(&self, now: Instant) -> Vec<Stretch> {
        let kept = self.0.lock();
        let pairs = kept.samples.iter().zip(kept.samples.iter().skip(1));
        pairs.map(|(before, after)| Stretch::between(before, after, now)).collect()
    }

    /// Requests a second of each namespace in the last minute, by [`Operation`]. `None` while there are not two samples.
    pub(crate) fn namespace_rates(&self) -> Option<BTreeMap<NamespaceId, [f64; Operation::ALL.len()]>> {
        let kept = self.0.lock();
        let ((from, before), (to, after)) = (kept.namespaces.front()?, kept.namespaces.back()?);
        let lasted = to.duration_since(*from);
        let rates = |(namespace, requests): (&NamespaceId, &[u64; 4])| {
            let before = before.get(namespace).copied().unwrap_or_default();
            (*namespace, std::array::from_fn(|at| per_second(requests[at].saturating_sub(before[at]), lasted)))
        };
        (!lasted.is_zero()).then(|| after.iter().map(rates).collect())
    }
}

fn keep<T>(kept: &mut VecDeque<T>, most: usize, newest: T) {
    if kept.len() == most {
        kept.pop_front();
    }
    kept.push_back(newest);
}

#[allow(clippy::cast_precision_loss, reason = "a rate for people")]
fn per_second(count: u64, lasted: Duration) -> f64 {
    if lasted.is_zero() { 0.0 } else { count as f64 / lasted.as_secs_f64() }
}

impl Stretch {
    fn between(before: &Sample, after: &Sample, now: Instant) -> Self {
        let (from, to) = (&before.requests, &after.requests);
        let requests = RequestTotals {
            reads: to.reads.saturating_sub(from.reads),
            others: to.others.saturating_sub(from.others),
            failed: to.failed.saturating_sub(from.failed),
            waits: std::array::from_fn(|range| to.waits[range].saturating_sub(from.waits[range])),
        };
        let (ended_ago, lasted) = (now.duration_since(after.at), after.at.duration_since(before.at));
        Self { ended_ago, lasted, requests, disk: after.disk }
    }

    /// Both as one, if the other one follows.
    pub(crate) fn and(self, next: &Self) -> Self {
        let (one, other) = (&self.requests, &next.requests);
        let requests = RequestTotals {
            reads: one.reads + other.reads,
            others: one.others + other.others,
            failed: one.failed + other.failed,
            waits: std::array::from_fn(|range| one.waits[range] + other.waits[range]),
        };
        Self { requests, lasted: self.lasted + next.lasted, ended_ago: next.ended_ago, disk: next.disk.or(self.disk) }
    }

    /// Reads a second.
    pub(crate) fn reads(&self) -> f64 {
        per_second(self.requests.reads, self.lasted)
    }

    /// Requests a second.
    pub(crate) fn all(&self) -> f64 {
        per_second(self.requests.reads + self.requests.others, self.lasted)
    }

    /// Answers 5xx a second.
    pub(crate) fn failed(&self) -> f64 {
        per_second(self.requests.failed, self.lasted)
    }

    /// The time, in seconds, within which that share of the requests was answered: as Prometheus's `histogram_quantile`
    /// reckons it, so the page and the dashboard agree. Infinite beyond the last bound, `None` without a request.
    #[allow(clippy::cast_precision_loss, reason = "an estimate for people")]
    pub(crate) fn wait(&self, share: f64) -> Option<f64> {
        let total: u64 = self.requests.waits.iter().sum();
        if total == 0 {
            return None;
        }
        let rank = share * total as f64;
        let (mut below, mut lower) = (0.0, 0.0);
        for (count, upper) in self.requests.waits.iter().zip(WAIT_BOUNDS) {
            let count = *count as f64;
            if count > 0.0 && below + count >= rank {
                return Some(lower + (upper - lower) * (rank - below) / count);
            }
            (below, lower) = (below + count, upper);
        }
        Some(f64::INFINITY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at: Instant, reads: u64, waits: [u64; 11]) -> Sample {
        let requests = RequestTotals { reads, others: reads / 2, failed: reads / 10, waits };
        Sample { at, requests, disk: Some(DiskBytes { used: reads, free: 1_000 - reads }) }
    }

    #[test]
    fn an_hour_is_kept_and_no_more() {
        let (hour, start) = (LastHour::default(), Instant::now());
        assert!(hour.stretches(start).is_empty() && hour.namespace_rates().is_none());
        for number in 0..1_000_u32 {
            let namespaces = [(NamespaceId::SESSIONS, [u64::from(number) * 20, 0, 0, u64::from(number)])].into();
            hour.note(sample(start + SAMPLE_EVERY * number, 0, [0; 11]), namespaces);
        }
        let stretches = hour.stretches(start + SAMPLE_EVERY * 999);
        assert_eq!(stretches.len(), 360);
        assert_eq!(stretches[0].ended_ago + SAMPLE_EVERY, HOUR);
        assert_eq!(stretches[359].ended_ago, Duration::ZERO);
        let rates = hour.namespace_rates().unwrap();
        assert_eq!(rates[&NamespaceId::SESSIONS], [2.0, 0.0, 0.0, 0.1]);
    }

    #[test]
    fn a_stretch_is_what_was_counted_in_it() {
        let (hour, start) = (LastHour::default(), Instant::now());
        hour.note(sample(start, 100, [100, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), NamespaceRequests::new());
        hour.note(sample(start + SAMPLE_EVERY, 300, [200, 0, 0, 0, 0, 0, 98, 0, 0, 0, 2]), NamespaceRequests::new());
        let stretch = hour.stretches(start + SAMPLE_EVERY)[0];
        assert_eq!((stretch.reads(), stretch.all(), stretch.failed()), (20.0, 30.0, 2.0));
        assert_eq!(stretch.disk, Some(DiskBytes { used: 300, free: 700 }));
        assert_eq!(stretch.wait(0.5), Some(0.001));
        assert_eq!(stretch.wait(0.99), Some(0.1));
        assert_eq!(stretch.wait(0.999), Some(f64::INFINITY));
        let both = stretch.and(&stretch);
        assert_eq!((both.all(), both.lasted, both.wait(0.99)), (30.0, SAMPLE_EVERY * 2, Some(0.1)));
        hour.note(
            sample(start + SAMPLE_EVERY * 2, 300, [200, 0, 0, 0, 0, 0, 98, 0, 0, 0, 2]),
            NamespaceRequests::new(),
        );
        assert_eq!(hour.stretches(start + SAMPLE_EVERY * 2)[1].wait(0.5), None, "there was no request");
    }
}
