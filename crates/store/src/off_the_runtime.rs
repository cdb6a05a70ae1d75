use tokio::runtime::{Handle, RuntimeFlavor};

/// What was asked panicked. What the panic said stays unsaid: it may hold what was stored.
#[derive(Debug, thiserror::Error)]
#[error("the storage engine gave up on what it was asked")]
pub struct GaveUp;

/// Runs what may wait for the disk on a thread where it holds up nobody. On a runtime of one thread, as tests and
/// simulations have, there is nobody to be held up, and it runs at once: one thread decides what comes after what.
///
/// # Errors
/// [`GaveUp`] if it panics.
pub async fn off_the_runtime<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, GaveUp> {
    if Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await.map_err(|_| GaveUp)
}
