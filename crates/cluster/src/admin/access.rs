use std::sync::Arc;

use tonic::{Request, Response, Status};

use crate::admission::WrongTokens;
use crate::tokens::Operators;
use crate::transport::{OpenConnection, Operator, ThisNode};
use crate::wire::access_server::Access;
use crate::wire::refusal::Reason;
use crate::wire::{EnterRequest, EnterResponse, ProveAccessRequest, ProveAccessResponse};

/// Where operators from elsewhere and this node prove to each other that they know a token.
pub(crate) struct AccessService {
    this: Arc<ThisNode>,
    operators: Operators,
    wrong_tokens: WrongTokens,
}

impl AccessService {
    pub(crate) fn new(this: Arc<ThisNode>, operators: Operators) -> Self {
        Self { this, operators, wrong_tokens: WrongTokens::new() }
    }

    /// What both sides of a connection know, and nobody else.
    fn exporter<T>(&self, request: &Request<T>) -> Result<[u8; 32], Status> {
        let exporter = self.this.door().exporter_of(request);
        exporter.ok_or_else(|| self.this.door().refuse(Reason::Token, "nothing is proved without TLS"))
    }

    /// Says in the log that somebody has another token, and makes it wait.
    async fn wrong<T>(&self, request: &Request<T>) {
        let from = address_of(request);
        let text = format!("somebody at {from} has a token of operators that this node does not know");
        self.wrong_tokens.came(&text).await;
    }
}

fn address_of<T>(request: &Request<T>) -> String {
    let connection = request.extensions().get::<Arc<OpenConnection>>();
    connection.and_then(|connection| connection.from()).unwrap_or("an unknown address").to_owned()
}

#[tonic::async_trait]
impl Access for AccessService {
    async fn prove(&self, request: Request<ProveAccessRequest>) -> Result<Response<ProveAccessResponse>, Status> {
        if request.get_ref().is_wrong {
            self.wrong(&request).await;
        }
        let proofs = self.operators.prove(&self.exporter(&request)?).into_iter().map(Into::into).collect();
        Ok(Response::new(ProveAccessResponse { proofs }))
    }

    async fn enter(&self, request: Request<EnterRequest>) -> Result<Response<EnterResponse>, Status> {
        let exporter = self.exporter(&request)?;
        let Some(token) = self.operators.proved(&exporter, &request.get_ref().proof) else {
            self.wrong(&request).await;
            let text = "the token is none that the node knows (cluster.operator_token_file)";
            return Err(self.this.door().refuse(Reason::Token, text));
        };
        let right = token.right.name().to_owned();
        if let Some(connection) = request.extensions().get::<Arc<OpenConnection>>() {
            let (who, from) = (format!("token {}", token.name), address_of(&request));
            connection.asks_as(Operator { who, from, right: token.right, token: Some(token) });
        }
        Ok(Response::new(EnterResponse { right }))
    }
}
