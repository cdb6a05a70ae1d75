//! The disks of all hosts fill up.

use std::time::Duration;

use super::scene::{CALM, MINUTE, NODES, Scene, Set, places, wait};
use super::timeline::Gauge;
use super::{OutagesOptions, Tell, Told, wall};
use crate::performance::generator::{Generator, Order, Work};
use crate::performance::scrape::sum_at;
use crate::{Ballast, Client, Fleet, SmallDisk};

/// A host's disk.
const DISK_BYTES: u64 = 9_000_000_000;
/// New sessions a second on top of the mix, each of so many bytes: with them the disk lasts for some hours.
const PACE: u32 = 100;
const VALUE_BYTES: usize = 1_800;
/// Sessions that are not over before the replay is.
const LONG: u32 = 86_400;
/// The trend is told from the tenth minute on, and the page waits for two more; the rest is for what a merge adds.
const FORETOLD: Duration = Duration::from_secs(16 * 60);
/// So long before it somebody is woken, at the least.
const HOURS_BEFORE: f64 = 2.0 * 3_600.0;
/// What is left to be written after the hours that are cut out.
const LEFT_BYTES: u64 = 250_000_000;
/// How many times as fast the last of it is written, and for how long these sessions live.
const FASTER: u32 = 12;
const SHORT: u32 = 150;
/// How long the last of it may take to be written.
const FILLS: Duration = Duration::from_secs(400);
/// How long it may take from the first refusal until writes are back: the sessions' lives, and then as long again.
const COMES_BACK: Duration = Duration::from_secs(2 * SHORT as u64 + 60);
/// Writes are back that are not refused for so long: near its end a disk has room for a moment whenever a merge is done.
const FOR_GOOD: Duration = Duration::from_secs(30);
/// A write whose fate tells whether there is room.
const PROBE: &str = "/sessions/v1/enwiki%3AMWSession%3A00000000000000000000000000000507";
const NO_ROOM: u16 = 507;
/// What may wake somebody: the trend, the refusals, and that requests are refused.
const PAGES: [&str; 3] = ["SessileDiskFillsUp", "SessileDiskFull", "SessileErrors"];

pub(super) fn play(options: &OutagesOptions, tell: Tell<'_>) -> Result<Told, String> {
    let mut fleet = Fleet::of(&options.program, NODES.len());
    let mut ballast = Vec::new();
    for name in NODES {
        // As the program has it.
        fleet.settings(name).reserve_mb = None;
        let disk = SmallDisk::mount_with(&fleet.disk(name), DISK_BYTES, None);
        let disk = disk.map_err(|error| format!("it needs root, loop devices and mkfs.ext4: {error}"))?;
        ballast.push(disk.ballast());
        fleet.keep(disk);
    }
    let set = Set::of(options, fleet, None, None)?;
    let began = wall::seconds();
    let mut scene = set.begin(tell);
    scene.about.push(format!(
        "Each node has a disk of {} GB. {PACE} new sessions a second come on top of the mix until the page has come that says \
         in how many hours the disks will be full. These hours are cut out: a file takes what the sessions would have taken \
         by then, but for {} MB. From there on sessions come {FASTER} times as fast, and live for {SHORT} s instead of a \
         day.",
        DISK_BYTES / 1_000_000_000,
        LEFT_BYTES / 1_000_000
    ));
    let next = foretold(&mut scene)?;
    hours_pass(&mut scene, &ballast)?;
    let (full, back) = refused_and_back(&mut scene, next)?;
    let given = ballast.iter().try_for_each(Ballast::goes);
    given.map_err(|error| format!("the file that fills a disk: {error}"))?;
    scene.happens("the disks are given room, as the page hours before had asked for");
    scene.must_end("SessileDiskFull")?;
    scene.phase("all is well again");
    scene.go_on(CALM);
    let room = "min(sessile_disk_free_bytes{job=\"sessile\"} - sessile_disk_limit_bytes{job=\"sessile\"}) / 1e6";
    let points = scene.prometheus.points(room, began, wall::seconds())?;
    scene.gauge = Some(Gauge { title: "MB until writes are refused".into(), points });

    let mut closed = scene.close()?;
    closed.only_writes_without_room_failed();
    closed.reads_and_logouts_were_served(full, back);
    closed.pages_only(&PAGES);
    Ok(closed.told())
}

