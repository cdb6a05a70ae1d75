use std::collections::BTreeMap;

use serde_json::Value;

/// How far two samples of one state are from each other, in seconds, with a look each second.
const ONE_RUN: f64 = 1.5;
/// An alert whose last sample is older than that when the replay ends has ended.
const STILL_THERE: f64 = 2.5;

/// An alert that fired.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Alert {
    pub(super) name: String,
    /// Whom it names, if anybody.
    pub(super) of: String,
    /// Whether somebody is woken.
    pub(super) pages: bool,
    /// Since when its condition held, in seconds since the beginning; as `fired`, if it waits for nothing.
    pub(super) pending: f64,
    pub(super) fired: f64,
    /// `None` if it still fires.
    pub(super) ended: Option<f64>,
}

/// All that fired, by when they did, from the series `ALERTS` that Prometheus writes, looked at each second from `begin` to
/// `end`.
pub(super) fn fired(series: &Value, begin: f64, end: f64) -> Vec<Alert> {
    let mut runs: BTreeMap<_, [Vec<Run>; 2]> = BTreeMap::new();
    for of in series.as_array().into_iter().flatten() {
        let labels = &of["metric"];
        let text = |name: &str| labels[name].as_str().unwrap_or_default().to_owned();
        let whom = ["instance", "member", "namespace"].map(text).into_iter().find(|text| !text.is_empty());
        let key = (text("alertname"), whom.unwrap_or_default(), text("severity") == "page");
        let state = usize::from(text("alertstate") == "firing");
        runs.entry(key).or_default()[state].extend(runs_of(&of["values"]));
    }
    let mut fired = Vec::new();
    for ((name, of, pages), [pending, firing]) in runs {
        for (first, last) in firing {
            let before = pending.iter().find(|(_, until)| (first - until).abs() <= ONE_RUN);
            fired.push(Alert {
                name: name.clone(),
                of: of.clone(),
                pages,
                pending: before.map_or(first, |(since, _)| *since) - begin,
                fired: first - begin,
                ended: (end - last > STILL_THERE).then_some(last - begin),
            });
        }
    }
    fired.sort_by(|one, other| one.fired.total_cmp(&other.fired));
    fired
}

/// From when to when there were samples without a gap.
type Run = (f64, f64);

fn runs_of(values: &Value) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for at in values.as_array().into_iter().flatten().filter_map(|sample| sample[0].as_f64()) {
        match runs.last_mut() {
            Some((_, last)) if at - *last <= ONE_RUN => *last = at,
            _ => runs.push((at, at)),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_alert_is_told_with_its_beginning_and_its_end() {
        let samples = |range: std::ops::Range<u32>| range.map(|at| json!([at, "1"])).collect::<Vec<_>>();
        let labels = |state| json!({"alertname": "Down", "alertstate": state, "severity": "page", "instance": "n1"});
        let twice = [samples(130..140), samples(190..201)].concat();
        let series = json!([
            {"metric": labels("firing"), "values": twice},
            {"metric": labels("pending"), "values": samples(115..130)},
            {"metric": {"alertname": "Slow", "alertstate": "pending", "severity": "ticket"}, "values": samples(100..200)},
        ]);
        let alert =
            |pending, fired, ended| Alert { name: "Down".into(), of: "n1".into(), pages: true, pending, fired, ended };
        // What was only pending has told nobody anything.
        assert_eq!(fired(&series, 100.0, 201.0), [alert(15.0, 30.0, Some(39.0)), alert(90.0, 90.0, None)]);
        assert_eq!(fired(&json!(null), 0.0, 1.0), []);
    }
}
