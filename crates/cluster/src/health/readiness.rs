use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::error::ClusterError;
use crate::fault::Fault;
use crate::reads::Reads;
use crate::writes::Writes;

/// How long a proof that the state is current counts where nobody may be asked. It is renewed every half second, unless the
/// disk makes the upkeep wait; a longer time would show a node as ready that a scrape of every five seconds finds cut off.
const PROOF_COUNTS: Duration = Duration::from_secs(5);

/// Whether this node could serve a linearizable read and take a write now.
pub(crate) struct Readiness {
    leaving: AtomicBool,
    fault: Fault,
    reads: Arc<Reads>,
    writes: Arc<Writes>,
}

impl Readiness {
    pub(crate) fn new(fault: Fault, reads: Arc<Reads>, writes: Arc<Writes>) -> Self {
        Self { leaving: AtomicBool::new(false), fault, reads, writes }
    }

    /// From now on this node says that it is not ready; what comes all the same is still done.
    pub(crate) fn leaves(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    /// Whether it is ready. One that is about to stop is not, though it does what comes all the same.
    pub(crate) async fn prove(&self, deadline: Instant) -> Result<(), ClusterError> {
        self.prove_by(self.reads.prove(deadline)).await
    }

    /// The same, for who asks again and again.
    pub(crate) async fn prove_again(&self, deadline: Instant) -> Result<(), ClusterError> {
        self.prove_by(self.reads.prove_again(deadline)).await
    }

    async fn prove_by(&self, proof: impl Future<Output = Result<(), ClusterError>>) -> Result<(), ClusterError> {
        self.stays()?;
        if !self.writes.is_registered() {
            return Err(ClusterError::NoQuorum);
        }
        proof.await?;
        // A leader whose quorum has not answered it for a while may read by votes, and takes no write.
        if !self.reads.leader_takes_writes() {
            return Err(ClusterError::NoQuorum);
        }
        // It may have been told to stop meanwhile.
        self.stays()
    }

    /// Whether it was found to be ready lately, without asking anybody now: for scrapes, which must not wait.
    pub(crate) fn was_ready_lately(&self) -> bool {
        let is_proven = self.reads.proven_ago().is_some_and(|ago| ago < PROOF_COUNTS);
        is_proven && self.stays().is_ok() && self.writes.is_registered() && self.reads.leader_takes_writes()
    }

    /// Whether this node is not about to stop, by order or by a fault.
    fn stays(&self) -> Result<(), ClusterError> {
        if self.leaving.load(Ordering::Relaxed) || self.fault.is_set() { Err(ClusterError::Stopping) } else { Ok(()) }
    }
}