/// Sessions come faster than they go, until somebody is woken hours before. Gives the number of the next session.
fn foretold(scene: &mut Scene<'_>) -> Result<u64, String> {
    scene.phase("the disks fill up");
    let began = scene.happens(format!("{PACE} new sessions a second begin"));
    let mut load = Generator::start(sessions(scene, 0, PACE, LONG));
    scene.must_fire("SessileDiskFillsUp", began, FORETOLD)?;
    let left = scene.prometheus.value("min(sessile_disk_seconds_left{job=\"sessile\"})")?.unwrap_or_default();
    let seen = format!("{:.1} hours before, by the page", left / 3_600.0);
    scene.promises.note("somebody is woken hours before", left.is_finite() && left >= HOURS_BEFORE, seen);
    let totals = load.stop()?;
    scene.promises.note("no write is refused before", totals.failures() == 0, totals.failures_by_status());
    Ok(load.next_key())
}

/// The hours until the disks are nearly full, in a moment.
fn hours_pass(scene: &mut Scene<'_>, ballast: &[Ballast]) -> Result<(), String> {
    for (name, ballast) in NODES.iter().zip(ballast) {
        let limit =
            sum_at(&scene.fleet, name, "sessile_disk_limit_bytes").ok_or_else(|| format!("{name} is silent"))?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bytes of a disk")]
        let leaves = limit as u64 + LEFT_BYTES;
        ballast.leaves(leaves).map_err(|error| format!("the file that fills the disk of {name}: {error}"))?;
    }
    scene.happens(format!("the hours are over: {} MB are left on each disk", LEFT_BYTES / 1_000_000));
    Ok(())
}

/// The last of it is written, writes are refused, and come back when sessions have expired. Gives when these were.
fn refused_and_back(scene: &mut Scene<'_>, next: u64) -> Result<(Duration, Duration), String> {
    let mut load = Generator::start(sessions(scene, next, PACE * FASTER, SHORT));
    wait(FILLS, "a write is refused for want of room", || Ok(load.totals().failed.contains_key(&NO_ROOM)))?;
    scene.phase("writes are refused");
    let full = scene.happens("the first write is refused (507)");
    scene.must_fire("SessileDiskFull", full, MINUTE)?;
    let totals = load.stop()?;
    let only = totals.failed.keys().all(|status| *status == NO_ROOM);
    scene.promises.note("what is refused is told 507, and nothing else fails", only, totals.failures_by_status());

    // Users go on logging in.
    let mut load = Generator::start(sessions(scene, load.next_key(), PACE, LONG));
    let mut refused = (0, scene.load.elapsed());
    let back = wait(COMES_BACK, "no node refuses a write for a while", || {
        let now = load.totals().failures();
        if now > refused.0 || !every_node_takes_a_write(scene) {
            refused = (now, scene.load.elapsed());
        }
        Ok(scene.load.elapsed().saturating_sub(refused.1) >= FOR_GOOD)
    });
    let at = refused.1;
    let took = at.saturating_sub(full).as_secs_f64();
    scene.phase_since(at, "writes are back");
    scene.happens(format!("no write was refused for {} s: sessions have expired", FOR_GOOD.as_secs()));
    let seen = format!("the last refusal was {took:.0} s after the first; these sessions live for {SHORT} s");
    scene.promises.note("writes come back by themselves when sessions expire", back.is_ok(), seen);
    load.stop()?;
    Ok((full, at))
}

fn sessions(scene: &Scene<'_>, first: u64, rate: u32, ttl: u32) -> Order {
    let addresses = places(&scene.fleet).into_iter().map(|(_, address)| address).collect();
    Order { rate: Some(rate), first, work: Work::Put { ttl }, ..Order::writes(addresses, VALUE_BYTES) }
}

fn every_node_takes_a_write(scene: &Scene<'_>) -> bool {
    places(&scene.fleet).into_iter().all(|(_, at)| {
        let answer = Client::connect(at).and_then(|mut client| client.request("PUT", PROBE, "TTL: 60\r\n", b"room"));
        answer.is_ok_and(|answer| answer.status == 201)
    })
}
