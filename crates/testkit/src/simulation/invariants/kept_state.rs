use std::sync::atomic::Ordering;

use sessile_store::{Opened, Opening};

use crate::simulation::world::Host;

/// A start finds the state that the last one left, whatever came between: what was synced is there after every crash, and
/// is whole (A crash loses nothing that was acknowledged). A member could have it again from others, so nobody else would
/// notice. Not what the simulation itself took away, until there is a state again.
pub(in super::super) fn kept_state(host: &Host, opening: &Opening) -> Result<(), String> {
    let lost = match opening {
        Opening::Recovering(store) => Some(store.reason()),
        Opening::Member(_, Opened::Rebuilt { reason, .. }) => Some(&**reason),
        Opening::Member(..) | Opening::Pristine(_) => None,
    };
    match lost {
        Some(reason) if !host.state_was_taken.load(Ordering::Relaxed) => {
            Err(format!("{} has lost its state, which nobody took: {reason}", host.name))
        }
        Some(_) => Ok(()),
        None => {
            host.state_was_taken.store(false, Ordering::Relaxed);
            Ok(())
        }
    }
}
