use std::future::poll_fn;
use std::io;

use tokio::io::copy_bidirectional;

use super::accepting::{Accepting, Allowed};
use super::config::Tls;
use super::dialling::secured;
use crate::transport::stream::Wire;

/// What a man in the middle does: he speaks TLS with either side by his own key, and hands on what he hears.
pub(crate) async fn intercepted(tls: &Tls, from: Box<dyn Wire>, to: Box<dyn Wire>) -> io::Result<()> {
    let mut accepting = Accepting::new(from, Allowed::Tls(tls.called()));
    let (mut from, _) = poll_fn(|cx| accepting.poll(cx)).await?;
    let (mut to, _) = secured(tls.calls(), to).await?;
    copy_bidirectional(&mut from, &mut to).await.map(drop)
}
