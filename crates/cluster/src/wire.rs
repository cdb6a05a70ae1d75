//! Generated from proto/sessile/v1/{peer,admin}.proto.
#![allow(missing_docs, clippy::all, unreachable_pub, unused_qualifications)]

tonic::include_proto!("sessile.v1");

/// What reflection shows.
pub(crate) const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
