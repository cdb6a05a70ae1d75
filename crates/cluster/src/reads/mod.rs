//! How a read learns that what it finds is current (ReadIndex): rounds that many reads share, their confirmation by votes,
//! and what a vote proves. It knows one group, and nothing of writes, of other members' health or of the configuration.

mod confirmation;
mod reader;
mod rounds;
mod standing;

pub(crate) use reader::Reads;
