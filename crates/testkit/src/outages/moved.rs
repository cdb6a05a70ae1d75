//! A scheduler moves the nodes to other hosts, one after the other: new addresses, the same disks.

use std::collections::BTreeSet;
use std::time::Duration;

use super::scene::{CALM, MINUTE, NODES, Set, places, wait};
use super::{OutagesOptions, Tell, Told};
use crate::{Fleet, Network};

/// The hosts that they are moved to.
const OTHERS: [&str; 3] = ["h4", "h5", "h6"];
/// The longest that nodes may have to run until none of them counts as started lately: ten minutes, a scrape and an
/// evaluation.
const SETTLED: Duration = Duration::from_secs(700);
/// What a scheduler lets pass between two moves.
const BETWEEN: Duration = Duration::from_secs(10);

pub(super) fn play(options: &OutagesOptions, tell: Tell<'_>) -> Result<Told, String> {
    let hosts = [&NODES[..], &OTHERS].concat();
    let network = Network::of(&hosts).map_err(|error| format!("no network, which needs root and `ip`: {error}"))?;
    let fleet = Fleet::on(&network, &options.program, NODES.len());
    let set = Set::of(options, fleet, Some(network), None)?;
    tell("the nodes run for ten minutes first, so that their own start is no news");
    wait(SETTLED, "no node has started within ten minutes", || {
        let lately = set.prometheus.value("count(time() - process_start_time_seconds{job=\"sessile\"} < 600)")?;
        Ok(lately.is_none() && !set.prometheus.fires("SessileNodesRestart")?)
    })?;
    let ids = members(&set.fleet);
    let mut scene = set.begin(tell);
    scene.about.push(
        "Each node is stopped, and started on another host with its disk and another address for peers and for clients; \
         nobody tells the others. The next one goes when /readyz of the one before says yes, as a disruption budget of one \
         wants it."
            .into(),
    );
    let mut started = Vec::new();
    for (name, host) in NODES.into_iter().zip(OTHERS) {
        scene.phase(&format!("{name} is moved"));
        let from = scene.fleet.http(name);
        scene.happens(format!("{name} is told to stop (SIGTERM)"));
        scene.fleet.stop(name);
        let host = scene.network.as_ref().ok_or("there is no network")?.host(host).clone();
        scene.fleet.move_to_host(name, host);
        scene.prometheus.scrapes(&places(&scene.fleet))?;
        let to = scene.fleet.http(name);
        started.push(scene.happens(format!("{name} starts at {} instead of {}", to.ip(), from.ip())));
        scene.fleet.start(name);
        scene.fleet.wait_until_formed();
        scene.load.moves(name, to);
        scene.load.is_back(name);
        scene.happens(format!("{name} is ready, and all three agree on where it is"));
        scene.go_on(BETWEEN);
    }
    scene.must_fire("SessileNodesRestart", started[1], MINUTE)?;
    let after = members(&scene.fleet);
    let same = after == ids && after.len() == NODES.len();
    scene.promises.note("the disk is the node", same, format!("{} members, under the ids of before", after.len()));
    scene.phase("all is well again");
    scene.go_on(CALM);

    Ok(scene.close()?.nobody_noticed(&[]))
}

/// Their ids.
fn members(fleet: &Fleet) -> BTreeSet<String> {
    let members = fleet.status("n1").map(|status| status.members).unwrap_or_default();
    members.into_iter().map(|member| member.id).collect()
}
