//! JetStream's own requests and answers, as JSON over NATS.

use async_nats::client::RequestErrorKind;
use async_nats::{Client, Subject};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Why a request was not granted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ApiError {
    /// The stream is not there.
    #[error("it does not exist")]
    NoStream,
    /// The consumer is not there.
    #[error("it does not exist")]
    NoConsumer,
    /// Nobody listens to JetStream's requests.
    #[error(
        "JetStream does not answer: is it enabled on the server, and has the cluster a leader?"
    )]
    NoJetStream,
    /// The server refused.
    #[error("{text} (error {code})")]
    Refused {
        /// NATS' own number of the error.
        code: u64,
        /// The server's words.
        text: String,
    },
    /// No answer in time: the connection, the leader, or a permission is missing.
    #[error("no answer in time")]
    TimedOut,
    /// An answer that is not one.
    #[error("cannot read the answer: {0}")]
    Unreadable(String),
}

/// Error codes of the server (`errors.json` of nats-server).
const STREAM_NOT_FOUND: u64 = 10_059;
const CONSUMER_NOT_FOUND: u64 = 10_014;
const NOT_ENABLED: [u64; 2] = [10_039, 10_076];

#[derive(Deserialize)]
struct Refusal {
    error: Option<Cause>,
}

#[derive(Deserialize)]
struct Cause {
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

/// A stream, as far as we care.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct StreamInfo {
    pub(super) created: String,
    pub(super) config: StreamConfig,
    pub(super) state: StreamState,
}

/// What a stream holds.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct StreamState {
    pub(super) first_seq: u64,
    pub(super) last_seq: u64,
    #[serde(default)]
    pub(super) messages: u64,
}

/// The settings of a stream that are ours to say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StreamConfig {
    pub(super) name: String,
    #[serde(default)]
    pub(super) subjects: Vec<String>,
    pub(super) retention: String,
    pub(super) storage: String,
    pub(super) num_replicas: u8,
    /// In ns; 0 is for ever.
    pub(super) max_age: u64,
    /// -1 is no limit.
    pub(super) max_bytes: i64,
    pub(super) discard: String,
}

/// A consumer, as far as we care.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct ConsumerInfo {
    pub(super) created: String,
    pub(super) config: ConsumerConfig,
    pub(super) delivered: Sequences,
    pub(super) num_ack_pending: u64,
    pub(super) num_redelivered: u64,
    pub(super) num_pending: u64,
}

/// How far a consumer is.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Sequences {
    pub(super) consumer_seq: u64,
    pub(super) stream_seq: u64,
}

/// The settings of a consumer that are ours to say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ConsumerConfig {
    #[serde(default)]
    pub(super) durable_name: String,
    pub(super) deliver_policy: String,
    pub(super) ack_policy: String,
    /// In ns.
    #[serde(default)]
    pub(super) ack_wait: u64,
    /// -1 is no limit.
    #[serde(default)]
    pub(super) max_deliver: i64,
    #[serde(default)]
    pub(super) max_ack_pending: i64,
    pub(super) replay_policy: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) filter_subject: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) filter_subjects: Vec<String>,
    /// Set for a push consumer.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) deliver_subject: String,
}

#[derive(Serialize)]
struct NewConsumer<'a> {
    stream_name: &'a str,
    config: &'a ConsumerConfig,
}

/// What the server says of a stream.
pub(super) async fn stream(client: &Client, name: &str) -> Result<StreamInfo, ApiError> {
    ask(client, format!("$JS.API.STREAM.INFO.{name}"), "").await
}

/// Creates a stream.
pub(super) async fn create_stream(
    client: &Client,
    config: &StreamConfig,
) -> Result<StreamInfo, ApiError> {
    let body = serde_json::to_string(config).map_err(unreadable)?;
    ask(client, format!("$JS.API.STREAM.CREATE.{}", config.name), body).await
}

/// What the server says of a consumer.
pub(super) async fn consumer(
    client: &Client,
    stream: &str,
    name: &str,
) -> Result<ConsumerInfo, ApiError> {
    ask(client, format!("$JS.API.CONSUMER.INFO.{stream}.{name}"), "").await
}

/// Creates a durable consumer.
pub(super) async fn create_consumer(
    client: &Client,
    stream: &str,
    config: &ConsumerConfig,
) -> Result<ConsumerInfo, ApiError> {
    let body = NewConsumer { stream_name: stream, config };
    let body = serde_json::to_string(&body).map_err(unreadable)?;
    let name = &config.durable_name;
    ask(client, format!("$JS.API.CONSUMER.DURABLE.CREATE.{stream}.{name}"), body).await
}

async fn ask<T: DeserializeOwned>(
    client: &Client,
    subject: String,
    body: impl Into<String>,
) -> Result<T, ApiError> {
    let answer =
        client.request(Subject::from(subject), body.into().into()).await.map_err(|error| {
            match error.kind() {
                RequestErrorKind::NoResponders => ApiError::NoJetStream,
                RequestErrorKind::TimedOut
                | RequestErrorKind::InvalidSubject
                | RequestErrorKind::MaxPayloadExceeded
                | RequestErrorKind::Other => ApiError::TimedOut,
            }
        })?;
    let refusal: Refusal = serde_json::from_slice(&answer.payload).map_err(unreadable)?;
    match refusal.error {
        None => serde_json::from_slice(&answer.payload).map_err(unreadable),
        Some(Cause { err_code: STREAM_NOT_FOUND, .. }) => Err(ApiError::NoStream),
        Some(Cause { err_code: CONSUMER_NOT_FOUND, .. }) => Err(ApiError::NoConsumer),
        Some(Cause { err_code, .. }) if NOT_ENABLED.contains(&err_code) => {
            Err(ApiError::NoJetStream)
        }
        Some(Cause { err_code, description }) => {
            Err(ApiError::Refused { code: err_code, text: description })
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "made for map_err")]
fn unreadable(error: serde_json::Error) -> ApiError {
    ApiError::Unreadable(error.to_string())
}
