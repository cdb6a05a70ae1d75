use std::sync::{Arc, Weak};

use tokio::sync::SetOnce;

/// What there is from a later moment on, as long as whoever owns it keeps it: what belongs to a member, for those who answer
/// before this node is one.
pub(crate) struct Late<T>(Arc<SetOnce<Weak<T>>>);

impl<T> Late<T> {
    pub(crate) fn new() -> Self {
        Self(Arc::new(SetOnce::new()))
    }

    /// It, once it is there and as long as it is.
    pub(crate) fn get(&self) -> Option<Arc<T>> {
        self.0.get()?.upgrade()
    }

    /// Waits until it is there.
    pub(crate) async fn wait(&self) {
        self.0.wait().await;
    }

    /// From now on it is there.
    pub(crate) fn set(&self, value: &Arc<T>) {
        // There is one start; a second call would change nothing.
        let _ = self.0.set(Arc::downgrade(value));
    }
}

impl<T> Clone for Late<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}
