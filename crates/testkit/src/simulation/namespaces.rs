//! Which namespaces the clusters of a simulation have.

use sessile_core::{BaseUri, NamespaceName, NamespaceSettings, Renewal};

/// The namespaces, by name, with the paths that they are under. An operator truncates the second now and then, and reads renew
/// what is in it.
pub(super) const NAMESPACES: [(&str, &str); 2] = [("sessions", "/sessions/v1/"), ("second", "/second/v1/")];
/// What clients show, and what the second wants as soon as an operator has said so.
pub(super) const TOKEN: &str = "a-token-of-the-simulation";
/// How many keys the second may have: more than clients share, and fewer than a crowd brings with it.
const MAX_KEYS: u64 = 12;
/// What the keys of clients begin with that are in the second.
pub(super) const RENEWED: &str = "1/";

/// As every node's configuration says them.
pub(super) fn settings() -> Vec<NamespaceSettings> {
    NAMESPACES.map(settings_of).into()
}

fn settings_of((name, base_uri): (&str, &str)) -> NamespaceSettings {
    let name = NamespaceName::new(name).unwrap_or_else(|_| NamespaceName::sessions());
    let is_first = name == NamespaceName::sessions();
    let (renewal, max_keys) = if is_first { (Renewal::Never, 0) } else { (Renewal::Half, MAX_KEYS) };
    NamespaceSettings {
        renewal,
        max_keys,
        ..NamespaceSettings::unlimited(name, BaseUri::new(base_uri).unwrap_or_default())
    }
}
