use std::fmt::Display;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;
use tracing::error;

use crate::error::ClusterError;

/// Why this node must stop; set once. With a local fault a node stops: it does not guess.
#[derive(Clone)]
pub(crate) struct Fault(Arc<Shared>);

struct Shared {
    first: watch::Sender<Option<String>>,
    ends: Mutex<Vec<Box<dyn Fn() + Send + Sync>>>,
}

impl Fault {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Shared { first: watch::Sender::new(None), ends: Mutex::default() }))
    }

    /// With the first fault this comes to its end, before anybody who waits for a fault hears of it.
    pub(crate) fn ends(&self, end: impl Fn() + Send + Sync + 'static) {
        self.0.ends.lock().push(Box::new(end));
    }

    /// Whether there is one.
    pub(crate) fn is_set(&self) -> bool {
        self.0.first.borrow().is_some()
    }

    /// Returns when there is one, and says which.
    pub(crate) async fn told(&self) -> String {
        let mut first = self.0.first.subscribe();
        // Cloned before anything else is awaited: what is borrowed must stay on its thread.
        let told = first.wait_for(Option::is_some).await.map(|fault| fault.clone().unwrap_or_default());
        match told {
            Ok(fault) => fault,
            // The sender lives in `self`.
            Err(_) => std::future::pending().await,
        }
    }

    /// This node stops, for this reason if there was none before.
    pub(crate) fn stop_for(&self, fault: &dyn Display) -> ClusterError {
        self.0.first.send_if_modified(|known| {
            let first = known.is_none();
            if first {
                error!("this node stops: {fault}");
                *known = Some(fault.to_string());
                self.0.ends.lock().iter().for_each(|end| end());
            }
            first
        });
        ClusterError::Stopping
    }
}
