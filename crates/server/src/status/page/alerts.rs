use sessile_cluster::AlertKind;

use crate::status::health::{Health, judge, lags, silence};
use crate::status::markup::{escaped, section};
use crate::status::row::label;
use crate::status::seen::Seen;

/// The pages of the runbook to which something on the status page leads, by the names of their alerts.
const DOWN: &str = "SessileDown";
const NOT_READY: &str = "SessileNodeNotReady";
const ONE_LOSS: &str = "SessileOneLossStopsWrites";
const SILENT: &str = "SessileMemberSilent";
const LAGS: &str = "SessileMemberLags";
const GIVES_WAY: &str = "SessileNamespaceGivesWay";

/// With fewer voters than these, one loss stops writes even when all is well, and there is nothing to do.
const VOTERS_THAT_SPARE_ONE: u64 = 3;

/// One thing to look at.
struct ToLookAt {
    /// Whether reads or writes fail now.
    is_bad: bool,
    text: String,
    /// The alert of the runbook that says what to do.
    page: &'static str,
}

/// The page of what the cluster says in sentences.
fn page_of(kind: AlertKind) -> &'static str {
    match kind {
        AlertKind::DiskFull => "SessileDiskFull",
        AlertKind::DiskLow => "SessileDiskLow",
        AlertKind::StateDiffers => "SessileStateDiffers",
        AlertKind::TimeWaits => "SessileTimeWaits",
        AlertKind::TimeJumped => "SessileTimeJumped",
        AlertKind::Other => "SessileLooksForAnOperator",
    }
}

/// What there is to look at, each with its page of the runbook.
pub(super) fn alerts(seen: &Seen) -> String {
    let all = to_look_at(seen);
    if all.is_empty() {
        return section("alerts", "To look at", "<p>Nothing.</p>\n");
    }
    let item = |ToLookAt { is_bad, text, page }: &ToLookAt| {
        let class = if *is_bad { "bad" } else { "warn" };
        let (text, anchor) = (escaped(text), page.to_lowercase());
        format!("<li class=\"{class}\">{text} <a href=\"runbook#{anchor}\">Runbook: {page}</a></li>\n")
    };
    let items: String = all.iter().map(item).collect();
    section("alerts", "To look at", &format!("<ul class=\"alerts\">\n{items}</ul>\n"))
}

fn to_look_at(seen: &Seen) -> Vec<ToLookAt> {
    let (health, sentence) = judge(&seen.status);
    let status = &seen.status;
    let mut all = Vec::new();
    let mut look = |is_bad, page, text| all.push(ToLookAt { is_bad, text, page });
    match health {
        Health::NoQuorum => look(true, DOWN, sentence),
        Health::NotReady => look(true, NOT_READY, sentence),
        Health::Healthy | Health::Degraded => {}
    }
    if health != Health::NoQuorum {
        if seen.quorum.spare == 0 && seen.quorum.voters >= VOTERS_THAT_SPARE_ONE {
            look(false, ONE_LOSS, "one more loss stops every read and write".to_owned());
        }
        for member in status.members.iter().filter(|member| !member.reachable) {
            look(false, SILENT, silence(status, &[member]));
        }
    }
    for member in status.members.iter().filter(|member| member.voter && lags(member)) {
        look(false, LAGS, format!("{} lags", label(status, member)));
    }
    for namespace in seen.namespaces.iter().filter(|namespace| namespace.gives_way) {
        let text = format!("writes to the namespace {} are refused, because disks fill up", namespace.name);
        look(true, GIVES_WAY, text);
    }
    for alert in &seen.alerts {
        let is_bad = matches!(alert.kind, AlertKind::DiskFull | AlertKind::TimeWaits);
        look(is_bad, page_of(alert.kind), alert.text.clone());
    }
    all
}

#[cfg(test)]
mod tests {
    use sessile_cluster::Alert;

    use super::*;
    use crate::status::examples::{seen, without};

    /// What is to be looked at, with the pages.
    fn of(seen: &Seen) -> Vec<(String, &'static str)> {
        to_look_at(seen).into_iter().map(|one| (one.text, one.page)).collect()
    }

    #[test]
    fn what_is_to_be_looked_at_leads_to_its_page_of_the_runbook() {
        assert_eq!(of(&seen(3)), []);
        assert_eq!(of(&seen(1)), [], "a cluster of one cannot lose any, and is well");
        let mut silent = seen(3);
        (silent.status, silent.quorum.healthy, silent.quorum.spare) = (without(silent.status, &[3]), 2, 0);
        let found = of(&silent);
        assert_eq!(found[0], ("one more loss stops every read and write".to_owned(), ONE_LOSS));
        assert_eq!(found[1], ("n3 has not answered for 12 s".to_owned(), SILENT));
        silent.status = without(silent.status, &[2]);
        let found = of(&silent);
        assert!(found.len() == 1 && found[0].1 == DOWN && found[0].0.starts_with("no quorum: "), "{found:?}");

        let mut others = seen(3);
        others.status.members[2].behind_ms = 60_000;
        others.status.ready = false;
        others.namespaces[0].gives_way = true;
        others.alerts = vec![Alert { kind: AlertKind::DiskLow, text: "the disk of n2 has 1 MiB left".to_owned() }];
        let pages: Vec<_> = of(&others).into_iter().map(|(_, page)| page).collect();
        assert_eq!(pages, [NOT_READY, LAGS, GIVES_WAY, "SessileDiskLow"]);
    }

    #[test]
    fn every_page_is_in_the_runbook() {
        let kinds = [
            AlertKind::DiskFull,
            AlertKind::DiskLow,
            AlertKind::StateDiffers,
            AlertKind::TimeWaits,
            AlertKind::TimeJumped,
            AlertKind::Other,
        ];
        let runbook = crate::status::runbook::render();
        for page in kinds.map(page_of).into_iter().chain([DOWN, NOT_READY, ONE_LOSS, SILENT, LAGS, GIVES_WAY]) {
            assert!(runbook.contains(&format!("<h3 id=\"{}\">{page}</h3>", page.to_lowercase())), "{page}");
        }
    }
}
