use std::convert::Infallible;
use std::future::{Ready, ready};
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::Either;
use http::{HeaderMap, Request, Response};
use tonic::Status;
use tonic::body::Body;
use tonic::metadata::MetadataMap;
use tonic::server::NamedService;
use tower::Service;

use super::caller::PASSED_ON;
use super::rights::needed;
use super::same_machine;
use crate::transport::{OpenConnection, ThisNode};

/// A service for operators, which lets nothing in but what somebody asks who has the right to: on a connection on which an
/// operator's token was proved, or of this machine; or as a member that passes on what such a one has asked.
#[derive(Clone)]
pub(crate) struct Guarded<S> {
    inner: S,
    this: Arc<ThisNode>,
    /// Where the socket is that asks for no token; nowhere, if there is none.
    data_dir: Option<Arc<Path>>,
}

impl<S> Guarded<S> {
    pub(crate) fn new(inner: S, this: &Arc<ThisNode>, data_dir: Option<&Arc<Path>>) -> Self {
        Self { inner, this: this.clone(), data_dir: data_dir.cloned() }
    }

    fn admit<B>(&self, request: &Request<B>) -> Result<(), Status> {
        if request.headers().contains_key(PASSED_ON) {
            return self.admit_member(request.headers(), request.extensions());
        }
        let path = request.uri().path();
        let connection = request.extensions().get::<Arc<OpenConnection>>();
        let Some(operator) = connection.and_then(|connection| connection.operator()) else {
            return Err(self.nobody(connection.and_then(|connection| connection.from())));
        };
        let needed = needed(path);
        if operator.right >= needed {
            return Ok(());
        }
        Err(Status::permission_denied(format!(
            "{} has the right `{}`, and {} needs `{}`: nothing was changed; give --token-file with another token",
            operator.who,
            operator.right.name(),
            path.rsplit('/').next().unwrap_or(path),
            needed.name()
        )))
    }

    /// What somebody at that address is told who has proved nothing.
    fn nobody(&self, from: Option<&str>) -> Status {
        let mut status = Status::unauthenticated(
            "the node answers nobody who has not proved to be an operator: give --token-file with a token of its \
             cluster.operator_token_file; or run the command on its machine, as root or as its user, where the socket in its \
             data directory asks for none",
        );
        if let (Some(data_dir), Some(from)) = (&self.data_dir, from)
            && same_machine::is_here(from)
        {
            same_machine::tell(&mut status, data_dir);
        }
        status
    }

    /// It must be of the same cluster, and must mean this node: what is asked of one cluster never reaches another one whose
    /// node answers at a member's address. Whether its operator has the right, it has looked itself.
    fn admit_member(&self, headers: &HeaderMap, extensions: &http::Extensions) -> Result<(), Status> {
        let metadata = MetadataMap::from_headers(headers.clone());
        let asked = tonic::Request::from_parts(metadata, extensions.clone(), ());
        self.this.door().admit(&asked).map(drop)
    }
}

impl<S, B> Service<Request<B>> for Guarded<S>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<S::Future, Ready<Result<Response<Body>, Infallible>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match self.admit(&request) {
            Ok(()) => Either::Left(self.inner.call(request)),
            Err(refused) => Either::Right(ready(Ok(refused.into_http()))),
        }
    }
}

impl<S: NamedService> NamedService for Guarded<S> {
    const NAME: &'static str = S::NAME;
}
