//! `sessile metrics`: what a node may show, for people and programs that build on it.

use std::process::ExitCode;

use anyhow::Context;
use serde_json::{Value, json};
use sessile_http::declared::{Label, Metric, Shown, Values};

use super::{MetricsOf, all};
use crate::output;

/// Prints every metric that a node may show.
pub(crate) fn run(of: &MetricsOf) -> anyhow::Result<ExitCode> {
    let text = if of.json { format!("{:#}\n", document()) } else { page() };
    output::to_stdout(&text).context(output::UNWRITABLE)?;
    Ok(ExitCode::SUCCESS)
}

/// For people: two or three lines each.
pub(super) fn page() -> String {
    let paragraph = |metric: &Metric| {
        let Metric { name, kind, unit, help, .. } = *metric;
        let unit = if unit.word().is_empty() { String::new() } else { format!(", {}", unit.word()) };
        let shown = when(metric).map(|when| format!(", {when}")).unwrap_or_default();
        let labels = if metric.labels.is_empty() { String::new() } else { labels(metric) };
        format!("{name}\n    {}{unit}{shown}\n    {}\n{labels}", kind.word(), help.trim_end_matches('.'))
    };
    all().into_iter().map(paragraph).collect::<Vec<_>>().join("\n")
}

fn labels(metric: &Metric) -> String {
    let described = |label: &Label| match label.values {
        Values::Of(values) => format!("{} ({})", label.name, values.join(", ")),
        Values::AtMost(most) => format!("{} (at most {most})", label.name),
        Values::AsBefore => format!("{} (one for each of those)", label.name),
    };
    let described: Vec<String> = metric.labels.iter().map(described).collect();
    format!("    by {}; at most {} series\n", described.join(", "), metric.max_series())
}

fn when(metric: &Metric) -> Option<&'static str> {
    match metric.shown {
        Shown::Always => None,
        Shown::Member => Some("once the node is a member"),
        Shown::When(when) => Some(when),
    }
}

/// For programs.
pub(super) fn document() -> Value {
    let metric = |metric: &Metric| {
        json!({
            "name": metric.name,
            "type": metric.kind.word(),
            "unit": metric.unit.word(),
            "help": metric.help.trim_end_matches('.'),
            "labels": metric.label_names(),
            "max_series": metric.max_series(),
            "shown": when(metric).unwrap_or("always"),
        })
    };
    all().into_iter().map(metric).collect()
}
