//! Generated from proto/sessile/v1/{peer,admin}.proto, and kept in proto/generated.
#![allow(missing_docs, clippy::all, unreachable_pub, unused_qualifications)]

include!("../../../proto/generated/cluster.rs");

/// What reflection shows.
pub(crate) const DESCRIPTORS: &[u8] = include_bytes!("../../../proto/generated/descriptors.bin");
