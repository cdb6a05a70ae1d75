use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::{MappedRwLockReadGuard, Mutex, RwLock, RwLockReadGuard};

use super::background::Background;
use super::damage::condemn;
use crate::engine::EngineError;
use crate::engine::guard::{Fault, Guard};

/// What an engine and its views share.
pub(super) struct Shared {
    pub(super) guard: Guard,
    /// Written only at the end; everything else reads.
    open: RwLock<Option<Arc<Background>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Shared {
    pub(super) fn new(guard: Guard, background: Arc<Background>, threads: Vec<JoinHandle<()>>) -> Self {
        Self { guard, open: RwLock::new(Some(background)), threads: Mutex::new(threads) }
    }

    pub(super) fn open(&self) -> Result<MappedRwLockReadGuard<'_, Background>, EngineError> {
        let open = RwLockReadGuard::try_map(self.open.read(), |open| open.as_deref());
        open.map_err(|_| self.guard.closed())
    }

    /// Runs a call that only reads. What is damaged is noted.
    pub(super) fn read<T>(
        &self,
        operation: &'static str,
        call: impl FnOnce() -> Result<T, Fault>,
    ) -> Result<T, EngineError> {
        self.guard.attempt(call).map_err(|fault| {
            if let Fault::Library(why) = &fault {
                condemn(&self.guard.dir(), why);
            }
            self.guard.error(operation, fault)
        })
    }

    /// Ends what is under way and lets go of the directory. Only the first call does.
    pub(super) fn close(&self) -> bool {
        if let Ok(open) = self.open() {
            open.stop();
        }
        let Some(background) = self.open.write().take() else { return false };
        for thread in self.threads.lock().drain(..) {
            // What it ran into is told by the guard.
            let _ = thread.join();
        }
        drop(background);
        true
    }
}
