//! A node that is left of a cluster whose majority is lost for ever, before it is made a cluster of its own.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use sessile_cluster::who_answers;
use sessile_store::{ClusterId, DataDir, NodeId, Rescue, RescuePlan, StoreError};

use crate::config::Config;
use crate::error::Error;

/// Its data, open, and what was found of the others.
pub struct Survivor {
    rescue: Rescue,
    /// What there is, and what a person must know.
    pub plan: RescuePlan,
    /// The other members that answer.
    pub answering: BTreeSet<NodeId>,
}

impl Survivor {
    /// Opens the data of a node that does not run, and asks the other members that it knows.
    ///
    /// # Errors
    /// [`Error::Store`]: the node runs, or has no data, or a rescue was cut short, which [`Survivor::go_on`] ends.
    pub async fn open(config: &Config) -> Result<Self, Error> {
        let (path, options) = (config.data_dir.clone(), config.store_options());
        let rescue = on_disk(config, move || Rescue::open(DataDir::open(path)?, &options)).await?;
        // Nobody is listened to: an address that is never bound.
        let nowhere = config.member.as_ref().map(|_| SocketAddr::from(([127, 0, 0, 1], 0)));
        let (plan, answering) = (rescue.plan(), who_answers(&rescue, config.node_config(nowhere)).await);
        Ok(Self { rescue, plan, answering: answering.map_err(Error::Start)? })
    }

    /// Ends a rescue that was cut short; `None` where none was begun. `who` stands in the history.
    ///
    /// # Errors
    /// The disk.
    pub async fn go_on(config: &Config, who: String) -> Result<Option<ClusterId>, Error> {
        let (path, options) = (config.data_dir.clone(), config.store_options());
        let end = move || Rescue::end_what_was_begun(&DataDir::open(path)?, &options, &who);
        on_disk(config, end).await
    }

    /// Leaves everything as it was.
    ///
    /// # Errors
    /// The disk.
    pub async fn leave(self, config: &Config) -> Result<(), Error> {
        on_disk(config, move || self.rescue.leave()).await
    }

    /// Makes this node the only member of a new cluster. `who` stands in the history.
    ///
    /// # Errors
    /// The disk: then [`Survivor::go_on`] ends it.
    pub async fn carry_out(self, config: &Config, who: String) -> Result<ClusterId, Error> {
        on_disk(config, move || self.rescue.carry_out(&who)).await
    }
}

/// On a thread that may block.
async fn on_disk<T: Send + 'static>(
    config: &Config,
    does: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(does).await;
    done.map_err(|_| Error::EngineGaveUp(config.data_dir.clone()))?.map_err(Error::Store)
}
