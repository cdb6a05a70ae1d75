//! What `sessile bench` measured.

use std::process::Output;

use serde_json::Value;

/// What a load test printed.
pub(super) struct BenchReport(Value);

/// What a load came to.
pub(super) struct Measured {
    pub(super) report: BenchReport,
    /// Microseconds of processor time of all nodes for each request.
    pub(super) cost: f64,
}

impl BenchReport {
    /// What the load test printed; it exits with 1 where requests failed, and tells that too.
    pub(super) fn of(output: std::io::Result<Output>) -> Result<Self, String> {
        let output = output.map_err(|error| error.to_string())?;
        serde_json::from_slice(&output.stdout).map(Self).map_err(|_| {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            format!("the load test gave up: {}", said.lines().last().unwrap_or("without a word"))
        })
    }

    pub(super) fn count(&self) -> u64 {
        self.0["operations"]["all"]["count"].as_u64().unwrap_or(0)
    }

    pub(super) fn rate(&self) -> f64 {
        self.0["operations"]["all"]["per_second"].as_f64().unwrap_or(0.0)
    }

    /// A wait in milliseconds, if there were such requests.
    pub(super) fn wait(&self, kind: &str, which: &str) -> Option<f64> {
        self.0["operations"][kind]["wait_us"][which].as_f64().map(|micros| micros / 1_000.0)
    }

    pub(super) fn failed(&self) -> u64 {
        self.0["failures"].as_object().map_or(0, |kinds| kinds.values().filter_map(Value::as_u64).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_load_test_tells_is_read_and_what_it_does_not_is_said() {
        use std::os::unix::process::ExitStatusExt as _;
        let read = |stdout: &str, stderr: &str| {
            let status = std::process::ExitStatus::from_raw(256);
            BenchReport::of(Ok(Output { status, stdout: stdout.into(), stderr: stderr.into() }))
        };
        let told = r#"{"operations":{"all":{"per_second":5.5,"wait_us":{"max":2500}}},"failures":{"503":2,"cut":1}}"#;
        let told = read(told, "").unwrap();
        assert_eq!((told.rate(), told.wait("all", "max"), told.failed()), (5.5, Some(2.5), 3));
        assert_eq!(told.wait("set", "max"), None);
        let gave_up = read("", "a\nnobody answers\n").err();
        assert_eq!(gave_up.as_deref(), Some("the load test gave up: nobody answers"));
    }
}
