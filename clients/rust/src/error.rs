/// Why a [`Producer`](crate::Producer) could not be connected, or has failed. A failed producer does not recover: transient
/// errors are retried and not reported.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ClientError {
    /// The URL of the server can't be parsed.
    #[error("invalid server URL {url:?}: {reason}; use a URL like http://127.0.0.1:8080")]
    InvalidUrl {
        /// The URL as given.
        url: String,
        /// The parser's error.
        reason: String,
    },
    /// The key cannot be sent. It is not repeated here.
    #[error(
        "the key has characters that no key has; pass the whole text that `millrace keys create` printed"
    )]
    InvalidKey,
    /// The first connection failed, or nothing was acknowledged for longer than the stall timeout.
    #[error("{url} is unavailable: {reason}; check that `millrace serve` is running there")]
    Unavailable {
        /// The URL of the server.
        url: String,
        /// The last error of the connection.
        reason: String,
    },
    /// The server rejects the requests, and would do so again. Holds the server's message.
    #[error("the server rejected the request: {0}")]
    Rejected(String),
    /// The server has lost acknowledged requests, or has received requests that this producer did not send.
    #[error(
        "the server reports {last_durable} as the last durable sequence, but this producer has sent {last_sent}, and \
         {last_acknowledged} was acknowledged; check that no other producer has the same producer_id"
    )]
    SequenceMismatch {
        /// What the server reports.
        last_durable: u64,
        /// The last sequence that the server acknowledged to this producer.
        last_acknowledged: u64,
        /// The last sequence that this producer sent.
        last_sent: u64,
    },
    /// [`Producer::close`](crate::Producer::close) was called, here or on a clone.
    #[error("the producer is closed")]
    Closed,
}
