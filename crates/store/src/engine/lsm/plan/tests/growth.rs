//! A store that grows to 90 GB, simulated without a record in it.

use super::*;

/// Whatever is chosen and done, in a store that takes new keys for ever: runs stay few, what lies over the base stays a
/// share of it, and no record is written more often than is told above.
#[test]
fn a_store_that_grows_for_ever_stays_in_shape() {
    let (mut all, mut next, mut written, mut flushed) = (Shape::default(), 1, 0_u64, 0_u64);
    while flushed < 90_000 {
        all.runs.insert(0, run(next, 64));
        (next, written, flushed) = (next + 1, written + 64, flushed + 64);
        while let Some(job) = chosen(&all) {
            written += carry_out(&mut all, &job, &mut next) / MB;
        }
        assert!(all.runs.len() <= 3 * FANOUT, "{} runs", all.runs.len());
        let over = all.overlay_bytes() as f64 / all.overlay_limit() as f64;
        println!(
            "{flushed} MB: {} runs, {over:.2}, written {:.1} times",
            all.runs.len(),
            written as f64 / flushed as f64
        );
        assert!(over < 2.1, "{over} of what may lie over the base");
    }
    let amplification = written as f64 / flushed as f64;
    assert!(amplification < 8.0, "each record was written {amplification} times");
}

/// As a merge would, without a record in it: bytes move, keys keep their places. What it wrote comes back.
fn carry_out(all: &mut Shape, job: &Job, next: &mut u64) -> u64 {
    match job {
        Job::Drop(_) => panic!("nothing lapses here"),
        Job::Join(ids) => {
            let bytes = all.runs.iter().filter(|run| ids.contains(&run.id)).map(RunShape::bytes).sum::<u64>();
            let place = all.runs.iter().position(|run| run.id == ids[0]).unwrap();
            all.runs.retain(|run| !ids.contains(&run.id));
            all.runs.insert(place, run(*next, bytes / MB));
            *next += 1;
            bytes
        }
        Job::Sink { from, to, runs } => {
            let (mut merged, mut copied) = (0, 0);
            let number = |key: &Bytes| u64::from_be_bytes(key.as_ref().try_into().unwrap());
            let low = match from {
                Bound::Included(from) => number(from),
                _ => 0,
            };
            let high = match to {
                Bound::Excluded(to) => number(to),
                _ => 1_000_000,
            };
            let base = runs.last().unwrap().0;
            for (id, tables) in runs {
                let run = all.runs.iter_mut().find(|run| run.id == *id).unwrap();
                let mut stay = Vec::new();
                for table in std::mem::take(&mut run.tables) {
                    if !tables.contains(&table.id) {
                        stay.push(table);
                        continue;
                    }
                    let (min, max) = (number(&table.min), number(&table.max) + 1);
                    let part = |a: u64, b: u64| table.bytes / 1_000 * (b.saturating_sub(a) * 1_000 / (max - min));
                    let beside = [(min, low.min(max)), (high.max(min), max)];
                    let within = table.bytes - beside.iter().map(|(a, b)| part(*a, *b)).sum::<u64>();
                    merged += within;
                    for (a, b) in beside.into_iter().filter(|(a, b)| a < b) {
                        copied += part(a, b);
                        *next += 1;
                        let id = 1_000_000_000 + *next;
                        stay.push(TableShape { id, min: key(a), max: key(b - 1), bytes: part(a, b), ..table.clone() });
                    }
                }
                stay.sort_by(|one, other| one.min.cmp(&other.min));
                run.tables = stay;
            }
            let tables = merged.div_ceil(64 * MB).max(1);
            let run = all.runs.iter_mut().find(|run| run.id == base).unwrap();
            for at in 0..tables {
                *next += 1;
                let place = |at: u64| low + (high - low) * at / tables;
                run.tables.push(TableShape {
                    id: 2_000_000_000 + *next,
                    min: key(place(at)),
                    max: key(place(at + 1) - 1),
                    bytes: merged / tables,
                    lapsed_bytes: 0,
                    is_over: false,
                    is_short_lived: false,
                });
            }
            run.tables.sort_by(|one, other| one.min.cmp(&other.min));
            all.runs.retain(|run| !run.tables.is_empty());
            merged + copied
        }
    }
}
