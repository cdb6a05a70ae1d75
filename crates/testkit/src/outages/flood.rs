//! Twelve thousand reads a second, most of what is not there.

use std::fmt::Write as _;
use std::thread;
use std::time::Duration;

use super::scene::{CALM, MINUTE, NODES, Set, places};
use super::timeline::Gauge;
use super::{OutagesOptions, Tell, Told, wall};
use crate::Fleet;
use crate::performance::generator::{Generator, Order, WINDOW, Work};

/// Of that day, a second.
const READS: u32 = 12_000;
/// Of these, so many find nothing.
const MISSES_PERCENT: u64 = 85;
/// Sessions that are there to be found.
const STORED: u64 = 3_000;
const VALUE_BYTES: usize = 1_700;
/// For how long it is looked at how many reads this machine can do, clients and nodes on the same processors.
const MEASURED: Duration = Duration::from_secs(10);
/// Of these, so many are asked for: a machine that is full is another outage, and this one may be busy with others.
const USED_PERCENT: u64 = 70;
const CONNECTIONS: usize = 96;
const DEPTH: usize = 4;
/// For how long it goes on. The real one went on for 44 minutes.
const LASTS: Duration = Duration::from_secs(120);
/// Reads of all wikis on a normal day, a second: those that find something, and those that do not.
const NORMAL: [(&str, f64); 2] = [("200", 1_700.0), ("404", 100.0)];
/// Prometheus is given so much of the past, in seconds: what the alert compares with is an hour ago.
const PAST: std::ops::RangeInclusive<u32> = 2_400..=4_800;

pub(super) fn play(options: &OutagesOptions, tell: Tell<'_>) -> Result<Told, String> {
    let mut fleet = Fleet::of(&options.program, NODES.len());
    fleet.start_all();
    fleet.wait_until_formed();
    let addresses: Vec<_> = places(&fleet).into_iter().map(|(_, address)| address).collect();
    let stored = Order { count: STORED, ..Order::writes(addresses.clone(), VALUE_BYTES) };
    Generator::start(stored).end()?;
    let work = Work::Get { of: STORED * 100 / (100 - MISSES_PERCENT) };
    let order = Order { work, connections: CONNECTIONS, depth: DEPTH, first: 1, ..Order::writes(addresses, 0) };
    // Before Prometheus looks: it is no part of the story.
    let most = most_a_second(&order)?;
    let rate = READS.min(u32::try_from(most * USED_PERCENT / 100).unwrap_or(READS)).max(1);
    let part = f64::from(rate) / f64::from(READS);
    let set = Set::of(options, fleet, None, Some(&a_normal_day(wall::seconds(), part)))?;

    let mut scene = set.begin(tell);
    scene.about.push(format!(
        "{rate} reads a second come on top of the mix, whether they are answered or not, {MISSES_PERCENT} % of them for \
         sessions that are not there. That is {:.0} % of the {READS} of that day; this machine, which carries clients and \
         nodes, was seen to answer {most} a second. Prometheus was given a normal day's reads for the hour before, in the \
         same proportion.",
        part * 100.0
    ));
    scene.phase("the flood");
    let began = scene.happens(format!("{rate} more reads a second begin"));
    let mut flood = Generator::start(Order { rate: Some(rate), ..order });
    scene.must_fire("SessileManyMisses", began, MINUTE)?;
    scene.go_on((began + LASTS).saturating_sub(scene.load.elapsed()));
    let totals = flood.stop()?;
    scene.happens("the flood ends");
    let windows = flood.windows();
    let longest = windows.iter().map(|window| window.longest).max().unwrap_or_default();
    let found =
        format!("{} of {}, the longest wait {} ms", totals.failures_by_status(), totals.answered, longest.as_millis());
    scene.promises.note("no read of the flood fails", totals.failures() == 0, found);
    let missed = totals.absent * 100 / totals.answered.max(1);
    scene.promises.note("most find nothing", missed.abs_diff(MISSES_PERCENT) <= 2, format!("{missed} %"));
    let asked = totals.answered * 100 / (u64::from(rate) * LASTS.as_secs());
    scene.promises.note("as many came as were to come", asked >= 95, format!("{asked} %"));
    let at = (0..).map(|nth: u32| (began + WINDOW * nth).as_secs_f64());
    #[expect(clippy::cast_precision_loss, reason = "for a picture")]
    let a_second = windows.iter().map(|window| window.answered as f64 / WINDOW.as_secs_f64());
    let points = at.zip(a_second).collect();
    scene.gauge = Some(Gauge { title: "reads of the flood a second".into(), points });
    scene.phase("all is well again");
    scene.must_end("SessileManyMisses")?;
    scene.go_on(CALM);

    Ok(scene.close()?.nobody_noticed(&[]))
}

/// How many such reads a second are answered when nobody waits in between.
fn most_a_second(order: &Order) -> Result<u64, String> {
    let mut load = Generator::start(order.clone());
    thread::sleep(MEASURED);
    let answered = load.stop()?.answered;
    Ok(answered / MEASURED.as_secs())
}

/// What the nodes would have shown an hour before, in the OpenMetrics text format.
fn a_normal_day(now: f64, part: f64) -> String {
    let mut text = "# TYPE http_requests counter\n".to_owned();
    for node in NODES {
        for (code, reads) in NORMAL {
            let a_second = reads * part / NODES.len() as f64;
            for ago in PAST.rev().step_by(15) {
                let count = f64::from(PAST.end() - ago) * a_second;
                // A String takes all that is written to it.
                let _ = writeln!(
                    text,
                    "http_requests_total{{job=\"sessile\",instance=\"{node}\",method=\"GET\",code=\"{code}\"}} {count:.0} {:.0}",
                    now - f64::from(ago)
                );
            }
        }
    }
    text + "# EOF\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_normal_day_ends_before_the_flood_and_covers_an_hour_before() {
        let text = a_normal_day(10_000.0, 0.5);
        let of = "http_requests_total{job=\"sessile\",instance=\"n2\",method=\"GET\",code=\"200\"} ";
        let samples: Vec<_> = text.lines().filter_map(|line| line.strip_prefix(of)).collect();
        let [first, .., last] = &*samples else { panic!("{text}") };
        assert_eq!((*first, *last), ("0 5200", "680000 7600"));
        assert!(text.ends_with("# EOF\n"));
    }
}
