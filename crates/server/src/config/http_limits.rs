use std::time::Duration;

/// What one client, and all of them together, may ask of the HTTP side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpLimits {
    /// The longest value, in bytes.
    pub max_value_bytes: usize,
    /// From the whole request read to the answer begun.
    pub request_timeout: Duration,
    /// For the request line and the headers to arrive.
    pub header_timeout: Duration,
    /// For the body to arrive.
    pub body_timeout: Duration,
    /// How long a connection may say nothing between two requests.
    pub idle_timeout: Duration,
    /// Connections at a time.
    pub max_connections: usize,
    /// How long `/readyz` waits for the next leader before it says that this node is not ready.
    pub ready_patience: Duration,
}
