//! When a watcher of the membership is told something.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use openraft::base::BoxStream;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// How often a watcher is told something though nothing changed: applied indices go on.
const AGAIN: Duration = Duration::from_secs(2);
/// Shortest time between two messages to a watcher.
const PAUSE: Duration = Duration::from_millis(100);

/// What a look finds: at once, and again after a change, until the node stops. `changes` returns what ends with the first
/// change from then on.
pub(super) fn looks<Found, Look, Change>(
    changes: impl Fn() -> Change + Send + 'static,
    look: impl Fn() -> Look + Send + 'static,
    stop: CancellationToken,
) -> BoxStream<'static, Found>
where
    Look: Future<Output = Found> + Send + 'static,
    Change: Future<Output = ()> + Send + 'static,
{
    let looks = stream::unfold((changes, look, stop, None), |(changes, look, stop, change)| async move {
        if let Some(change) = change {
            tokio::select! {
                _ = timeout(AGAIN, change) => {}
                () = stop.cancelled() => return None,
            }
            // What changes together is told together.
            sleep(PAUSE).await;
        }
        // Watched from before the look on: it takes a while, and what changes meanwhile would be missed.
        let change = Box::pin(changes());
        let found = look().await;
        Some((found, (changes, look, stop, Some(change))))
    });
    looks.boxed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::watch;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn what_changes_during_a_look_is_told_of_next() {
        const LOOK: Duration = Duration::from_millis(500);
        let (leads, led) = watch::channel("nobody");
        let changes = {
            let leads = leads.clone();
            move || {
                let mut led = leads.subscribe();
                async move { led.changed().await.unwrap() }
            }
        };
        let look = move || {
            let led = *led.borrow();
            async move {
                sleep(LOOK).await;
                led
            }
        };
        let mut looks = looks(changes, look, CancellationToken::new());
        let elected = async {
            sleep(LOOK / 2).await;
            leads.send("n1").unwrap();
        };
        let (first, ()) = tokio::join!(looks.next(), elected);
        assert_eq!(first, Some("nobody"));
        let told = Instant::now();
        assert_eq!(looks.next().await, Some("n1"));
        assert_eq!(told.elapsed(), PAUSE + LOOK, "nobody waits for the next message without a change");
        assert_eq!(looks.next().await, Some("n1"));
        assert_eq!(told.elapsed(), PAUSE + LOOK + AGAIN + PAUSE + LOOK, "the change is told of once");
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_stops_tells_nobody_anything_more() {
        let stop = CancellationToken::new();
        let mut looks = looks(std::future::pending, async || (), stop.clone());
        assert_eq!(looks.next().await, Some(()));
        stop.cancel();
        assert_eq!(looks.next().await, None);
    }
}
