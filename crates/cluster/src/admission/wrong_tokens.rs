use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};
use tracing::warn;

/// How long whoever shows a wrong token waits for the answer. Long for who tries one after the other, short for who has put
/// the wrong file in place.
const ANSWER_AFTER: Duration = Duration::from_millis(500);
/// How many wait at a time. One more is answered at once: what waits is to take no place from others.
const MAX_WAITING: usize = 16;
/// How often it is said in the log at the most.
const SAY_AGAIN: Duration = Duration::from_secs(10);

/// What becomes of those who know another token.
pub(crate) struct WrongTokens {
    waiting: Semaphore,
    said: Mutex<Option<Instant>>,
}

impl WrongTokens {
    pub(crate) fn new() -> Self {
        Self { waiting: Semaphore::new(MAX_WAITING), said: Mutex::new(None) }
    }

    /// Somebody showed one. Says so in the log, and makes it wait.
    pub(crate) async fn came(&self, text: &str) {
        let now = Instant::now();
        let says = {
            let mut said = self.said.lock();
            let says = said.is_none_or(|said| now.duration_since(said) >= SAY_AGAIN);
            if says {
                *said = Some(now);
            }
            says
        };
        if says {
            warn!("{text}");
        }
        if let Ok(_place) = self.waiting.try_acquire() {
            sleep(ANSWER_AFTER).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::future::join_all;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_tries_tokens_waits_for_each_answer_and_never_in_a_long_row() {
        let wrong = Arc::new(WrongTokens::new());
        let begin = Instant::now();
        wrong.came("a wrong token").await;
        wrong.came("a wrong token").await;
        assert_eq!(begin.elapsed(), 2 * ANSWER_AFTER);
        let many = join_all((0..10 * MAX_WAITING).map(|_| wrong.came("a wrong token")));
        many.await;
        assert_eq!(begin.elapsed(), 3 * ANSWER_AFTER);
        assert_eq!(wrong.waiting.available_permits(), MAX_WAITING);
    }
}
