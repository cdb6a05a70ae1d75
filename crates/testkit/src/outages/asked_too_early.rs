//! A node that was restarted is asked before it has found the others.

use super::insistent::{Insistent, PATIENCE};
use super::scene::{CALM, MINUTE, NODES, Set};
use super::{OutagesOptions, Tell, Told};
use crate::{Fleet, Network, PATIENCE as START};

const RESTARTED: &str = "n3";

pub(super) fn play(options: &OutagesOptions, tell: Tell<'_>) -> Result<Told, String> {
    let network = Network::of(&NODES).map_err(|error| format!("no network, which needs root and `ip`: {error}"))?;
    let fleet = Fleet::on(&network, &options.program, NODES.len());
    let set = Set::of(options, fleet, Some(network), None)?;
    Insistent::store(set.fleet.http("n1"))?;
    let mut scene = set.begin(tell);
    scene.about.push(
        "n3 is restarted, and the network between it and the others is cut until it was seen what it does. Clients go by \
         /readyz, as behind a balancer; one more goes by nothing and asks n3 five times a second."
            .into(),
    );

    scene.phase("n3 is restarted");
    scene.happens("n3 is told to stop (SIGTERM)");
    scene.fleet.stop(RESTARTED);
    cut(&scene.network, Network::cut)?;
    scene.fleet.start(RESTARTED);
    scene.fleet.wait_until("n3 answers", |fleet| fleet.readiness(RESTARTED));

    scene.phase("n3 runs and reaches nobody");
    let asked = scene.happens("n3 answers again, and does not reach n1 and n2; it is asked all the same");
    let insistent = Insistent::ask(scene.fleet.http(RESTARTED));
    let ready = scene.fleet.readiness(RESTARTED);
    scene.promises.note("/readyz says that it is not ready", ready == Some(503), format!("{ready:?}"));
    scene.must_fire("SessileNotReadyAndAsked", asked, MINUTE)?;
    let told = insistent.stop()?;
    let only_refused = told.statuses.keys().eq([&503]);
    scene.promises.note(
        "who asks it all the same is refused, and told neither an old session nor that there is none",
        only_refused,
        format!("answers by status {:?}", told.statuses),
    );
    scene.promises.note(
        "and is refused within the 3 s that MediaWiki waits",
        told.longest < PATIENCE,
        format!("the longest wait was {} ms", told.longest.as_millis()),
    );

    scene.phase("n3 finds the others");
    let mended = scene.happens("the network is mended");
    cut(&scene.network, Network::mend)?;
    scene.fleet.wait_until_formed();
    let ready = scene.happens("n3 is ready, and its clients come back to it");
    scene.load.is_back(RESTARTED);
    let took = ready.saturating_sub(mended);
    scene.promises.note("it serves again by itself", took < START, format!("{:.1} s later", took.as_secs_f64()));
    scene.must_end("SessileNotReadyAndAsked")?;
    scene.phase("all is well again");
    scene.go_on(CALM);

    Ok(scene.close()?.nobody_noticed(&["SessileNotReadyAndAsked", "SessileErrors"]))
}

/// Does that between the restarted node and each other one, in both directions.
fn cut(network: &Option<Network>, does: impl Fn(&Network, &str, &str) -> std::io::Result<()>) -> Result<(), String> {
    let network = network.as_ref().ok_or("there is no network")?;
    let others = NODES.iter().filter(|name| **name != RESTARTED);
    for other in others {
        let done = does(network, RESTARTED, other).and_then(|()| does(network, other, RESTARTED));
        done.map_err(|error| format!("the network: {error}"))?;
    }
    Ok(())
}
