use crate::status::amounts::{bytes, rate};
use crate::status::markup::{Row, escaped, section, table};
use crate::status::seen::{NamespaceNow, Seen};

const HEADINGS: [&str; 7] =
    ["Name", "Live keys", "Bytes", "Reads a second", "Writes a second", "Renewals a second", "Deletes a second"];

/// The namespaces, with what they hold in the whole cluster and what is asked of them at this node.
pub(super) fn namespaces(seen: &Seen) -> String {
    let row = |namespace: &NamespaceNow| {
        let mut name = escaped(&namespace.name);
        if namespace.gives_way {
            name += " <span class=\"bad\">(writes are refused)</span>";
        }
        let rates = match namespace.rates {
            Some(rates) => rates.map(rate),
            None => [const { String::new() }; 4].map(|_| "-".to_owned()),
        };
        let cells = [name, namespace.keys.to_string(), bytes(namespace.bytes)].into_iter().chain(rates).collect();
        Row { id: Some(format!("namespace-{}", namespace.name)), cells }
    };
    let words = "<p class=\"soft\">Keys and bytes are the cluster's; rates are this node's, of the last minute.</p>\n";
    let rows = seen.namespaces.iter().map(row);
    section("namespaces", "Namespaces", &(words.to_owned() + &table("Namespaces", &HEADINGS, rows)))
}
