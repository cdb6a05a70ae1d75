//! How a node's file descriptors are shared out: what the log, the tables and the members need is kept for them, and
//! connections are clamped to what is left. Pure, but for [`raise_limit`].

use std::fmt;

use rustix::process::{Resource, getrlimit, setrlimit};
use tracing::warn;

/// Standard streams, the runtime's own, listeners, locks, directories that are being synced, and what `/metrics` and
/// the clocks read: about 30 in use; and up to 16 connections of operators on the same machine.
const PROCESS: usize = 48;
/// Files of the Raft log that are open at a time.
const LOG: usize = 64;
/// What merges write, and snapshots that are sent or received: a few files each.
const MERGES_AND_SNAPSHOTS: usize = 24;
/// This node's own connections to eight other members, eight to each.
const OUTGOING: usize = 64;

/// Open table files. Fewer make a read open its table first, and there may be several tables to a read; above the
/// most, an open file saves nothing that could be measured.
const TABLES: Share = Share { least: 48, most: 512, of_rest: 4 };
/// Connections to the gRPC listener: those of two other members at least. See `NodeConfig::DEFAULT_MAX_CONNECTIONS`.
const PEERS: Share = Share { least: 32, most: sessile_cluster::NodeConfig::DEFAULT_MAX_CONNECTIONS, of_rest: 8 };
/// Connections to the operator's listener: probes, scrapers and a few browsers.
const ADMIN: Share = Share { least: 8, most: 256, of_rest: 16 };
/// The fewest connections to the session API with which there is a service to speak of.
const API_LEAST: usize = 32;
/// When the API stops, it still accepts those that wait in its listener's queue: one for so many connections, and no more
/// than the queue holds where nobody has changed `net.core.somaxconn`.
const API_LAST_PART: usize = 8;
const API_LAST_MOST: usize = 4_096;

/// What one purpose is given: the least, and of what is left when all have that, one part in so many, up to the most.
struct Share {
    least: usize,
    most: usize,
    of_rest: usize,
}

/// What a node listens for, beside the session API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Listens {
    /// The most connections to the session API, as configured.
    pub(crate) api: usize,
    /// Whether other members connect to it.
    pub(crate) peers: bool,
    /// Whether operators have a listener of their own.
    pub(crate) admin: bool,
}

/// The shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Descriptors {
    /// Table files that are open at a time.
    pub(crate) tables: usize,
    /// Connections to the session API.
    pub(crate) api: usize,
    /// Those that it still accepts beyond these when it stops.
    pub(crate) api_last: usize,
    /// Connections to the gRPC listener.
    pub(crate) peers: usize,
    /// Connections to the operator's listener.
    pub(crate) admin: usize,
}

/// The limit is too small for a node to run at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooFew {
    limit: usize,
    needed: usize,
}

impl fmt::Display for TooFew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limit, needed } = self;
        write!(
            f,
            "this process may open {limit} files, and a node with this configuration needs {needed} at least; raise the \
             limit (LimitNOFILE of the systemd unit, or ulimit -n)"
        )
    }
}

impl Share {
    fn of(&self, rest: usize) -> usize {
        (self.least + rest / self.of_rest).min(self.most)
    }
}

impl Descriptors {
    /// Shares out that many descriptors.
    pub(crate) fn divide(limit: usize, listens: Listens) -> Result<Self, TooFew> {
        let kept = PROCESS + LOG + MERGES_AND_SNAPSHOTS + if listens.peers { OUTGOING } else { 0 };
        let least = |wanted, share: &Share| if wanted { share.least } else { 0 };
        let api_least = API_LEAST.min(listens.api);
        let needed = kept
            + TABLES.least
            + least(listens.peers, &PEERS)
            + least(listens.admin, &ADMIN)
            + api_least
            + api_least.div_ceil(API_LAST_PART);
        let rest = limit.checked_sub(needed).ok_or(TooFew { limit, needed })?;
        let given = |wanted, share: &Share| if wanted { share.of(rest) } else { 0 };
        let (tables, peers, admin) = (TABLES.of(rest), given(listens.peers, &PEERS), given(listens.admin, &ADMIN));
        let left = limit - kept - tables - peers - admin;
        let api = (left / (API_LAST_PART + 1)).saturating_mul(API_LAST_PART).max(api_least).min(listens.api);
        let api_last = api.div_ceil(API_LAST_PART).min(API_LAST_MOST);
        Ok(Self { tables, api, api_last, peers, admin })
    }
}

