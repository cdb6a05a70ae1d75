//! What was measured, for people and for programs.

use std::fmt::Write;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::args::Bench;
use super::load::Measured;
use super::tally::Kind;

/// The quantiles that are told, and their names.
const QUANTILES: [(f64, &str); 4] = [(0.5, "p50"), (0.9, "p90"), (0.99, "p99"), (0.999, "p999")];

pub(super) struct Report<'a> {
    bench: &'a Bench,
    measured: &'a Measured,
}

impl<'a> Report<'a> {
    pub(super) fn of(bench: &'a Bench, measured: &'a Measured) -> Self {
        Self { bench, measured }
    }

    fn rows(&self) -> Vec<(&'static str, Histogram<u64>)> {
        let tally = &self.measured.tally;
        let kinds = Kind::ALL.into_iter().map(|kind| (kind.name(), tally.waits(kind).clone()));
        let mut rows: Vec<_> = kinds.filter(|(_, waits)| !waits.is_empty()).collect();
        rows.push(("all", tally.all_waits()));
        rows
    }

    #[expect(clippy::cast_precision_loss, reason = "a rate needs no sixteen digits")]
    fn per_second(&self, count: u64) -> f64 {
        count as f64 / self.measured.lasted.as_secs_f64()
    }

    pub(super) fn json(&self) -> Value {
        let operation = |(name, waits): (&str, Histogram<u64>)| {
            let mut told = json!({
                "count": waits.len(),
                "per_second": self.per_second(waits.len()),
                "wait_us": { "mean": waits.mean(), "max": waits.max() },
                "histogram": waits
                    .iter_recorded()
                    .map(|step| json!([step.value_iterated_to(), step.count_at_value()]))
                    .collect::<Vec<_>>(),
            });
            for (quantile, quantiles_name) in QUANTILES {
                told["wait_us"][quantiles_name] = waits.value_at_quantile(quantile).into();
            }
            (name.to_owned(), told)
        };
        json!({
            "endpoints": self.bench.urls.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "connections": self.bench.connections,
            "keys": self.bench.keys,
            "value_bytes": self.bench.value_bytes,
            "mix": self.bench.mix.to_string(),
            "misses_percent": self.bench.misses,
            "rate": self.bench.rate,
            "seconds": self.measured.lasted.as_secs_f64(),
            "operations": self.rows().into_iter().map(operation).collect::<serde_json::Map<_, _>>(),
            "unsent": self.measured.tally.unsent,
            "failures": self.measured.tally.failures,
        })
    }

    pub(super) fn table(&self) -> String {
        let Bench { urls, connections, keys, value_bytes, mix, rate, .. } = self.bench;
        let pace = rate.map_or_else(|| "as fast as it answers".to_owned(), |rate| format!("{rate} requests a second"));
        let mut table = format!(
            "{connections} connections to {} of {keys} sessions of {value_bytes} bytes, {mix}, {pace}, {:.1} s\n\n",
            if let [only] = &**urls { only.to_string() } else { format!("{} endpoints", urls.len()) },
            self.measured.lasted.as_secs_f64()
        );
        let titles = QUANTILES.map(|(_, name)| name);
        let _ = writeln!(
            table,
            "{:<8}{:>12}{:>12}{:>12}{:>12}{:>12}{:>12}{:>12}",
            "", "requests", "a second", titles[0], titles[1], titles[2], titles[3], "longest"
        );
        for (name, waits) in self.rows() {
            let _ = write!(table, "{name:<8}{:>12}{:>12.0}", waits.len(), self.per_second(waits.len()));
            for (quantile, _) in QUANTILES {
                let _ = write!(table, "{:>12}", millis(waits.value_at_quantile(quantile)));
            }
            let _ = writeln!(table, "{:>12}", millis(waits.max()));
        }
        let tally = &self.measured.tally;
        if tally.unsent > 0 {
            let _ = writeln!(
                table,
                "\n{} requests were due and not sent: the store does not keep up with this rate",
                tally.unsent
            );
        }
        if !tally.failures.is_empty() {
            table.push_str("\nfailed:\n");
        }
        for (why, times) in &tally.failures {
            let _ = writeln!(table, "{times:>10}  {why}");
        }
        table
    }
}

fn millis(micros: u64) -> String {
    format!("{}.{:03} ms", micros / 1_000, micros % 1_000)
}
