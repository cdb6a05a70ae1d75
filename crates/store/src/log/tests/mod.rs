//! What the log promises, as stories.

mod crash;
mod fatal;
mod flips;
mod long;
mod model;
mod power;
mod sharing;
mod support;
mod tail;
mod twice;
