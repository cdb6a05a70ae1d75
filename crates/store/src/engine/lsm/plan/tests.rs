mod growth;

use super::*;

const MB: u64 = 1 << 20;

fn key(number: u64) -> Bytes {
    Bytes::copy_from_slice(&number.to_be_bytes())
}

/// A run of tables of 64 MB that cover all keys, from 0 to 1,000,000.
fn run(id: u64, megabytes: u64) -> RunShape {
    let tables = megabytes.div_ceil(64).max(1);
    let table = |at: u64| TableShape {
        id: id * 10_000 + at,
        min: key(at * 1_000_000 / tables),
        max: key((at + 1) * 1_000_000 / tables - 1),
        bytes: megabytes * MB / tables,
        lapsed_bytes: 0,
        is_over: false,
        is_short_lived: false,
    };
    RunShape { id, tables: (0..tables).map(table).collect() }
}

fn shape(megabytes: &[u64]) -> Shape {
    let runs = megabytes.iter().zip(1..).map(|(megabytes, id)| run(id, *megabytes)).collect();
    Shape { runs, allowed_bytes: 0 }
}

fn chosen(shape: &Shape) -> Option<Job> {
    choose(shape, &Busy::default(), u64::MAX)
}

#[test]
fn runs_of_one_flush_are_joined_by_eight_and_what_came_of_that_is_not_joined_with_them() {
    assert_eq!(chosen(&shape(&[64, 64, 64, 64, 64, 64, 64, 512, 8_000])), None);
    let all = shape(&[64, 64, 64, 64, 64, 64, 64, 64, 512, 8_000]);
    assert_eq!(chosen(&all), Some(Job::Join((1..=8).collect())));
    let again = shape(&[512, 512, 512, 512, 512, 512, 512, 512, 64_000]);
    assert_eq!(chosen(&again), Some(Job::Join((1..=8).collect())));
}

#[test]
fn what_lies_over_the_base_is_sunk_where_the_most_lies_over_the_least_once_it_is_a_quarter() {
    assert_eq!(chosen(&shape(&[1_900, 8_000])), None);
    let mut over = shape(&[2_100, 8_000]);
    // Twice as much over the last part of the base.
    let last = over.runs[0].tables.len() - 8;
    over.runs[0].tables[last..].iter_mut().for_each(|table| table.bytes *= 2);
    let Some(Job::Sink { from: Bound::Included(from), runs, .. }) = chosen(&over) else {
        panic!("the last stretch is merged: {:?}", chosen(&over))
    };
    assert!(from > key(800_000));
    let counts: Vec<_> = runs.iter().map(|(run, tables)| (*run, tables.len())).collect();
    assert_eq!(counts, [(1, 6), (2, STRETCH_TABLES)], "and nothing but what lies there");
}

#[test]
fn nothing_newer_is_sunk_past_what_is_being_joined_or_is_too_coarse() {
    // One table of run 1 lies over the whole base.
    let all = shape(&[64, 9_000, 20_000]);
    let Some(Job::Sink { runs, .. }) = chosen(&all) else { panic!("it is over the limit") };
    assert_eq!(runs.iter().map(|(run, _)| *run).collect::<Vec<_>>(), [2, 3]);
    let busy = Busy { runs: [2].into(), ..Busy::default() };
    assert_eq!(choose(&all, &busy, u64::MAX), None, "run 1 lies over run 2");
}

#[test]
fn a_merge_takes_no_more_room_than_there_is_and_two_merges_share_no_table() {
    let all = shape(&[3_000, 8_000]);
    let size = |job: &Job| match job {
        Job::Sink { runs, .. } => runs.iter().map(|(_, tables)| tables.len() as u64 * 64 * MB).sum::<u64>(),
        _ => 0,
    };
    let (mut room, mut last) = (4_096 * MB, u64::MAX);
    while let Some(job) = choose(&all, &Busy::default(), room) {
        assert!(size(&job) <= room && size(&job) <= last);
        last = size(&job);
        room /= 2;
    }
    assert!(last <= 256 * MB, "the smallest is as small as can be: {last}");
    let mut busy = Busy::default();
    let first = chosen(&all).unwrap();
    busy.add(&first);
    if let Some(Job::Sink { runs, .. }) = choose(&all, &busy, u64::MAX) {
        assert!(runs.iter().all(|(_, tables)| tables.iter().all(|table| !busy.tables.contains(table))));
    }
    busy.remove(&first);
    assert_eq!(choose(&all, &busy, u64::MAX), Some(first));
}

#[test]
fn what_has_lapsed_is_merged_away_once_it_is_a_third_and_waits_if_it_will_soon_go_as_a_whole() {
    let mut all = shape(&[64, 8_000]);
    all.runs[1].tables[20..40].iter_mut().for_each(|table| table.lapsed_bytes = table.bytes / 4);
    assert_eq!(chosen(&all), None);
    all.runs[1].tables[20..40].iter_mut().for_each(|table| table.lapsed_bytes = table.bytes / 2);
    assert!(matches!(chosen(&all), Some(Job::Sink { .. })));
    all.runs.iter_mut().flat_map(|run| &mut run.tables).for_each(|table| table.is_short_lived = true);
    assert_eq!(chosen(&all), None);
}

#[test]
fn runs_that_are_nearly_over_are_not_joined_until_they_are_many_and_then_the_newest_are() {
    let mut all = shape(&[64; 9]);
    all.runs.iter_mut().flat_map(|run| &mut run.tables).for_each(|table| table.is_short_lived = true);
    assert_eq!(chosen(&all), None);
    let mut all = shape(&[64; MANY]);
    all.runs.iter_mut().flat_map(|run| &mut run.tables).for_each(|table| table.is_short_lived = true);
    assert_eq!(chosen(&all), None, "the base is none of those that lie over it");
    let mut all = shape(&[64; MANY + 1]);
    all.runs.iter_mut().flat_map(|run| &mut run.tables).for_each(|table| table.is_short_lived = true);
    let newest = all.runs[..FANOUT].iter().map(|run| run.id).collect();
    assert_eq!(chosen(&all), Some(Job::Join(newest)), "the oldest go by themselves, unless they are kept");
}
