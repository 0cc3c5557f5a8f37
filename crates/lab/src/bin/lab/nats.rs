//! A stream filled with the seeded messages, and the plain pull consumer that is the limit of
//! everything that reads it.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use async_nats::{Client, Subject};
use clap::ValueEnum;
use data_bridge_lab::generate::Generator;
use data_bridge_lab::kafka::Pace;
use data_bridge_lab::nats::{Assurance, Publisher};
use data_bridge_lab::plan::{Kind, Plan, Stamp, Ways};
use futures_util::StreamExt;
use serde_json::{Value, json};

use super::produce::{expectation, plan};

#[derive(clap::Args)]
pub(crate) struct Publish {
    #[arg(long)]
    servers: String,
    #[arg(long)]
    stream: String,
    #[arg(long)]
    messages: u64,
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Publishes ticks of last winter as fast as it goes; each is confirmed by the stream.
pub(crate) fn publish(arguments: &Publish) -> Result<Value> {
    let Publish { servers, stream, messages, seed } = arguments;
    let generator = Generator::try_new(Plan {
        ways: Ways::Nats { origin: format!("nats:{stream}") },
        stamp: Stamp::Clock,
        ..plan(Kind::Tick, *messages, *seed, NonZeroU32::MIN)
    })?;
    let mut publisher = Publisher::connect(servers, Assurance::Confirmed)?;
    let published = publisher.publish(&generator, 0..*messages, Pace::Full, |_progress| ())?;
    expectation(&generator, Kind::Tick, &published)
}

/// How messages are acked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Acks {
    /// Each by a publish of its own.
    Explicit,
    /// The last of a batch, for all before it.
    All,
    /// Not at all.
    None,
}

#[derive(clap::Args)]
pub(crate) struct Pull {
    #[arg(long)]
    servers: String,
    #[arg(long)]
    stream: String,
    /// A consumer that is made for this run
    #[arg(long)]
    consumer: String,
    #[arg(long)]
    messages: u64,
    #[arg(long, value_enum, default_value = "explicit")]
    acks: Acks,
    /// Messages of one pull
    #[arg(long, default_value_t = 5_000)]
    batch: u64,
}

/// Pulls under way at once.
const PULLS: u64 = 3;
/// A stored stream is delivered at a hundred thousand messages a second.
const SILENCE: Duration = Duration::from_secs(20);
/// The longest wait for the last acks to be counted.
const SETTLE: Duration = Duration::from_secs(30);

/// Reads the stream from its beginning and does nothing with it but ack.
pub(crate) async fn pull(arguments: &Pull) -> Result<Value> {
    let Pull { servers, stream, consumer, messages, acks, batch } = arguments;
    let client = async_nats::ConnectOptions::new()
        .subscription_capacity(65_536)
        .skip_subject_validation(true)
        .connect(servers)
        .await?;
    let policy = acks.to_possible_value().map_or_else(String::new, |one| one.get_name().to_owned());
    let mut config = json!({ "durable_name": consumer, "deliver_policy": "all",
        "ack_policy": policy, "replay_policy": "instant" });
    if *acks != Acks::None {
        config["ack_wait"] = 30_000_000_000_u64.into();
        config["max_ack_pending"] = 200_000.into();
        config["max_deliver"] = (-1).into();
    }
    let body = json!({ "stream_name": stream, "config": config });
    ask(&client, format!("$JS.API.CONSUMER.DURABLE.CREATE.{stream}.{consumer}"), &body).await?;

    let inbox = Subject::from(client.new_inbox());
    let mut answers = client.subscribe(inbox.clone()).await?;
    let next = Subject::from(format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"));
    let request = json!({ "batch": batch, "expires": 30_000_000_000_u64 }).to_string();
    let (start, before) = (Instant::now(), super::cpu_seconds());
    for _ in 0..PULLS {
        client.publish_with_reply(next.clone(), inbox.clone(), request.clone().into()).await?;
    }
    let (mut seen, mut bytes) = (0_u64, 0_u64);
    while seen < *messages {
        let Ok(answer) = tokio::time::timeout(SILENCE, answers.next()).await else {
            bail!("{seen} of {messages} messages, then nothing");
        };
        let answer = answer.context("the connection has ended")?;
        if let Some(status) = answer.status {
            // 409 "Batch Completed" says what we know from counting.
            if !matches!(status.as_u16(), 100 | 409) {
                bail!("{seen} of {messages} messages, then status {status}");
            }
            continue;
        }
        seen += 1;
        bytes += answer.payload.len() as u64;
        let is_last_of_pull = seen % batch == 0 || seen == *messages;
        let is_acked = match acks {
            Acks::Explicit => true,
            Acks::All => is_last_of_pull,
            Acks::None => false,
        };
        if let (true, Some(reply)) = (is_acked, answer.reply) {
            client.publish(reply, "+ACK".into()).await?;
        }
        if is_last_of_pull {
            client.publish_with_reply(next.clone(), inbox.clone(), request.clone().into()).await?;
        }
    }
    client.flush().await?;
    let info = format!("$JS.API.CONSUMER.INFO.{stream}.{consumer}");
    let settling = Instant::now();
    while *acks != Acks::None {
        let page = ask(&client, info.clone(), &Value::Null).await?;
        if page["num_ack_pending"] == 0 {
            break;
        }
        if settling.elapsed() > SETTLE {
            bail!("{} messages are not acked", page["num_ack_pending"]);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(json!({
        "messages": seen,
        "bytes": bytes,
        "seconds": start.elapsed().as_secs_f64(),
        "cpu_seconds": super::cpu_seconds() - before,
    }))
}

/// Asks JetStream; its answer, unless it is an error.
async fn ask(client: &Client, subject: String, body: &Value) -> Result<Value> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = client.request(Subject::from(subject.clone()), body.into()).await?;
    let page: Value = serde_json::from_slice(&answer.payload)?;
    if let Some(error) = page.get("error") {
        bail!("{subject}: {error}");
    }
    Ok(page)
}
