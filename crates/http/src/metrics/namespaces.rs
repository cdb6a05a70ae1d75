use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use http::Method;
use sessile_core::{MAX_NAMESPACES, NamespaceId};

/// How many namespaces are counted from the start of the process to its end. An id is never given again, so those that were
/// dropped keep their places. Namespaces beyond that are served and not counted.
const PLACES: usize = 4 * MAX_NAMESPACES;

/// How many places are tried for one namespace. Ids are consecutive, so two meet at one place only when more than [`PLACES`]
/// ids lie between them.
const TRIES: usize = 8;

/// What a request asks of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// GET and HEAD.
    Read,
    /// POST and PUT.
    Write,
    /// PATCH.
    Renew,
    /// DELETE.
    Delete,
}

impl Operation {
    /// All of them, in the order in which they are counted.
    pub const ALL: [Self; 4] = [Self::Read, Self::Write, Self::Renew, Self::Delete];

    /// The operations as the values of a metric's label, in the same order.
    pub const LABELS: [&'static str; 4] = ["read", "write", "renew", "delete"];

    /// What a request with that method asks; `None` for a method that the session API does not have.
    pub(crate) fn of(method: &Method) -> Option<Self> {
        match *method {
            Method::GET | Method::HEAD => Some(Self::Read),
            Method::POST | Method::PUT => Some(Self::Write),
            Method::PATCH => Some(Self::Renew),
            Method::DELETE => Some(Self::Delete),
            _ => None,
        }
    }
}

/// Requests by namespace and operation. A request counts in one step of memory, without a lock.
pub(super) struct NamespaceRequests(Box<[OnceLock<Place>]>);

struct Place {
    namespace: NamespaceId,
    requests: [AtomicU64; Operation::ALL.len()],
}

impl Default for NamespaceRequests {
    fn default() -> Self {
        Self((0..PLACES).map(|_| OnceLock::new()).collect())
    }
}

impl NamespaceRequests {
    pub(super) fn count(&self, namespace: NamespaceId, operation: Operation) {
        let new = || Place { namespace, requests: Default::default() };
        if let Some(place) = self.tries(namespace).map(|p| p.get_or_init(new)).find(|p| p.namespace == namespace) {
            place.requests[operation as usize].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many requests there were, in the order of [`Operation::ALL`].
    pub(super) fn of(&self, namespace: NamespaceId) -> [u64; Operation::ALL.len()] {
        let place = self.tries(namespace).filter_map(OnceLock::get).find(|place| place.namespace == namespace);
        place.map_or([0; 4], |place| place.requests.each_ref().map(|count| count.load(Ordering::Relaxed)))
    }

    fn tries(&self, namespace: NamespaceId) -> impl Iterator<Item = &OnceLock<Place>> {
        let (before, from) = self.0.split_at(namespace.number() as usize % PLACES);
        from.iter().chain(before).take(TRIES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_namespace_and_what_does_not_fit_is_left_out() {
        let requests = NamespaceRequests::default();
        let id = |number: usize| NamespaceId::new(u32::try_from(number).unwrap());
        requests.count(id(1), Operation::Read);
        requests.count(id(1), Operation::Read);
        requests.count(id(1), Operation::Delete);
        requests.count(id(1 + PLACES), Operation::Write);
        assert_eq!(requests.of(id(1)), [2, 0, 0, 1]);
        assert_eq!(requests.of(id(1 + PLACES)), [0, 1, 0, 0], "they meet at one place");
        assert_eq!(requests.of(id(2)), [0; 4]);
        for number in 1..=2 * PLACES {
            requests.count(id(number), Operation::Renew);
        }
        assert_eq!((requests.of(id(1)), requests.of(id(2 * PLACES))), ([2, 0, 1, 1], [0; 4]));
    }
}
