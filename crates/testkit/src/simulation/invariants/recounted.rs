use sessile_store::log::{LogOptions, MIN_SEGMENT_BYTES};
use sessile_store::{DataDir, Opened, Opening, StoreOptions};

use crate::simulation::engine;
use crate::simulation::world::Host;

/// The counters and the checksum that apply keeps are what a recount of all records gives: so says the check that a start
/// after a crash makes (Linearizable; A local fault stops the node rather than the truth). The node must not run.
pub(in super::super) fn recounted(host: &Host) -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Display| format!("{} cannot be opened: {error}", host.name);
    let log = LogOptions { segment_bytes: 4 * MIN_SEGMENT_BYTES, ..LogOptions::default() };
    let options = StoreOptions { engine: engine::KIND, cache_bytes: 0, log, ..StoreOptions::default() };
    let root = host.disk().root().to_path_buf();
    let dir = DataDir::open(root).map_err(|error| failed(&error))?;
    match Opening::open(dir, &options).map_err(|error| failed(&error))? {
        Opening::Member(store, Opened::Checked(_)) => store.close().map_err(|error| failed(&error)),
        Opening::Member(_, opened) => Err(format!("the state of {} is not as it was left: {opened:?}", host.name)),
        Opening::Recovering(_) => Err(format!("{} has lost its state", host.name)),
        Opening::Pristine(_) => Err(format!("{} has lost everything", host.name)),
    }
}
