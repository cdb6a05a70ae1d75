//! What a data directory holds when this process opens it, and what is told of that.

use std::path::Path;

use sessile_store::{DataDir, Opened, Opening, StoreError, StoreOptions};
use tracing::{info, warn};

/// What becomes of what a former life left on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OldData {
    /// It is gone on with.
    Keep,
    /// The same, but where the cluster has put another node in this one's place: then it is set aside as below.
    KeepOrRejoin,
    /// If it cannot be gone on with, it is set aside, and this is a new node that may only join. Errors call this
    /// `--discard-data-and-rejoin`, as the program does.
    SetAside,
}

/// What a node without peers cannot make good, for want of anybody to ask.
pub(crate) fn refuse_alone(opening: Opening, dir: &Path) -> Result<Opening, StoreError> {
    let refused = |what: String| Err(StoreError::Disagree { dir: dir.to_owned(), what });
    match &opening {
        Opening::Pristine(store) if store.former().is_some() => {
            refused("it once held a cluster, so it may join one and must not begin one".to_owned())
        }
        Opening::Recovering(store) => refused(format!(
            "its state is lost or damaged ({}), and its log no longer reaches back to the beginning",
            store.reason()
        )),
        Opening::Pristine(_) | Opening::Member(..) => Ok(opening),
    }
}

/// Opens the data directory, which may take as long as reading all of it. Blocks.
///
/// Only what cannot be gone on with is ever set aside: the flag may stand in a unit file, and a whole cluster may be
/// started at once with it.
pub(crate) fn open(path: &Path, old: OldData, options: &StoreOptions) -> Result<Opening, StoreError> {
    let refused = match Opening::open(DataDir::open(path)?, options) {
        Err(refused) if old == OldData::SetAside && refused.is_ended_by_discard() => refused,
        Err(refused) if old == OldData::KeepOrRejoin && refused.discards_by_itself() => refused,
        opened => {
            if old == OldData::SetAside && opened.is_ok() {
                info!("--discard-data-and-rejoin has no effect: this node's data can be gone on with");
            }
            return opened;
        }
    };
    let dir = DataDir::open(path)?;
    if let Some(aside) = dir.discard()? {
        warn!(
            aside = %aside.display(), why = %refused,
            "the data was set aside; this is a new node, which may only join"
        );
    }
    Opening::open(dir, options)
}

/// Tells how it was found.
pub(crate) fn tell(opening: &Opening) {
    let (store, opened) = match opening {
        Opening::Pristine(store) => return info!(node = %store.node(), "this is a new node"),
        // Whoever asks the others for a state says so.
        Opening::Recovering(_) => return,
        Opening::Member(store, opened) => (store, opened),
    };
    match opened {
        Opened::New => info!(node = %store.node(), cluster = %store.cluster(), "this is a new node"),
        Opened::Clean => info!("the last stop was clean"),
        Opened::Checked(report) => {
            info!(records = report.records, bytes = report.bytes, "the state was checked and is whole");
        }
        Opened::Unchecked => {
            info!(
                "the last stop was not clean: what is read is verified as it is read, and the counts are checked meanwhile"
            );
        }
        Opened::Rebuilt { reason, aside } => {
            let aside = aside.as_deref().map(|path| path.display().to_string()).unwrap_or_default();
            warn!(reason, aside, "the state was lost or damaged; the log, which is whole, makes it again");
        }
    }
}
