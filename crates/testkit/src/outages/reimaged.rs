//! A node comes back with an empty disk.

use std::time::Duration;

use super::scene::{CALM, MINUTE, NODES, Set};
use super::{OutagesOptions, Tell, Told};
use crate::Fleet;

const GOES: &str = "n1";
/// How long a voter may be away before somebody is woken: two nodes serve, and one more loss would end that. A reboot is
/// shorter.
const WAKES: Duration = Duration::from_secs(4 * 60);

pub(super) fn play(options: &OutagesOptions, tell: Tell<'_>) -> Result<Told, String> {
    let set = Set::of(options, Fleet::of(&options.program, NODES.len()), None, None)?;
    let mut scene = set.begin(tell);
    scene
        .about
        .push("n1 stops, loses its disk, and stays away until the page for that has come; then it starts.".into());
    let id = |fleet: &mut Fleet| fleet.status("n2").and_then(|status| Some(status.voter(GOES)?.id.clone()));
    let before = id(&mut scene.fleet);

    scene.phase("n1 is away");
    let gone = scene.happens("n1 is taken away to be reimaged");
    scene.fleet.stop(GOES);
    scene.fleet.reimage(GOES);
    scene.must_fire("SessileNodeDown", gone, MINUTE)?;
    scene.must_fire("SessileOneLossStopsWrites", gone, WAKES)?;

    scene.phase("n1 comes back");
    scene.happens("n1 starts with an empty disk");
    scene.fleet.start(GOES);
    let formed = scene.fleet.wait_until_formed();
    scene.load.is_back(GOES);
    let after = id(&mut scene.fleet);
    scene.happens("n1 is a voter again, under a new id; nobody typed a command");
    let rejoined = formed.voters() == NODES && formed.members.len() == NODES.len() && before != after;
    let seen = format!("the voters are {}, of {} members", formed.voters().join(", "), formed.members.len());
    scene.promises.note("the node takes its own place by itself", rejoined, seen);
    scene.must_end("SessileNodeDown")?;
    scene.must_end("SessileOneLossStopsWrites")?;
    scene.phase("all is well again");
    scene.go_on(CALM);

    Ok(scene.close()?.nobody_noticed(&["SessileOneLossStopsWrites"]))
}
