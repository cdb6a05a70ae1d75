use std::sync::Arc;

use sessile_store::off_the_runtime;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::group::Group;

/// After an unclean stop: goes through the whole state while the node serves, and holds a recount against the counts that
/// the log kept. A node whose counts do not hold stops, and its next start gets another state.
pub(crate) async fn run(group: Arc<Group>, stop: CancellationToken) {
    let state = group.state.clone();
    let checked = off_the_runtime(move || state.check_beside(|| !stop.is_cancelled())).await;
    match checked {
        Ok(Ok(Some(report))) => {
            info!(records = report.records, bytes = report.bytes, "the state was checked and is whole");
        }
        // It ends with the node, or with the state.
        Ok(Ok(None)) => {}
        Ok(Err(fault)) => drop(group.stop_for(&fault)),
        Err(gave_up) => drop(group.stop_for(&gave_up)),
    }
}
