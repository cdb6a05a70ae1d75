//! The copying itself: reads a batch of the source, writes it with all connections, notes how far it is.

use std::cell::{Cell, RefCell};
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use hyper::header::HeaderValue;
use tokio::time::{Instant, sleep_until};

use super::counts::Counts;
use super::fate::{Lifetime, Renaming, Skip, Stop, Written};
use super::mediawiki::Translation;
use super::progress::Progress;
use super::resp::Bulk;
use super::source::{Found, KEPT_VALUE_BYTES, Length, Lives, Source, SourceError};
use super::state::{State, StateError, StateFile};
use super::target::{Item, Pace, Target};
use super::unchecked::{Copied, Unchecked};

/// How much is read of the source at once, unless one value alone is larger.
const PORTION_BYTES: u64 = 16 * 1024 * 1024;
/// How many keys at once: a node has them stored within a tenth of a second.
const PORTION_KEYS: usize = 1_000;
/// How often the state is written: so much is looked at again after a `kill -9`.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// Why it ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Target(#[from] Stop),
    #[error(transparent)]
    State(#[from] StateError),
}

/// An import under way.
pub(super) struct Copying<'a> {
    pub(super) source: Source,
    /// One a connection; none in a dry run.
    pub(super) targets: Vec<Target>,
    pub(super) pattern: Option<Vec<u8>>,
    pub(super) renaming: Renaming,
    pub(super) translation: Option<Translation>,
    pub(super) pace: Pace,
    pub(super) state: State,
    pub(super) file: Option<StateFile>,
    pub(super) saved: Instant,
    pub(super) unchecked: Unchecked,
    pub(super) progress: &'a Progress,
}

