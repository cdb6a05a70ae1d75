use std::fmt;
use std::time::Duration;

use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use sessile_cluster::{QueueBytes, Timing};
use sessile_core::injected::Chunks;
use sessile_store::log::MIN_SEGMENT_BYTES;

/// The shortest deadline of a request: what is shipped.
const REQUEST: Duration = Duration::from_secs(2);

/// Half of it is the window of a connection. Below 64 KiB a sender has used more than there is before it is told, and the `h2`
/// crate never lets it go on; no configuration comes to so little.
const REPLICATED: [usize; 2] = [256 << 10, 1 << 20];

/// Whoever finds no room in the log's queue, which holds two of these, waits on its thread: there is but one here.
const LOG_BATCHES: [usize; 2] = [1 << 20, 8 << 20];

/// What the nodes of a seed run with, of what can be handed in.
#[derive(Debug, Clone)]
pub(in crate::simulation) struct Constants {
    pub(in crate::simulation) timing: Timing,
    /// How long the store has for one request.
    pub(in crate::simulation) request: Duration,
    pub(in crate::simulation) listen_for: Duration,
    pub(in crate::simulation) stabilise: Duration,
    pub(in crate::simulation) persist_after: Duration,
    pub(in crate::simulation) reap_pause: Duration,
    /// Few, so that members that lag need a snapshot.
    pub(in crate::simulation) keep_entries: u64,
    pub(in crate::simulation) queues: QueueBytes,
    pub(in crate::simulation) segment_bytes: u32,
    pub(in crate::simulation) recycled_segments: usize,
    pub(in crate::simulation) log_cache_bytes: usize,
    pub(in crate::simulation) log_batch_bytes: usize,
    pub(in crate::simulation) engine_cache_bytes: u64,
    /// Of how many rounds of entries one waits before it is applied, and how long at most, in milliseconds: a node that has
    /// other things to do.
    pub(in crate::simulation) busy_one_in: u32,
    pub(in crate::simulation) busy_ms: u64,
    /// How a state is sent: as the program does it, which makes it one chunk, or in pieces that take long.
    pub(in crate::simulation) chunks: Option<Chunks>,
    /// How many bytes the largest value has.
    pub(in crate::simulation) value_bytes: usize,
}

impl Constants {
    pub(super) fn draw(rng: &mut SmallRng, timing: Timing) -> Self {
        let millis = |rng: &mut SmallRng, range| Duration::from_millis(rng.random_range(range));
        let of = |rng: &mut SmallRng, choices: &[usize]| choices.choose(rng).copied().unwrap_or_default();
        // Room for one large value, for a few small ones, or for all there ever are.
        let queue = |rng: &mut SmallRng| of(rng, &[600, 4_000, 1 << 20, 1 << 20]);
        Self {
            timing,
            request: REQUEST.max(timing.request()),
            listen_for: millis(rng, 300..=1_500),
            stabilise: millis(rng, 500..=3_000),
            persist_after: millis(rng, 500..=5_000),
            reap_pause: millis(rng, 300..=3_000),
            keep_entries: rng.random_range(5..=150),
            queues: QueueBytes { proposals: queue(rng), forwarded: queue(rng), replicated: of(rng, &REPLICATED) },
            segment_bytes: MIN_SEGMENT_BYTES * rng.random_range(1..=8),
            recycled_segments: rng.random_range(0..=2),
            log_cache_bytes: of(rng, &[0, 1_024, 4_096, 64 << 10]),
            log_batch_bytes: of(rng, &LOG_BATCHES),
            engine_cache_bytes: of(rng, &[0, 0, 16 << 10]) as u64,
            busy_one_in: rng.random_range(2..=8),
            busy_ms: rng.random_range(10..=200),
            value_bytes: of(rng, &[64, 216, 216, 2_000]),
            chunks: rng
                .random_bool(0.3)
                .then(|| Chunks { most_bytes: rng.random_range(100..=2_000), pause: millis(rng, 5..=400) }),
        }
    }
}

impl fmt::Display for Constants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { request, listen_for, stabilise, persist_after, reap_pause, keep_entries, queues, .. } = self;
        write!(
            f,
            "requests have {request:?}; nodes listen for {listen_for:?}, are stable after {stabilise:?}, persist after \
             {persist_after:?}, reap every {reap_pause:?} and keep {keep_entries} entries; queues of {}, {} and {} bytes; ",
            queues.proposals, queues.forwarded, queues.replicated
        )?;
        let Self { segment_bytes, recycled_segments, log_cache_bytes, log_batch_bytes, engine_cache_bytes, .. } = self;
        let Self { busy_one_in, busy_ms, value_bytes, .. } = self;
        write!(
            f,
            "segments of {segment_bytes} bytes with {recycled_segments} kept, {log_cache_bytes} bytes of them in memory, \
             batches of {log_batch_bytes}, an engine's cache of {engine_cache_bytes}; one round in {busy_one_in} waits for \
             up to {busy_ms} ms; values of up to {value_bytes} bytes"
        )?;
        match self.chunks {
            Some(Chunks { most_bytes, pause }) => {
                write!(f, "; states go in pieces of {most_bytes} bytes, every {pause:?}")
            }
            None => Ok(()),
        }
    }
}
