use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a panic left locked is as good as before: the seed has failed anyway, and tells its story.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
