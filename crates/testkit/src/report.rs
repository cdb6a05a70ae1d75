use std::fmt::{self, Write as _};
use std::time::Duration;

use crate::{Sample, Verdict};

/// The upper ends of the classes in which waits are counted, in milliseconds. 1200 ms is what losing a leader should
/// cost at most, 2000 ms the server's deadline.
const CLASSES_MS: [u128; 8] = [10, 25, 50, 100, 250, 500, 1200, 2000];
/// How many different failures of a phase are shown.
const SHOWN_FAILURES: usize = 5;

/// A story for a person: what happened when, and what the clients felt of it.
#[derive(Debug, Default)]
pub struct Report {
    events: Vec<(Duration, String)>,
    phases: Vec<Phase>,
}

/// A part of it, and what clients saw of the requests that began in it.
#[derive(Debug, Clone, Default)]
pub struct Phase {
    /// What it is about.
    pub name: String,
    /// When it began and ended.
    pub begin: Duration,
    /// See there.
    pub end: Duration,
    /// How many requests were answered as they should.
    pub answered: usize,
    /// How many were under way at a node when that was killed.
    pub cut_off: usize,
    /// How many went on to another node, because theirs refused the connection.
    pub moved: usize,
    /// Why others failed.
    pub failures: Vec<String>,
    /// How long each took that was not cut off, ascending.
    pub waits: Vec<Duration>,
}

impl Report {
    /// Something happened at that time since the beginning.
    pub fn event(&mut self, at: Duration, what: impl Into<String>) {
        self.events.push((at, what.into()));
    }

    /// A phase began, and the last one ended.
    pub fn phase(&mut self, at: Duration, name: impl Into<String>) {
        self.end(at);
        self.phases.push(Phase { name: name.into(), begin: at, end: Duration::MAX, ..Phase::default() });
    }

    /// The last phase ended.
    pub fn end(&mut self, at: Duration) {
        if let Some(last) = self.phases.last_mut() {
            last.end = last.end.min(at);
        }
    }

    /// Sorts what clients saw into the phases in which each request began.
    pub fn count(&mut self, samples: &[Sample]) {
        for phase in &mut self.phases {
            let of_phase = samples.iter().filter(|sample| (phase.begin..phase.end).contains(&sample.start));
            for sample in of_phase {
                phase.moved += usize::from(sample.moved > 0);
                match &sample.verdict {
                    Verdict::Answered => phase.answered += 1,
                    Verdict::CutOff => phase.cut_off += 1,
                    Verdict::Failed(why) => phase.failures.push(why.clone()),
                }
                if sample.verdict != Verdict::CutOff {
                    phase.waits.push(sample.took);
                }
            }
            phase.waits.sort_unstable();
        }
    }

    /// All phases.
    pub fn phases(&self) -> &[Phase] {
        &self.phases
    }

    /// How long the requests of some phases took: how many there were in each class.
    pub fn distribution(&self, of: impl Fn(&Phase) -> bool) -> String {
        let waits: Vec<_> = self.phases.iter().filter(|phase| of(phase)).flat_map(|phase| &phase.waits).collect();
        let longest = waits.iter().max().map_or(0.0, |longest| longest.as_secs_f64() * 1e3);
        let mut text = format!("How long {} requests took, the longest {longest:.0} ms\n", waits.len());
        let mut below = 0;
        for class in CLASSES_MS {
            let count = waits.iter().filter(|wait| wait.as_millis() < class).count();
            let _ = writeln!(text, "  below {class:>5} ms  {:>8}", count - below);
            below = count;
        }
        let _ = writeln!(text, "  longer          {:>8}", waits.len() - below);
        text
    }

    /// How many requests failed in all of them.
    pub fn failed(&self) -> usize {
        self.phases.iter().map(|phase| phase.failures.len()).sum()
    }
}

impl Phase {
    /// The longest wait; zero if nobody waited.
    pub fn longest(&self) -> Duration {
        self.waits.last().copied().unwrap_or_default()
    }

