use prometheus::core::Metric as _;

use super::{BUCKETS, CODES, HttpMetrics, METHODS, Series};

/// The upper bounds of the ranges in which waits are counted, in seconds. One more range is for longer waits.
pub const WAIT_BOUNDS: [f64; BUCKETS.len()] = BUCKETS;

/// How many ranges of waits there are.
pub const WAIT_RANGES: usize = WAIT_BOUNDS.len() + 1;

/// What `http_requests_total` and `http_request_duration_seconds` have counted since the process started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RequestTotals {
    /// GET and HEAD.
    pub reads: u64,
    /// Every other method.
    pub others: u64,
    /// Those of both that were answered 5xx.
    pub failed: u64,
    /// Requests by how long they took: up to each of [`WAIT_BOUNDS`], and longer.
    pub waits: [u64; WAIT_RANGES],
}

impl HttpMetrics {
    /// What was counted so far. It reads counters that a scrape reads, too; no request waits for it.
    pub fn totals(&self) -> RequestTotals {
        let mut totals = RequestTotals::default();
        for (method, of_method) in METHODS.iter().zip(&self.0.series) {
            for (code, series) in CODES.iter().zip(of_method) {
                let Some(series) = series.get() else { continue };
                let count = series.requests.get();
                if ["GET", "HEAD"].contains(method) {
                    totals.reads += count;
                } else {
                    totals.others += count;
                }
                if code.is_server_error() {
                    totals.failed += count;
                }
                add_waits(&mut totals.waits, series);
            }
        }
        totals
    }
}

fn add_waits(waits: &mut [u64; WAIT_RANGES], series: &Series) {
    let sample = series.durations.metric();
    let histogram = sample.get_histogram();
    let up_to = histogram.get_bucket().iter().map(|bucket| bucket.cumulative_count());
    let mut below = 0;
    for (range, up_to) in waits.iter_mut().zip(up_to.chain([histogram.get_sample_count()])) {
        // A request that ends meanwhile may be in one of the two counts and not in the other.
        *range += up_to.saturating_sub(below);
        below = up_to;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{Method, StatusCode};
    use prometheus::Registry;

    use super::*;

    #[test]
    fn totals_are_what_the_metrics_have_counted() {
        let metrics = HttpMetrics::register(&Registry::new()).unwrap();
        for (method, status, millis) in [
            (Method::GET, StatusCode::OK, 1),
            (Method::HEAD, StatusCode::NOT_FOUND, 2),
            (Method::GET, StatusCode::NOT_FOUND, 2),
            (Method::PUT, StatusCode::CREATED, 40),
            (Method::DELETE, StatusCode::SERVICE_UNAVAILABLE, 2_000),
        ] {
            metrics.watch(&method).finish(status, Duration::from_millis(millis));
        }
        drop(metrics.watch(&Method::GET));
        let RequestTotals { reads, others, failed, waits } = metrics.totals();
        assert_eq!((reads, others, failed), (3, 2, 1), "a request whose client left is none of them");
        assert_eq!(waits, [1, 2, 0, 0, 0, 1, 0, 0, 0, 0, 1]);
    }
}
