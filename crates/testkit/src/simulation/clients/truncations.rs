//! An operator who gives a namespace a token, and then ends all its sessions, or those of one wiki, now and then.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use sessile_cluster::admin::{AdminError, AdminErrorKind};
use tokio::time::{sleep, timeout};

use super::{Clients, keys, now};
use crate::simulation::namespaces::{NAMESPACES, RENEWED};
use crate::simulation::operator;
use crate::simulation::world::lock;
use crate::{Action, Operation, Outcome};

/// Beyond every client's number.
const NUMBER: usize = 200_000;
/// Between two of them, at most.
const PAUSE: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_secs(10);

/// To whoever reads and writes a key, that its namespace or group was truncated is that somebody deleted it. Counts as one of
/// the clients: the last truncation may have taken place before anybody knows what came of it.
pub(super) async fn run(common: Arc<Clients>) {
    truncates_until_stopped(&common).await;
    common.stopped.fetch_add(1, Ordering::Relaxed);
}

async fn truncates_until_stopped(common: &Clients) {
    let mut rng = SmallRng::seed_from_u64(common.seed.wrapping_mul(37));
    let mut nth = 0;
    while !common.stop.load(Ordering::Relaxed) && !common.has_token.load(Ordering::Relaxed) {
        let node = common.world.at(rng.random_range(0..common.world.places()));
        let asked = timeout(PATIENCE, operator::wants_a_token(&common.world, &node, NAMESPACES[1].0)).await;
        common.has_token.store(matches!(asked, Ok(Ok(()))), Ordering::Relaxed);
        sleep(Duration::from_secs(1)).await;
    }
    while !common.stop.load(Ordering::Relaxed) {
        let pause = PAUSE.mul_f64(rng.random());
        // In steps: it must not hold up the end.
        for _ in 0..pause.as_secs() {
            sleep(Duration::from_secs(1)).await;
            if common.stop.load(Ordering::Relaxed) {
                return;
            }
        }
        let world = &common.world;
        let node = world.at(rng.random_range(0..world.places()));
        let group = rng.random_bool(0.5).then(|| format!("wiki{}", rng.random_range(0..3)));
        let start = now();
        let asked = timeout(PATIENCE, operator::truncates(world, &node, NAMESPACES[1].0, group.as_deref())).await;
        let (end, outcome) = match asked {
            Ok(Ok(())) => (now(), Outcome::Ok),
            // There is no such group: nothing was done, and nothing is to be explained.
            Ok(Err(AdminError { kind: AdminErrorKind::Refused | AdminErrorKind::NotFound, text })) => {
                world.traces(&format!("the second namespace is not truncated, {group:?}, through {node}: {text}"));
                continue;
            }
            _ => (now(), Outcome::Ambiguous),
        };
        world.traces(&format!("the second namespace is truncated, {group:?}, through {node}: {outcome:?}"));
        let crowds = lock(&common.crowds).clone();
        let concerns = |key: &String| {
            let group = group.as_ref().map_or_else(String::new, |group| format!("{group}:"));
            key.starts_with(&format!("{RENEWED}{group}"))
        };
        for key in keys(common.keys).chain(crowds).filter(concerns) {
            let (client, action) = (NUMBER + nth, Action::Delete);
            world.record(Operation { client, key, action, start, end, outcome });
        }
        nth += 1;
    }
}
