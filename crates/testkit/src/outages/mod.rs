//! Five outages of session stores, replayed on three real nodes under MediaWiki's mix, with a stock Prometheus beside them
//! that has the rules that ship.
//!
//! Each tells what happened when, what clients felt of it, which alerts fired and what the nodes' logs said; draws that as a
//! timeline; and says of each promise whether it was kept. What happened in the real ones stands in docs/outages.md.

use std::path::PathBuf;

use crate::story::Story;

mod alerts;
mod asked_too_early;
mod flood;
mod full_disks;
mod insistent;
mod logs;
mod moved;
mod prometheus;
mod promises;
mod reimaged;
mod scene;
mod timeline;
mod told;
mod wall;

pub use told::Told;

/// What runs, and by which rules alerts fire.
#[derive(Debug, Clone)]
pub struct OutagesOptions {
    /// The binary.
    pub program: PathBuf,
    /// The rules for Prometheus.
    pub rules: PathBuf,
}

/// One of the five.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outage {
    /// 2020-06-11: twelve thousand reads a second, most of what is not there.
    Flood,
    /// 2022-09-15: a node comes back with an empty disk.
    Reimaged,
    /// 2023-01-24: a node that was restarted is asked before it has found the others.
    AskedTooEarly,
    /// A scheduler moves the nodes to other hosts, one after the other.
    Moved,
    /// 2025-03-31: the disks of all hosts fill up.
    FullDisks,
}

/// Says what happens while it does.
pub(super) type Tell<'a> = &'a mut dyn FnMut(&str);

impl Outage {
    /// All, in the order in which they happened.
    pub const ALL: [Self; 5] = [Self::Flood, Self::Reimaged, Self::AskedTooEarly, Self::Moved, Self::FullDisks];

    /// What its files are called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Flood => "1-flood",
            Self::Reimaged => "2-reimaged",
            Self::AskedTooEarly => "3-asked-too-early",
            Self::Moved => "4-moved",
            Self::FullDisks => "5-full-disks",
        }
    }

    /// What it is, in a line.
    pub fn title(self) -> &'static str {
        match self {
            Self::Flood => "2020-06-11: twelve thousand reads a second, 85 % of what is not there",
            Self::Reimaged => "2022-09-15: a node comes back reimaged",
            Self::AskedTooEarly => "2023-01-24: a restarted node is asked before it sees its peers",
            Self::Moved => "A scheduler moves the nodes to other hosts, one after the other",
            Self::FullDisks => "2025-03-31: disks fill up on all hosts",
        }
    }

    /// Replays it, and says meanwhile what happens. An error is what kept it from coming to its end; a promise that was
    /// broken stands in what is told.
    pub fn replay(self, options: &OutagesOptions, mut tell: impl FnMut(&str)) -> Result<Told, String> {
        let play = match self {
            Self::Flood => flood::play,
            Self::Reimaged => reimaged::play,
            Self::AskedTooEarly => asked_too_early::play,
            Self::Moved => moved::play,
            Self::FullDisks => full_disks::play,
        };
        Story::of(|_| play(options, &mut tell)).and_then(|told| told).map(|scene| scene.named(self.title()))
    }
}
