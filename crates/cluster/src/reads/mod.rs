//! How a read learns that what it finds is current (ReadIndex: rounds that many reads share, their confirmation by
//! votes, what a vote proves), without knowing writes, the health of other members, or the configuration.

mod confirmation;
mod reader;
mod rounds;
mod standing;

pub(crate) use reader::Reads;
