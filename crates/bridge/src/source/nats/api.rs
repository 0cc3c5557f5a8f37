//! JetStream's own requests and answers, as JSON over NATS.

use std::collections::BTreeMap;

use async_nats::client::RequestErrorKind;
use async_nats::{Client, Subject};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

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
    pub(super) name: String,
    pub(super) created: String,
    pub(super) config: ConsumerConfig,
    pub(super) delivered: Sequences,
    /// Everything up to here is acked.
    pub(super) ack_floor: Sequences,
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
    /// What clients keep there, and the server itself.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) metadata: BTreeMap<String, String>,
}

/// Where a reader begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// At this sequence, or the next that is left.
    Sequence(u64),
    /// At the first message that was stored at this time or later, in ms since 1970.
    Time(i64),
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

/// Creates a consumer that is read once: nothing is acked, and the server forgets it soon after its
/// reader has gone. Behind what it has delivered is where it begins.
pub(super) async fn create_reader(
    client: &Client,
    stream: &str,
    start: Start,
) -> Result<ConsumerInfo, ApiError> {
    let mut config = json!({
        "ack_policy": "none",
        "replay_policy": "instant",
        "inactive_threshold": 30_000_000_000_u64,
        "mem_storage": true,
        "num_replicas": 1,
    });
    match start {
        Start::Sequence(sequence) => {
            config["deliver_policy"] = "by_start_sequence".into();
            config["opt_start_seq"] = sequence.max(1).into();
        }
        Start::Time(ms) => {
            let time = jiff::Timestamp::from_millisecond(ms).map_err(|error| {
                ApiError::Refused { code: 0, text: format!("{ms} ms is no time: {error}") }
            })?;
            config["deliver_policy"] = "by_start_time".into();
            config["opt_start_time"] = time.to_string().into();
        }
    }
    let body = json!({ "stream_name": stream, "config": config });
    ask(client, format!("$JS.API.CONSUMER.CREATE.{stream}"), body.to_string()).await
}

/// Deletes a consumer.
pub(super) async fn delete_consumer(
    client: &Client,
    stream: &str,
    name: &str,
) -> Result<(), ApiError> {
    let _: Value = ask(client, format!("$JS.API.CONSUMER.DELETE.{stream}.{name}"), "").await?;
    Ok(())
}

/// Writes a note into a consumer's metadata and leaves all else as it is, settings unknown to us
/// included.
pub(super) async fn note(
    client: &Client,
    stream: &str,
    name: &str,
    key: &str,
    value: &str,
) -> Result<(), ApiError> {
    let info = format!("$JS.API.CONSUMER.INFO.{stream}.{name}");
    let mut found: Value = ask(client, info, "").await?;
    let mut config = found["config"].take();
    config["metadata"][key] = value.into();
    let body = json!({ "stream_name": stream, "config": config, "action": "update" });
    let subject = format!("$JS.API.CONSUMER.DURABLE.CREATE.{stream}.{name}");
    let _: Value = ask(client, subject, body.to_string()).await?;
    Ok(())
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
