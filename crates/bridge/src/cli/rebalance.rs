//! `data-bridge rebalance`: has the group assign its partitions anew.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::{ClientConfig, ClientContext};

use super::fleet::Which;
use super::{Exit, Stop};
use crate::config::{self, Config, Environment, GroupProtocol};
use crate::hub::AssignAnew;

/// Have the consumer group assign its partitions anew
///
/// A member that keeps nothing joins and leaves: each time the group looks at all members and
/// spreads the partitions again. Works with any security that kafka.properties sets. The group is
/// that of the fleet in --state-dir, else that of the configuration.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    #[command(flatten)]
    pub(super) which: Which,
}

const HELP: &str = "\
Examples:
  data-bridge rebalance
  data-bridge rebalance --config bridge.yaml && data-bridge status

Exit codes:
  0  the group has assigned anew
  1  it did not within a minute
  2  usage or configuration
  3  Kafka cannot be reached";

/// Joining waits for all members: each looks at its next heartbeat, and finishes what is in flight.
const JOIN_LIMIT: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(100);
/// The cluster answers within milliseconds.
const METADATA_LIMIT: Duration = Duration::from_secs(5);

/// Notes when the group has answered.
#[derive(Default)]
struct Member {
    joined: AtomicBool,
}

impl ClientContext for Member {}

impl ConsumerContext for Member {
    fn post_rebalance(&self, _consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if matches!(rebalance, Rebalance::Assign(_)) {
            self.joined.store(true, Ordering::Relaxed);
        }
    }
}

/// Has the group assign anew, and says so.
pub(super) fn execute(
    config: &Config,
    environment: &Environment,
    args: &Args,
) -> anyhow::Result<Exit> {
    let mut kafka = config.kafka.clone();
    // The group of the fleet that was named; without one, of the configuration.
    if (args.which.hub.is_some() || args.which.state_dir.is_some())
        && let Some((_, state)) = args.which.find(config, environment)?.local
    {
        (kafka.brokers, kafka.group_id) = (state.kafka.brokers, state.kafka.group_id);
    }
    let said = assign_anew(&kafka)?;
    writeln!(std::io::stdout().lock(), "{said}")?;
    Ok(Exit::Done)
}

/// For a hub, which is asked to do it.
pub(super) fn for_hub(kafka: &config::Kafka) -> Arc<AssignAnew> {
    let kafka = kafka.clone();
    Arc::new(move || assign_anew(&kafka).map_err(|error| format!("{error:#}")))
}

/// Joins, waits for an assignment, leaves; says what came of it.
fn assign_anew(kafka: &config::Kafka) -> anyhow::Result<String> {
    if !kafka.enabled {
        return Err(Stop::new(Exit::Usage, "kafka.enabled is false: there is no group", "").into());
    }
    let mut client = ClientConfig::new();
    for (name, value) in &kafka.properties {
        client.set(name, value.expose());
    }
    client
        .set("bootstrap.servers", &kafka.brokers)
        .set("group.id", &kafka.group_id)
        .set("client.id", "data-bridge-rebalance")
        .set("enable.auto.commit", "false")
        .set("allow.auto.create.topics", "false");
    let protocol = match kafka.group_protocol {
        GroupProtocol::Classic => "classic",
        GroupProtocol::Consumer => "consumer",
    };
    let (property, assignor) = kafka.assignor_property();
    client.set("group.protocol", protocol).set(property, assignor);
    let member = client
        .create_with_context::<_, BaseConsumer<Member>>(Member::default())
        .context("kafka.properties are refused")?;
    let metadata = member.client().fetch_metadata(None, METADATA_LIMIT).map_err(|error| {
        Stop::new(
            Exit::Unreachable,
            format!("Kafka at {} cannot be reached: {error}", kafka.brokers),
            "is kafka.brokers right?",
        )
    })?;
    // librdkafka joins only for a topic that is there. Of one alone little stands still: what it
    // is given of it goes back at once, with nothing committed.
    let exists = |name: &&String| metadata.topics().iter().any(|topic| topic.name() == *name);
    let Some(topic) = kafka.topics.keys().rev().find(exists) else {
        return Err(Stop::new(
            Exit::Failed,
            "none of the configured topics exists",
            "`data-bridge init` creates them",
        )
        .into());
    };
    member.subscribe(&[topic]).context("the group cannot be joined")?;
    let began = Instant::now();
    while !member.context().joined.load(Ordering::Relaxed) {
        if began.elapsed() > JOIN_LIMIT {
            return Err(Stop::new(
                Exit::Failed,
                format!(
                    "the group {} did not assign within {} s",
                    kafka.group_id,
                    JOIN_LIMIT.as_secs()
                ),
                "a member that hangs holds all others up: see `data-bridge status`",
            )
            .into());
        }
        // Errors on the way, such as a topic that is not there, are expected.
        drop(member.poll(POLL));
    }
    let took = began.elapsed();
    Ok(format!("group {} assigned anew after {} ms", kafka.group_id, took.as_millis()))
}
