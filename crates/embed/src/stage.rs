use std::time::Duration;

use sessile_cluster::{Cluster, ClusterError};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// How far a node is. It goes down this list, and may end at any place.
#[derive(Clone)]
pub(crate) enum Stage {
    /// Its disk is being opened, which may take as long as reading all of it.
    Opening,
    /// It finds or makes its cluster.
    Opened,
    /// It is a member.
    Member(Cluster),
    /// It is over, with a sentence if not by order.
    Ended(Option<String>),
}

/// Tells how far a node is. When it is dropped, the node has ended.
pub(crate) struct Teller(watch::Sender<Stage>);

/// Knows how far a node is. Cheap to clone. Holds nothing of a node that has ended.
#[derive(Clone)]
pub(crate) struct Progress(watch::Receiver<Stage>);

pub(crate) fn begin() -> (Teller, Progress) {
    let (teller, progress) = watch::channel(Stage::Opening);
    (Teller(teller), Progress(progress))
}

impl Teller {
    pub(crate) fn is_at(&self, stage: Stage) {
        self.0.send_replace(stage);
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.0.send_if_modified(|stage| {
            let goes_on = !matches!(stage, Stage::Ended(_));
            if goes_on {
                *stage = Stage::Ended(None);
            }
            goes_on
        });
    }
}

impl Progress {
    /// The stage at which this holds. There is always one: the last is for ever.
    async fn once(&self, holds: impl FnMut(&Stage) -> bool) -> Stage {
        let mut stages = self.0.clone();
        stages.wait_for(holds).await.map_or(Stage::Ended(None), |stage| stage.clone())
    }

    /// Returns when its disk is open: whether it is, or the node has ended.
    pub(crate) async fn opened(&self) -> bool {
        !matches!(self.once(|stage| !matches!(stage, Stage::Opening)).await, Stage::Ended(_))
    }

    /// The cluster, once it is a member; what was said at its end, if it has ended before.
    pub(crate) async fn member(&self) -> Result<Cluster, Option<String>> {
        match self.once(|stage| matches!(stage, Stage::Member(_) | Stage::Ended(_))).await {
            Stage::Member(cluster) => Ok(cluster),
            Stage::Ended(why) => Err(why),
            Stage::Opening | Stage::Opened => Err(None),
        }
    }

    /// The cluster, if it is a member now.
    pub(crate) fn now(&self) -> Option<Cluster> {
        match &*self.0.borrow() {
            Stage::Member(cluster) => Some(cluster.clone()),
            Stage::Opening | Stage::Opened | Stage::Ended(_) => None,
        }
    }

    /// Returns when it has ended.
    pub(crate) async fn ended(&self) -> Option<String> {
        match self.once(|stage| matches!(stage, Stage::Ended(_))).await {
            Stage::Ended(why) => why,
            Stage::Opening | Stage::Opened | Stage::Member(_) => None,
        }
    }

    /// The cluster, for a request that may wait that long, and when that is over.
    pub(crate) async fn cluster(&self, within: Duration) -> Result<(Cluster, Instant), ClusterError> {
        let deadline = Instant::now() + within;
        if let Some(cluster) = self.now() {
            return Ok((cluster, deadline));
        }
        match timeout_at(deadline, self.member()).await {
            Ok(Ok(cluster)) => Ok((cluster, deadline)),
            Ok(Err(_)) => Err(ClusterError::Stopping),
            Err(_) => Err(ClusterError::NoQuorum),
        }
    }
}