impl Copying<'_> {
    /// Goes through all keys from the cursor on.
    pub(super) async fn run(&mut self) -> Result<(), End> {
        let keep = sessile_core::MAX_KEY_BYTES + self.renaming.prefix.len();
        loop {
            let (next, keys) = self.source.scan(self.state.cursor, self.pattern.as_deref(), keep).await?;
            for portion in keys.chunks(PORTION_KEYS) {
                self.portion(portion).await?;
            }
            self.state.cursor = next;
            if next == 0 {
                break;
            }
            if self.saved.elapsed() >= SAVE_EVERY {
                self.save()?;
            }
        }
        self.check_the_rest().await?;
        self.state.finished = true;
        self.save()
    }

    /// Puts how far it is into the state's file.
    pub(super) fn save(&mut self) -> Result<(), End> {
        self.saved = Instant::now();
        Ok(self.file.as_ref().map_or(Ok(()), |file| file.write(&self.state))?)
    }

    async fn portion(&mut self, keys: &[Bulk]) -> Result<(), End> {
        self.state.counts.scanned += keys.len() as u64;
        let named = named(keys, &self.renaming, &mut self.state.counts);
        let sources: Vec<Bytes> = named.iter().map(|(source, _)| source.clone()).collect();
        let lengths = self.source.lengths(&sources).await?;
        let mut others = Vec::new();
        let (mut strings, mut bytes) = (Vec::new(), 0);
        for (length, (source, name)) in lengths.into_iter().zip(named) {
            match length {
                Length::NoString => others.push(source),
                Length::Bytes(length) if length >= KEPT_VALUE_BYTES as u64 => {
                    self.state.counts.skip(Skip::LargeValue);
                }
                Length::Bytes(length) => {
                    if bytes + length > PORTION_BYTES {
                        self.copy(std::mem::take(&mut strings)).await?;
                        bytes = 0;
                    }
                    bytes += length;
                    strings.push((source, name));
                }
            }
        }
        self.copy(strings).await?;
        for kind in self.source.types(&others).await? {
            self.state.counts.other_type(kind);
        }
        self.progress.scanned.fetch_add(keys.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    async fn copy(&mut self, strings: Vec<(Bytes, String)>) -> Result<(), End> {
        if strings.is_empty() {
            return Ok(());
        }
        self.check_what_is_due().await?;
        let sources: Vec<Bytes> = strings.iter().map(|(source, _)| source.clone()).collect();
        let found = self.source.values(&sources).await?;
        let mut items = Vec::with_capacity(found.len());
        for (found, (source_key, key)) in found.into_iter().zip(strings) {
            match sendable(&found, self.translation.as_ref()) {
                Ok(value) => items.push(Item { source_key, key, value, lives: found.lives }),
                Err(written) => self.state.counts.add(&written, 0, true),
            }
        }
        self.send(items).await
    }

    /// Has all connections write, each one at a time.
    async fn send(&mut self, items: Vec<Item>) -> Result<(), End> {
        let (counts, unchecked) = (RefCell::new(&mut self.state.counts), RefCell::new(&mut self.unchecked));
        let (pace, progress) = (&self.pace, self.progress);
        let settle = |item: Item, written: Written| {
            counts.borrow_mut().add(&written, item.value.len(), item.lives != Lives::Ever);
            if let Written::New { tag, .. } = written {
                progress.copied.fetch_add(1, Ordering::Relaxed);
                let Item { source_key, key, .. } = item;
                unchecked.borrow_mut().push(Copied { source_key, key, tag, since: Instant::now() });
            }
        };
        if self.targets.is_empty() {
            // A dry run. Nothing is written, so nothing is looked for again.
            for item in items {
                let would = Written::New { tag: HeaderValue::from_static(""), shortened: false };
                counts.borrow_mut().add(&would, item.value.len(), item.lives != Lives::Ever);
            }
            return Ok(());
        }
        let queue = RefCell::new(items.into_iter());
        let stopped = Cell::new(false);
        let next = || queue.borrow_mut().next().filter(|_| !stopped.get());
        let writers = self.targets.iter_mut().map(async |target| {
            while let Some(item) = next() {
                pace.turn().await;
                let written = target.put(&item).await.inspect_err(|_| stopped.set(true))?;
                settle(item, written);
            }
            Ok::<_, Stop>(())
        });
        // When one has to stop, the others still hear what became of what they have sent, so that it is counted.
        join_all(writers).await.into_iter().collect::<Result<(), Stop>>()?;
        Ok(())
    }

    /// Looks for those again that were copied long enough ago; for more, if there would be too many.
    async fn check_what_is_due(&mut self) -> Result<(), End> {
        while let Some(due) = self.unchecked.next_due().filter(|due| *due <= Instant::now() || self.unchecked.is_full())
        {
            sleep_until(due).await;
            self.check().await?;
        }
        Ok(())
    }

    async fn check_the_rest(&mut self) -> Result<(), End> {
        while let Some(due) = self.unchecked.next_due() {
            sleep_until(due).await;
            self.check().await?;
        }
        Ok(())
    }

    /// Asks the source for those that are due, and removes from the target what it has no more.
    async fn check(&mut self) -> Result<(), End> {
        let copied = self.unchecked.due(Instant::now(), PORTION_KEYS);
        let keys: Vec<Bytes> = copied.iter().map(|copied| copied.source_key.clone()).collect();
        let present = self.source.present(&keys).await?;
        let Some(target) = self.targets.first_mut() else { return Ok(()) };
        for copied in copied.iter().zip(present).filter(|(_, present)| !present).map(|(copied, _)| copied) {
            if target.take_back(&copied.key, &copied.tag).await? {
                self.state.counts.taken_back += 1;
            }
        }
        Ok(())
    }
}

/// The keys that are to be copied, each with its name in the target.
fn named(keys: &[Bulk], renaming: &Renaming, counts: &mut Counts) -> Vec<(Bytes, String)> {
    let mut named = Vec::with_capacity(keys.len());
    for key in keys {
        match key.whole().map(|key| (key, renaming.target(key))) {
            None => counts.skip(Skip::LongKey),
            Some((_, None)) => {}
            Some((_, Some(Err(skip)))) => counts.skip(skip),
            Some((key, Some(Ok(name)))) => named.push((key.clone(), name)),
        }
    }
    named
}

/// The value as the target gets it, or what becomes of it without.
fn sendable(found: &Found, translation: Option<&Translation>) -> Result<Bytes, Written> {
    if Lifetime::left(found.lives, Instant::now()) == Lifetime::Over {
        return Err(Written::Expired);
    }
    let value = found.value.whole().filter(|value| value.len() < KEPT_VALUE_BYTES);
    match (value, translation) {
        (None, _) => Err(Written::Skipped(Skip::LargeValue)),
        (Some(value), _) if value.is_empty() => Err(Written::Skipped(Skip::EmptyValue)),
        (Some(value), None) => Ok(value.clone()),
        (Some(value), Some(translation)) => translation.of(value).map_err(Written::Skipped),
    }
}
