//! TLS between nodes, which proves of the other side that it has a key, and says which. Whose key that is, and whether
//! that node may say what it says, is not known here.
//!
//! Each node has a key pair (`key`) and a certificate that it makes of it at each start, because TLS wants one. Nobody
//! looks at a certificate's names or dates, nobody has a CA, and no clock is asked: what counts is the hash of the public
//! key, for which the other side has the secret one (`config`). `accepting` is the side that is called, `dialling` the one
//! that calls.

mod accepting;
mod config;
mod dialling;
mod handshake;
#[cfg(test)]
mod intercepted;
mod key;

pub(super) use accepting::{Accepting, Allowed};
pub(crate) use config::Tls;
pub(super) use dialling::{secured, speaks_no_tls};
pub(crate) use handshake::Handshake;
#[cfg(test)]
pub(crate) use intercepted::intercepted;
pub(crate) use key::NodeKey;
