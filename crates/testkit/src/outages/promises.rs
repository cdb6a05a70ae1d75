use std::fmt;

/// What must hold in a replay, and whether it did.
#[derive(Debug, Default)]
pub(super) struct Promises(Vec<Promise>);

#[derive(Debug)]
struct Promise {
    what: String,
    kept: bool,
    /// What was seen.
    seen: String,
}

impl Promises {
    /// Writes down whether one was kept, and what was seen.
    pub(super) fn note(&mut self, what: impl Into<String>, kept: bool, seen: impl Into<String>) {
        self.0.push(Promise { what: what.into(), kept, seen: seen.into() });
    }

    /// The sentences of those that were not.
    pub(super) fn broken(&self) -> Vec<String> {
        let broken = self.0.iter().filter(|promise| !promise.kept);
        broken.map(|promise| format!("{}: {}", promise.what, promise.seen)).collect()
    }
}

impl fmt::Display for Promises {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Promise { what, kept, seen } in &self.0 {
            writeln!(f, "  {:6}  {what}: {seen}", if *kept { "kept" } else { "BROKEN" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_that_was_broken_is_told_apart() {
        let mut promises = Promises::default();
        promises.note("no request fails", true, "0 of 7");
        promises.note("somebody is told", false, "nobody was");
        assert_eq!(promises.broken(), ["somebody is told: nobody was"]);
        assert_eq!(
            promises.to_string(),
            "  kept    no request fails: 0 of 7\n  BROKEN  somebody is told: nobody was\n"
        );
    }
}
