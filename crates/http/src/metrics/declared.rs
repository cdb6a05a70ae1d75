//! How metrics are declared, here and by who serves others beside them.

use prometheus::{GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry};

/// A metric as it is declared, once: what is served and what is listed for people is made of this.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Its name, by Prometheus's conventions: base units, `_total` behind counters.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// In what it counts.
    pub unit: Unit,
    /// By what it is told apart.
    pub labels: &'static [Label],
    /// When it is served.
    pub shown: Shown,
    /// What it tells, in a sentence without an end.
    pub help: &'static str,
}

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, until the process ends.
    Counter,
    /// It goes up and down.
    Gauge,
    /// How often something was in which range.
    Histogram,
}

/// In what a metric counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Things: requests, entries, members.
    Count,
    /// 0 for no and 1 for yes.
    Truth,
    /// Bytes.
    Bytes,
    /// Seconds.
    Seconds,
    /// Seconds since the beginning of 1970, UTC.
    Timestamp,
}

/// One of the labels of a metric.
#[derive(Debug, Clone, Copy)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// Which values it may have.
    pub values: Values,
}

/// Which values a label may have.
#[derive(Debug, Clone, Copy)]
pub enum Values {
    /// One of these.
    Of(&'static [&'static str]),
    /// At most so many.
    AtMost(usize),
    /// One for each value of the labels before it.
    AsBefore,
}

/// When a metric is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// From the start of the process.
    Always,
    /// Once the node is a member of its cluster.
    Member,
    /// Under the condition that these words tell.
    When(&'static str),
}

impl Kind {
    /// As `# TYPE` says it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

impl Unit {
    /// For people; nothing where the help says what is counted.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Count => "",
            Self::Truth => "0 or 1",
            Self::Bytes => "bytes",
            Self::Seconds => "seconds",
            Self::Timestamp => "seconds since 1970",
        }
    }
}

impl Metric {
    const fn new(kind: Kind, name: &'static str, unit: Unit, help: &'static str) -> Self {
        Self { name, kind, unit, labels: &[], shown: Shown::Always, help }
    }

    /// A counter.
    pub const fn counter(name: &'static str, unit: Unit, help: &'static str) -> Self {
        Self::new(Kind::Counter, name, unit, help)
    }

    /// A gauge.
    pub const fn gauge(name: &'static str, unit: Unit, help: &'static str) -> Self {
        Self::new(Kind::Gauge, name, unit, help)
    }

    /// A histogram of times.
    pub const fn times(name: &'static str, help: &'static str) -> Self {
        Self::new(Kind::Histogram, name, Unit::Seconds, help)
    }

    /// The same by these labels.
    #[must_use]
    pub const fn by(self, labels: &'static [Label]) -> Self {
        Self { labels, ..self }
    }

    /// The same, served then only.
    #[must_use]
    pub const fn shown(self, shown: Shown) -> Self {
        Self { shown, ..self }
    }

    /// How many series it has at the most, a histogram's buckets aside.
    pub fn max_series(&self) -> usize {
        let values = |label: &Label| match label.values {
            Values::Of(values) => values.len(),
            Values::AtMost(values) => values,
            Values::AsBefore => 1,
        };
        self.labels.iter().map(values).product()
    }

    /// The names of its labels.
    pub fn label_names(&self) -> Vec<&'static str> {
        self.labels.iter().map(|label| label.name).collect()
    }

    /// Registers it as a counter.
    pub(crate) fn register_counter(&self, registry: &Registry) -> Result<IntCounterVec, prometheus::Error> {
        debug_assert_eq!(self.kind, Kind::Counter, "{}", self.name);
        let counter = IntCounterVec::new(Opts::new(self.name, self.help), &self.label_names())?;
        registry.register(Box::new(counter.clone()))?;
        Ok(counter)
    }

    /// Registers it as a gauge.
    pub(crate) fn register_gauge(&self, registry: &Registry) -> Result<IntGaugeVec, prometheus::Error> {
        debug_assert_eq!(self.kind, Kind::Gauge, "{}", self.name);
        let gauge = IntGaugeVec::new(Opts::new(self.name, self.help), &self.label_names())?;
        registry.register(Box::new(gauge.clone()))?;
        Ok(gauge)
    }

    /// The same of what is no whole number.
    pub(crate) fn register_fraction(&self, registry: &Registry) -> Result<GaugeVec, prometheus::Error> {
        debug_assert_eq!(self.kind, Kind::Gauge, "{}", self.name);
        let gauge = GaugeVec::new(Opts::new(self.name, self.help), &self.label_names())?;
        registry.register(Box::new(gauge.clone()))?;
        Ok(gauge)
    }

    /// Registers it as a histogram with these upper bounds, in seconds.
    pub(crate) fn register_times(
        &self,
        registry: &Registry,
        buckets: &[f64],
    ) -> Result<HistogramVec, prometheus::Error> {
        debug_assert_eq!(self.kind, Kind::Histogram, "{}", self.name);
        let options = HistogramOpts::new(self.name, self.help).buckets(buckets.to_vec());
        let histogram = HistogramVec::new(options, &self.label_names())?;
        registry.register(Box::new(histogram.clone()))?;
        Ok(histogram)
    }
}
