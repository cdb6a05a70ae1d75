use std::collections::BTreeMap;
use std::sync::Arc;

const PAGE: usize = 4096;

/// What a file holds. Pages of zeros take no room, and copies share theirs. Beyond its size everything is zero.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Content {
    size: u64,
    pages: BTreeMap<u64, Arc<[u8; PAGE]>>,
}

impl Content {
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// What is there, up to the file's end.
    pub(super) fn read(&self, offset: u64, length: usize) -> Vec<u8> {
        let end = self.size.min(offset.saturating_add(length as u64));
        let mut bytes = vec![0; usize::try_from(end.saturating_sub(offset)).unwrap_or(0)];
        for piece in pieces(offset, bytes.len()) {
            if let Some(page) = self.pages.get(&piece.page) {
                bytes[piece.at..piece.at + piece.length]
                    .copy_from_slice(&page[piece.within..piece.within + piece.length]);
            }
        }
        bytes
    }

    /// Writes, and grows if need be.
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        self.size = self.size.max(offset + bytes.len() as u64);
        self.put(offset, bytes);
    }

    /// Writes without a look at the size.
    pub(super) fn put(&mut self, offset: u64, bytes: &[u8]) {
        for piece in pieces(offset, bytes.len()) {
            let bytes = &bytes[piece.at..piece.at + piece.length];
            if bytes.iter().all(|byte| *byte == 0) {
                self.zero(&piece);
            } else {
                let page = self.pages.entry(piece.page).or_insert_with(|| Arc::new([0; PAGE]));
                Arc::make_mut(page)[piece.within..piece.within + piece.length].copy_from_slice(bytes);
            }
        }
    }

    /// Cuts it off there, or grows it with zeros.
    pub(super) fn resize(&mut self, size: u64) {
        let page = size / PAGE as u64;
        drop(self.pages.split_off(&(page + 1)));
        #[expect(clippy::cast_possible_truncation, reason = "below the size of a page")]
        let within = (size % PAGE as u64) as usize;
        self.zero(&Piece { page, within, at: 0, length: PAGE - within });
        self.size = size;
    }

    fn zero(&mut self, piece: &Piece) {
        if piece.length == PAGE {
            self.pages.remove(&piece.page);
        } else if let Some(page) = self.pages.get_mut(&piece.page) {
            Arc::make_mut(page)[piece.within..piece.within + piece.length].fill(0);
        }
    }
}

/// A part of a range that lies in one page.
struct Piece {
    page: u64,
    within: usize,
    /// Where in the range.
    at: usize,
    length: usize,
}

#[expect(clippy::cast_possible_truncation, reason = "below the size of a page")]
fn pieces(offset: u64, length: usize) -> impl Iterator<Item = Piece> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let place = offset + at as u64;
        let within = (place % PAGE as u64) as usize;
        let piece = Piece { page: place / PAGE as u64, within, at, length: (PAGE - within).min(length - at) };
        at += piece.length;
        (piece.length > 0).then_some(piece)
    })
}

#[cfg(test)]
mod tests {
    use rand::rngs::SmallRng;
    use rand::{Rng, RngCore, SeedableRng};

    use super::*;

    #[test]
    fn it_holds_what_a_plain_vector_would() {
        let mut rng = SmallRng::seed_from_u64(1);
        let (mut content, mut model) = (Content::default(), Vec::new());
        for _ in 0..2000 {
            let place = rng.random_range(0..5 * PAGE);
            if rng.random_bool(0.2) {
                content.resize(place as u64);
                model.resize(place, 0);
            } else {
                let mut bytes = vec![0; rng.random_range(0..2 * PAGE)];
                if rng.random_bool(0.7) {
                    rng.fill_bytes(&mut bytes);
                }
                content.write(place as u64, &bytes);
                model.resize(model.len().max(place + bytes.len()), 0);
                model[place..place + bytes.len()].copy_from_slice(&bytes);
            }
            assert_eq!((content.size(), content.read(0, usize::MAX)), (model.len() as u64, model.clone()));
        }
    }

    #[test]
    fn zeros_take_no_room() {
        let mut content = Content::default();
        content.write(0, &vec![7; 3 * PAGE]);
        content.write(0, &vec![0; 64 * PAGE]);
        assert!(content.pages.is_empty());
        assert_eq!(content.size(), 64 * PAGE as u64);
    }
}