/// Raises this process's limit of open files as far as it may without asking anybody, and gives it.
pub(crate) fn raise_limit() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    let as_it_was = limit.current;
    limit.current = limit.maximum;
    let now = match setrlimit(Resource::Nofile, limit) {
        Ok(()) => limit.current,
        Err(error) => {
            warn!(%error, "the limit of open files cannot be raised");
            as_it_was
        }
    };
    now.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMBER: Listens = Listens { api: 16_384, peers: true, admin: true };
    const ALONE: Listens = Listens { peers: false, admin: false, ..MEMBER };

    fn all(listens: Listens, shares: &Descriptors) -> usize {
        let outgoing = if listens.peers { OUTGOING } else { 0 };
        let Descriptors { tables, api, api_last, peers, admin } = shares;
        PROCESS + LOG + MERGES_AND_SNAPSHOTS + outgoing + tables + api + api_last + peers + admin
    }

    #[test]
    fn no_limit_is_ever_passed_and_more_of_it_never_gives_anybody_less() {
        for listens in [MEMBER, ALONE, Listens { api: 1, ..MEMBER }, Listens { admin: false, ..MEMBER }] {
            let mut before: Option<Descriptors> = None;
            for limit in 0..20_000 {
                match (Descriptors::divide(limit, listens), before) {
                    (Ok(shares), before) => {
                        assert!(all(listens, &shares) <= limit, "{limit}: {shares:?}");
                        assert!(shares.api >= API_LEAST.min(listens.api) && shares.tables >= TABLES.least);
                        assert!(!listens.peers || shares.peers >= PEERS.least);
                        assert!(!listens.admin || shares.admin >= ADMIN.least);
                        let less = before.is_some_and(|before| {
                            shares.tables < before.tables || shares.peers < before.peers || shares.admin < before.admin
                        });
                        assert!(!less, "{limit}: {shares:?} after {before:?}");
                    }
                    (Err(too_few), None) => assert!(too_few.limit < too_few.needed && limit == too_few.limit),
                    (Err(too_few), Some(_)) => panic!("{limit}: {too_few}"),
                }
                before = Descriptors::divide(limit, listens).ok();
            }
        }
    }

    #[test]
    fn the_shares_of_usual_limits() {
        for (limit, listens, tables, api, peers, admin) in [
            (600, MEMBER, 117, 168, 66, 25),
            (1_024, ALONE, 249, 568, 0, 0),
            (1_024, MEMBER, 223, 376, 119, 51),
            (20_000, MEMBER, 512, 16_384, 256, 256),
            (usize::MAX, MEMBER, 512, 16_384, 256, 256),
        ] {
            let shares = Descriptors::divide(limit, listens).unwrap();
            let api_last = (api / API_LAST_PART).min(API_LAST_MOST);
            assert_eq!(shares, Descriptors { tables, api, api_last, peers, admin }, "{limit}");
        }
    }

    #[test]
    fn a_limit_below_what_a_node_needs_names_the_one_that_it_needs() {
        let needed = Descriptors::divide(0, MEMBER).unwrap_err().needed;
        assert!(Descriptors::divide(needed, MEMBER).is_ok());
        let too_few = Descriptors::divide(needed - 1, MEMBER).unwrap_err();
        assert!(too_few.to_string().contains(&format!("open {} files", needed - 1)), "{too_few}");
        assert!(too_few.to_string().contains(&format!("needs {needed} at least")), "{too_few}");
    }
}
