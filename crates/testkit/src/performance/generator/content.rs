//! The bytes of requests.

use rand::rngs::SmallRng;
use rand::{RngCore, SeedableRng};

use super::Work;

/// What a key has in bytes: the group's name, and 128 bits in hexadecimal.
pub(in super::super) const KEY_BYTES: u64 = 49;
/// Values are pieces of so many random bytes, which no engine compresses.
const POOL_BYTES: usize = 8 << 20;

/// Keys and values by number.
pub(super) struct Content {
    pool: Vec<u8>,
    value_bytes: usize,
    base: &'static str,
}

impl Content {
    pub(super) fn new(value_bytes: usize, base: &'static str) -> Self {
        let mut pool = vec![0; POOL_BYTES + value_bytes];
        SmallRng::seed_from_u64(1).fill_bytes(&mut pool);
        Self { pool, value_bytes, base }
    }

    /// Appends a request. The place of a read decides which key it is for.
    pub(super) fn append(&self, to: &mut Vec<u8>, work: Work, first: u64, nth: u64) {
        use std::io::Write as _;
        let (method, number) = match work {
            Work::Put { .. } => ("PUT", first + nth),
            Work::Delete => ("DELETE", first + nth),
            Work::Get { of } => ("GET", scrambled(nth ^ first.rotate_left(32)) % of.max(1)),
        };
        let (high, low) = (scrambled(number), scrambled(!number));
        let base = self.base;
        let target = format_args!("{base}enwiki%3AMWSession%3A{high:016x}{low:016x}");
        // Into memory: it cannot fail.
        let _ = write!(to, "{method} {target} HTTP/1.1\r\nHost: test\r\n");
        if let Work::Put { ttl } = work {
            let _ = write!(to, "TTL: {ttl}\r\nContent-Length: {}\r\n\r\n", self.value_bytes);
            #[expect(clippy::cast_possible_truncation, reason = "below the length of the pool")]
            let offset = (high % POOL_BYTES as u64) as usize;
            to.extend_from_slice(&self.pool[offset..offset + self.value_bytes]);
        } else {
            to.extend_from_slice(b"\r\n");
        }
    }
}

/// A number for each number, and no two the same: the steps of the generator SplitMix64 (Steele, Lea, Flood 2014), each of
/// which can be undone.
fn scrambled(number: u64) -> u64 {
    let mut bits = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_number_has_a_key_of_its_own_and_keys_come_in_no_order() {
        let content = Content::new(3, "/sessions/v1/");
        let key = |nth| {
            let mut request = Vec::new();
            content.append(&mut request, Work::Delete, 100, nth);
            String::from_utf8(request).unwrap().split(' ').nth(1).unwrap().replace("%3A", ":")
        };
        let keys: Vec<_> = (0..1_000).map(key).collect();
        assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len());
        assert!(!keys.is_sorted());
        assert_eq!(keys[0].len() - "/sessions/v1/".len(), usize::try_from(KEY_BYTES).unwrap());
    }

    #[test]
    fn a_read_is_for_a_key_that_was_written() {
        let content = Content::new(0, "/sessions/v1/");
        let targets = |work| {
            let request = |nth| {
                let mut request = Vec::new();
                content.append(&mut request, work, 0, nth);
                String::from_utf8(request).unwrap().split(' ').nth(1).unwrap().to_owned()
            };
            (0..50).map(request).collect::<BTreeSet<_>>()
        };
        let (written, read) = (targets(Work::Delete), targets(Work::Get { of: 50 }));
        assert!(read.is_subset(&written) && read.len() > 20, "{}", read.len());
    }
}
