//! What the log promises, as stories.

mod crash;
mod fatal;
mod flips;
mod full;
mod long;
mod model;
mod pages;
mod power;
mod restart;
mod sharing;
mod support;
mod tail;
mod twice;