    /// That quantile of the waits, between 0 and 1; zero if nobody waited.
    pub fn quantile(&self, quantile: f64) -> Duration {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below the number of waits")]
        let nth = (self.waits.len().saturating_sub(1) as f64 * quantile) as usize;
        self.waits.get(nth).copied().unwrap_or_default()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "What happened")?;
        for (at, what) in &self.events {
            writeln!(f, "  {:>8.2} s  {what}", at.as_secs_f64())?;
        }
        writeln!(f, "\nWhat clients felt (waits in ms)")?;
        let width = self.phases.iter().map(|phase| phase.name.chars().count()).max().unwrap_or(0).max(5);
        writeln!(f, "  {:width$}  seconds  requests  failed  cut off  moved    p50    p99  longest", "phase")?;
        for phase in &self.phases {
            let seconds = phase.end.saturating_sub(phase.begin).as_secs_f64();
            let requests = phase.answered + phase.cut_off + phase.failures.len();
            let [median, high, longest] =
                [phase.quantile(0.5), phase.quantile(0.99), phase.longest()].map(|wait| wait.as_secs_f64() * 1e3);
            let (failed, cut_off, moved) = (phase.failures.len(), phase.cut_off, phase.moved);
            writeln!(
                f,
                "  {:width$}  {seconds:>7.1}  {requests:>8}  {failed:>6}  {cut_off:>7}  {moved:>5}  {median:>5.0}  {high:>5.0}  {longest:>7.0}",
                phase.name
            )?;
        }
        self.show_failures(f)?;
        write!(f, "\n{}", self.distribution(|_| true))
    }
}

impl Report {
    fn show_failures(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for phase in self.phases.iter().filter(|phase| !phase.failures.is_empty()) {
            writeln!(f, "\nFailed in {}", phase.name)?;
            let mut counted: Vec<(&str, usize)> = Vec::new();
            for failure in &phase.failures {
                match counted.iter_mut().find(|(why, _)| why == failure) {
                    Some((_, count)) => *count += 1,
                    None => counted.push((failure, 1)),
                }
            }
            counted.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
            for (why, count) in counted.iter().take(SHOWN_FAILURES) {
                writeln!(f, "  {count} × {why}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(start_ms: u64, took_ms: u64, moved: usize, verdict: Verdict) -> Sample {
        let (start, took) = (Duration::from_millis(start_ms), Duration::from_millis(took_ms));
        Sample { start, took, node: 0, moved, verdict }
    }

    #[test]
    fn a_report_says_what_happened_and_what_clients_felt() {
        let mut report = Report::default();
        report.phase(Duration::ZERO, "calm");
        report.event(Duration::from_millis(1500), "n1 stops");
        report.phase(Duration::from_millis(1500), "n1 is away");
        report.end(Duration::from_millis(4000));
        let mut samples: Vec<_> = (0..100).map(|nth| sample(nth * 10, nth + 1, 0, Verdict::Answered)).collect();
        samples.push(sample(1600, 1300, 1, Verdict::Answered));
        samples.push(sample(1600, 9, 0, Verdict::CutOff));
        samples.push(sample(3999, 2500, 0, Verdict::Failed("GET: 503 no_quorum".into())));
        samples.push(sample(5000, 7, 0, Verdict::Failed("after the end".into())));
        report.count(&samples);
        let expected = "What happened
      1.50 s  n1 stops

What clients felt (waits in ms)
  phase       seconds  requests  failed  cut off  moved    p50    p99  longest
  calm            1.5       100       0        0      0     50     99      100
  n1 is away      2.5         3       1        1      1   1300   1300     2500

Failed in n1 is away
  1 × GET: 503 no_quorum

How long 102 requests took, the longest 2500 ms
  below    10 ms         9
  below    25 ms        15
  below    50 ms        25
  below   100 ms        50
  below   250 ms         1
  below   500 ms         0
  below  1200 ms         0
  below  2000 ms         1
  longer                 1
";
        assert_eq!(report.to_string(), expected);
        assert_eq!((report.failed(), report.phases()[1].longest()), (1, Duration::from_millis(2500)));
    }
}
