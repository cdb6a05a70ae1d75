//! Every key that a configuration may have, declared once: what it takes, its default, its bounds and why, what it means. The
//! parser reads what a key takes from here, `docs/configuration.md` is made of it, and the variables of the environment are
//! named after it.

mod backup;
mod cluster;
mod http;
mod key;
mod listeners;
mod namespaces;
mod storage;
mod top;
mod traces;

pub(super) use cluster::DEFAULT_CLUSTER_LISTEN;
pub(super) use key::{Fallback, Key, KeyBlock, Takes};
pub(super) use namespaces::OF_SESSIONS;
pub(super) use top::{DEFAULT_MAX_TTL, MAX_SERVICE_NAME_BYTES, MAX_SOCKET_PATH_BYTES};

/// Every block. A key that is not here is an error.
pub(super) static BLOCKS: [KeyBlock; 11] = [
    top::TOP,
    namespaces::NAMESPACES,
    listeners::TLS,
    storage::STORAGE,
    http::HTTP,
    http::SHUTDOWN,
    cluster::CLUSTER,
    listeners::ADMIN,
    listeners::ADMIN_TLS,
    backup::BACKUP,
    traces::TRACES,
];

/// The block of that name.
pub(super) fn block(name: &str) -> Option<&'static KeyBlock> {
    BLOCKS.iter().find(|block| block.name == name)
}
