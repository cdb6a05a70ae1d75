use std::fmt;

use rand::Rng;
use rand::rngs::SmallRng;

use super::tally::Kind;

/// Of how many requests how many are of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mix {
    get: u32,
    set: u32,
    delete: u32,
}

impl Mix {
    /// What MediaWiki asks for at Wikimedia, near enough.
    pub(crate) const MEDIAWIKI: Self = Self { get: 74, set: 25, delete: 1 };

    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let shares: Vec<u32> = text.split(':').filter_map(|share| share.parse::<u16>().ok()).map(u32::from).collect();
        match *shares {
            [get, set, delete] if text.matches(':').count() == 2 && get + set + delete > 0 => {
                Ok(Self { get, set, delete })
            }
            _ => Err("three numbers up to 65535 were expected, such as 74:25:1".into()),
        }
    }

    pub(crate) fn shares(self) -> [u32; 3] {
        [self.get, self.set, self.delete]
    }

    pub(super) fn draw(self, rng: &mut SmallRng) -> Kind {
        let nth = rng.random_range(0..self.get + self.set + self.delete);
        if nth < self.get {
            Kind::Get
        } else if nth < self.get + self.set {
            Kind::Set
        } else {
            Kind::Delete
        }
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [get, set, delete] = self.shares();
        write!(f, "{get}:{set}:{delete}")
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn a_mix_is_three_numbers() {
        assert_eq!(Mix::parse("74:25:1"), Ok(Mix::MEDIAWIKI));
        assert_eq!(Mix::parse("0:1:0").map(Mix::shares), Ok([0, 1, 0]));
        for wrong in ["", "1", "1:2", "0:0:0", "1:2:3:4", "a:1:1", "-1:1:1", "1:x:2:3", "65536:1:1"] {
            assert!(Mix::parse(wrong).is_err(), "{wrong}");
        }
        let mut rng = SmallRng::seed_from_u64(1);
        let drawn = (0..10_000).filter(|_| Mix::MEDIAWIKI.draw(&mut rng) == Kind::Get).count();
        assert!((7_200..7_600).contains(&drawn), "{drawn}");
    }
}
