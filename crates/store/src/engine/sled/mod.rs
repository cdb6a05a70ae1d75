//! The session state on sled 0.34, for small stores.

mod engine;
mod overlay;
mod shared;
mod unfinished;
mod view;

pub(super) use engine::SledEngine;
