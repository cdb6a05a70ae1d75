//! What a power cut leaves of the changes to a file that were not synced.

use std::collections::BTreeMap;

use rand::Rng;
use rand::rngs::SmallRng;

use super::content::Content;

/// What a disk writes whole.
const SECTOR: u64 = 512;
/// What the kernel hands to the disk at once.
const PAGE: u64 = 4096;

/// A change to a file's bytes.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Write {
        offset: u64,
        bytes: Vec<u8>,
    },
    /// The same as a write of zeros, without their weight.
    Zeros {
        offset: u64,
        length: u64,
    },
    Resize {
        from: u64,
        to: u64,
    },
}

impl Change {
    pub(super) fn write(offset: u64, bytes: &[u8]) -> Self {
        if bytes.iter().all(|byte| *byte == 0) {
            Self::Zeros { offset, length: bytes.len() as u64 }
        } else {
            Self::Write { offset, bytes: bytes.to_vec() }
        }
    }

    /// The bytes that it touches.
    fn range(&self) -> std::ops::Range<u64> {
        match self {
            Self::Write { offset, bytes } => *offset..offset + bytes.len() as u64,
            Self::Zeros { offset, length } => *offset..offset + length,
            Self::Resize { from, to } => *to..*from,
        }
    }

    fn sectors(&self) -> std::ops::Range<u64> {
        let range = self.range();
        if range.is_empty() { 0..0 } else { range.start / SECTOR..range.end.div_ceil(SECTOR) }
    }

    /// Whether it gives blocks back, so that what they held cannot be seen any more.
    fn shrinks(&self) -> bool {
        matches!(self, Self::Resize { from, to } if to < from)
    }

    fn size_after(&self, size: u64) -> u64 {
        match self {
            Self::Resize { to, .. } => *to,
            _ => size.max(self.range().end),
        }
    }

    /// Does to one sector what it does to all.
    fn applies_to(&self, content: &mut Content, sector: u64) {
        let range = self.range();
        let (start, end) = (range.start.max(sector * SECTOR), range.end.min((sector + 1) * SECTOR));
        let length = usize::try_from(end - start).unwrap_or(0);
        match self {
            Self::Write { offset, bytes } => {
                let at = usize::try_from(start - offset).unwrap_or(0);
                content.put(start, &bytes[at..at + length]);
            }
            Self::Zeros { .. } | Self::Resize { .. } => content.put(start, &vec![0; length]),
        }
    }
}

/// How the changes had found their way to the disk when the power went. Each sector shows its bytes as they were at some
/// moment since the last sync, in the count of changes until then.
enum Picture {
    /// None had.
    Nothing,
    /// All had.
    Everything,
    /// In the order in which they were made; of the one at this place a part had.
    InOrder(usize),
    /// In no order: each unit of so many bytes has a moment of its own.
    Scattered(u64),
}

impl Picture {
    fn draw(rng: &mut SmallRng, changes: usize) -> Self {
        match rng.random_range(0..8) {
            0 => Self::Nothing,
            1 => Self::Everything,
            2..4 => Self::InOrder(rng.random_range(0..changes.max(1))),
            _ => Self::Scattered(if rng.random() { SECTOR } else { PAGE }),
        }
    }
}

/// The moments of a picture, as they are asked for.
struct Moments<'rng> {
    picture: Picture,
    changes: usize,
    of_units: BTreeMap<u64, usize>,
    rng: &'rng mut SmallRng,
}

impl Moments<'_> {
    fn of_sector(&mut self, sector: u64) -> usize {
        let unit = match self.picture {
            Picture::Nothing => return 0,
            Picture::Everything => return self.changes,
            Picture::InOrder(torn) => return torn + usize::from(self.rng.random::<bool>()),
            Picture::Scattered(unit) => sector * SECTOR / unit,
        };
        *self.of_units.entry(unit).or_insert_with(|| self.rng.random_range(0..=self.changes))
    }

    /// The size is written by itself, so that a file may have grown without its bytes or the other way round.
    fn of_size(&mut self) -> usize {
        match self.picture {
            Picture::Scattered(_) => self.rng.random_range(0..=self.changes),
            _ => self.of_sector(0).min(self.changes),
        }
    }
}

