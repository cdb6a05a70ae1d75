//! What a node's `/metrics` say.

use crate::{Client, Fleet};

/// Bytes of keys and values of all sessions that a node counts, those among them that have expired and are not dropped
/// from the counts yet. A node that counts none has no series for it. `None` if it does not answer.
pub(super) fn counted_bytes(fleet: &Fleet, node: &str) -> Option<f64> {
    sum_at(fleet, node, "sessile_bytes")
}

/// The sum of all series of that name at a node. `None` if it does not answer.
pub(crate) fn sum_at(fleet: &Fleet, node: &str, name: &str) -> Option<f64> {
    let mut client = Client::connect(fleet.http(node)).ok()?;
    let answer = client.request("GET", "/metrics", "", b"").ok().filter(|answer| answer.status == 200)?;
    Some(sum_of(&answer.text(), name))
}

/// The sum of all series of that name.
fn sum_of(metrics: &str, name: &str) -> f64 {
    let series =
        metrics.lines().filter_map(|line| line.strip_prefix(name)).filter_map(|rest| match rest.chars().next() {
            Some(' ') => rest.trim().parse::<f64>().ok(),
            // A label's value may hold a brace.
            Some('{') => rest.rsplit_once('}')?.1.trim().parse().ok(),
            _ => None,
        });
    // The sum of nothing would be -0.
    series.fold(0.0, |sum, value| sum + value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_of_one_name_are_added_and_no_others() {
        let metrics = "# HELP a_b x\na_b{group=\"}\"} 5\na_b{group=\"c d\"} 2.5\na_b_total 9\na 1\nempty{x=\"y\"} \n";
        assert_eq!((sum_of(metrics, "a_b"), sum_of(metrics, "a")), (7.5, 1.0));
        assert_eq!(format!("{} {}", sum_of(metrics, "b"), sum_of(metrics, "empty")), "0 0");
    }
}
