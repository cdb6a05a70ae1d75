use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

/// What happened in a round of a long test, for the one that fails.
#[derive(Debug)]
pub(crate) struct Story {
    begin: Instant,
    lines: Vec<String>,
}

impl Story {
    /// Runs a round that writes its story. If it panics, story and panic come back as a text.
    pub(crate) fn of<T>(round: impl FnOnce(&mut Self) -> T) -> Result<T, String> {
        let mut story = Self { begin: Instant::now(), lines: Vec::new() };
        let ended = catch_unwind(AssertUnwindSafe(|| round(&mut story)));
        ended.map_err(|panic| {
            let words = panic.downcast_ref::<String>().cloned();
            let words = words.or_else(|| panic.downcast_ref::<&str>().map(|words| (*words).to_owned()));
            format!("{}\n{}", story.lines.join("\n"), words.unwrap_or_default())
        })
    }

    /// This happens now.
    pub(crate) fn tells(&mut self, what: &str) {
        self.lines.push(format!("{:>8.2} s  {what}", self.begin.elapsed().as_secs_f64()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_that_fails_tells_what_happened_before() {
        let failed: Result<(), String> = Story::of(|story| {
            story.tells("something happens");
            panic!("and this was wrong: {}", 7);
        });
        let text = failed.unwrap_err();
        assert!(text.contains("s  something happens\n") && text.ends_with("and this was wrong: 7"), "{text}");
        assert_eq!(Story::of(|_| 3), Ok(3));
    }
}