/// What is there after a power cut, where `durable` was synced and `changes` were made since then.
pub(super) fn after_a_cut(durable: &Content, changes: &[Change], rng: &mut SmallRng) -> Content {
    let picture = Picture::draw(rng, changes.len());
    let mut moments = Moments { picture, changes: changes.len(), of_units: BTreeMap::new(), rng };
    let sized = moments.of_size();
    let mut touched: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (nth, change) in changes.iter().enumerate() {
        change.sectors().for_each(|sector| touched.entry(sector).or_default().push(nth));
    }
    let mut content = durable.clone();
    for (sector, of) in touched {
        // What was cut off before the size that is left is gone; what was written into blocks that were given back and
        // are not given back now, is nowhere.
        let cut_off = |nth: &usize| changes[*nth].shrinks();
        let least = of.iter().rposition(|nth| *nth < sized && cut_off(nth)).map_or(0, |last| last + 1);
        let most = of.iter().position(|nth| *nth >= sized && cut_off(nth)).unwrap_or(of.len());
        let moment = moments.of_sector(sector);
        let kept = of.partition_point(|nth| *nth < moment).clamp(least, most);
        of[..kept].iter().for_each(|nth| changes[*nth].applies_to(&mut content, sector));
    }
    content.resize(changes[..sized].iter().fold(durable.size(), |size, change| change.size_after(size)));
    content
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::SeedableRng;

    use super::*;

    fn content(bytes: &[u8]) -> Content {
        let mut content = Content::default();
        content.write(0, bytes);
        content
    }

    /// Everything that cuts may leave, as far as a thousand seeds show it.
    fn left(durable: &Content, changes: &[Change]) -> BTreeSet<Vec<u8>> {
        (0..1000)
            .map(|seed| after_a_cut(durable, changes, &mut SmallRng::seed_from_u64(seed)).read(0, 1 << 20))
            .collect()
    }

    #[test]
    fn a_write_of_four_sectors_may_be_torn_in_every_way() {
        let left = left(&content(&[1; 2048]), &[Change::write(0, &[2; 2048])]);
        let sectors = |bytes: &Vec<u8>| -> Vec<u8> { bytes.chunks(512).map(|sector| sector[0]).collect() };
        assert!(left.iter().all(|bytes| bytes.chunks(512).all(|sector| sector.iter().all(|byte| *byte == sector[0]))));
        assert_eq!(left.iter().map(sectors).collect::<BTreeSet<_>>().len(), 16);
    }

    #[test]
    fn the_later_of_two_writes_may_be_there_without_the_earlier() {
        let changes = [Change::write(0, &[2; 512]), Change::write(8192, &[3; 512])];
        let left = left(&content(&[1; 16384]), &changes);
        let seen: BTreeSet<_> = left.iter().map(|bytes| (bytes[0], bytes[8192])).collect();
        assert_eq!(seen, BTreeSet::from([(1, 1), (2, 1), (1, 3), (2, 3)]));
    }

    #[test]
    fn a_sector_that_was_written_twice_shows_what_it_held_at_one_moment() {
        let changes = [Change::write(0, &[2; 100]), Change::write(50, &[3; 100])];
        let left = left(&content(&[1; 512]), &changes);
        let seen: BTreeSet<_> = left.iter().map(|bytes| (bytes[0], bytes[60], bytes[140])).collect();
        assert_eq!(seen, BTreeSet::from([(1, 1, 1), (2, 2, 1), (2, 3, 3)]));
    }

    #[test]
    fn a_file_may_have_grown_without_its_bytes() {
        let left = left(&content(&[1; 512]), &[Change::write(512, &[2; 1024])]);
        let sizes: BTreeSet<_> = left.iter().map(Vec::len).collect();
        assert_eq!(sizes, BTreeSet::from([512, 1536]));
        assert!(left.contains([[1; 512], [0; 512], [0; 512]].as_flattened()));
        assert!(left.contains([[1; 512], [0; 512], [2; 512]].as_flattened()));
    }

    #[test]
    fn what_was_cut_off_does_not_show_again_in_a_file_that_grows_anew() {
        let changes =
            [Change::Resize { from: 1024, to: 0 }, Change::write(0, &[2; 512]), Change::Resize { from: 512, to: 1024 }];
        let left = left(&content(&[1; 1024]), &changes);
        let expected: BTreeSet<Vec<u8>> = BTreeSet::from([
            vec![1; 1024],
            vec![],
            vec![0; 512],
            vec![2; 512],
            vec![0; 1024],
            [[2; 512], [0; 512]].as_flattened().to_vec(),
        ]);
        assert_eq!(left, expected);
    }

    #[test]
    fn zeros_are_a_write_like_any_other() {
        let left = left(&content(&[1; 1024]), &[Change::write(0, &[0; 1024])]);
        assert_eq!(left.len(), 4);
    }
}
