use std::collections::{BTreeMap, HashMap};

use prometheus::core::Desc;
use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric as Sample, MetricFamily, MetricType};
use sessile_cluster::DurationCounts;
use sessile_http::declared::{Kind, Metric};

/// What metrics show at one moment.
#[derive(Default)]
pub(super) struct Samples(BTreeMap<&'static str, MetricFamily>);

impl Samples {
    /// What a metric without labels shows.
    pub(super) fn set(&mut self, metric: &Metric, value: f64) {
        self.set_by(metric, &[], value);
    }

    /// What a metric shows by the values of its labels, in the order in which they are declared.
    pub(super) fn set_by(&mut self, metric: &Metric, labels: &[&str], value: f64) {
        let mut sample = labelled(metric, labels);
        match metric.kind {
            Kind::Counter => {
                let mut counter = Counter::default();
                counter.set_value(value);
                sample.set_counter(counter);
            }
            Kind::Gauge => {
                let mut gauge = Gauge::default();
                gauge.set_value(value);
                sample.set_gauge(gauge);
            }
            Kind::Histogram => debug_assert!(false, "{} is a histogram", metric.name),
        }
        self.push(metric, sample);
    }

    /// What a histogram shows.
    pub(super) fn times(&mut self, metric: &Metric, counts: &DurationCounts) {
        let bucket = |&(bound, count): &(f64, u64)| {
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(bound);
            bucket.set_cumulative_count(count);
            bucket
        };
        let mut histogram = Histogram::default();
        histogram.set_bucket(counts.buckets.iter().map(bucket).collect());
        histogram.set_sample_count(counts.count);
        histogram.set_sample_sum(counts.sum);
        let mut sample = labelled(metric, &[]);
        sample.set_histogram(histogram);
        self.push(metric, sample);
    }

    /// All of it, as the registry wants it.
    pub(super) fn into_families(self) -> Vec<MetricFamily> {
        self.0.into_values().collect()
    }

    fn push(&mut self, metric: &Metric, sample: Sample) {
        let new = || {
            let mut family = MetricFamily::default();
            family.set_name(metric.name.to_owned());
            family.set_help(metric.help.to_owned());
            family.set_field_type(match metric.kind {
                Kind::Counter => MetricType::COUNTER,
                Kind::Gauge => MetricType::GAUGE,
                Kind::Histogram => MetricType::HISTOGRAM,
            });
            family
        };
        self.0.entry(metric.name).or_insert_with(new).mut_metric().push(sample);
    }
}

/// A metric as the registry knows it.
pub(super) fn described(metric: &Metric) -> Result<Desc, prometheus::Error> {
    let labels = metric.label_names().into_iter().map(str::to_owned).collect();
    Desc::new(metric.name.to_owned(), metric.help.to_owned(), labels, HashMap::new())
}

fn labelled(metric: &Metric, values: &[&str]) -> Sample {
    debug_assert_eq!(metric.labels.len(), values.len(), "{}", metric.name);
    let pair = |(label, value): (&sessile_http::declared::Label, &&str)| {
        let mut pair = LabelPair::default();
        pair.set_name(label.name.to_owned());
        pair.set_value((*value).to_owned());
        pair
    };
    Sample::from_label(metric.labels.iter().zip(values).map(pair).collect())
}
