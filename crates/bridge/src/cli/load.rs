//! `data-bridge load`: a load generator.

use std::io::Write;
use std::num::{NonZeroU32, NonZeroU64};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use data_bridge_lab::generate::Generator;
use data_bridge_lab::kafka::{Pace, Produced, Producer, Progress};
use data_bridge_lab::model::Expected;
use data_bridge_lab::nats::{Assurance, Publisher};
use data_bridge_lab::plan::{self as lab, Mix, Plan, Stamp, Ways};
use data_bridge_lab::verify::{Server, Verdict, wait_until_complete};
use serde_json::json;

use super::screen::bar;
use super::{Exit, Settings, Stop};
use crate::config::{Config, NatsMode};
use crate::source::kafka::topics;
use crate::source::nats;

/// How long the cluster may take to say which topics there are.
const KAFKA_LIMIT: Duration = Duration::from_secs(10);
/// Messages that go by NATS before the same ones go by Kafka, at most.
const PIECE: u64 = 2_000;
/// How long rows may take after the last message was produced.
const ROWS_LIMIT: Duration = Duration::from_mins(2);

/// Produce market data of all kinds, seeded and numbered
///
/// Every message follows from the seed and its number, so a run can be repeated and verified.
/// Topics and the stream must be there: `data-bridge init` creates them. With `both`, each message
/// goes by NATS and, a moment later, by Kafka: one row must come of it.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    #[command(flatten)]
    pub(super) settings: Settings,

    /// How many messages
    #[arg(short, long, value_name = "N", default_value_t = 100_000)]
    pub(super) messages: u64,

    /// Messages per second [default: as fast as it goes]
    #[arg(short, long, value_name = "R")]
    pub(super) rate: Option<NonZeroU64>,

    /// Decides all messages
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    pub(super) seed: u64,

    /// Kinds of messages, comma-separated [default: all, mostly ticks]
    #[arg(long, value_name = "KIND,...", value_enum, value_delimiter = ',')]
    pub(super) kinds: Vec<Kind>,

    /// Share of bad messages, 0 to 1: each must become a dead letter
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    pub(super) bad_share: f64,

    /// Share of messages sent a second time, 0 to 1, with the bad ones at most 1: none may be
    /// visible twice
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    pub(super) duplicates: f64,

    /// Afterwards, wait for the rows and compare every value in ClickHouse; rows that are there
    /// already, of other seeds or sources, count as unexpected
    #[arg(long)]
    pub(super) verify: bool,

    /// By which way
    #[arg(long, value_name = "WAY", value_enum, default_value = "kafka")]
    pub(super) transport: Transport,

    /// Print the result as JSON
    #[arg(long)]
    pub(super) json: bool,
}

const HELP: &str = "\
Examples:
  data-bridge load --messages 1000000
  data-bridge load --messages 300000 --rate 50000 --bad-share 0.001 --duplicates 0.01 --verify
  data-bridge load --kinds ticks,aggregates --seed 7
  data-bridge load --transport both --messages 100000 --verify

Exit codes:
  0  produced, and with --verify all rows are as they must be
  1  --verify found a difference
  2  usage or configuration
  3  Kafka, NATS or ClickHouse cannot be reached";

/// A kind of message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(super) enum Kind {
    Ticks,
    Aggregates,
    /// All six external ones
    External,
    EconomicCalendar,
    FredEconomic,
    CryptoSentiment,
    FearGreedIndex,
    CommodityPrices,
    MarketSessions,
}

/// A way to the bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Transport {
    Kafka,
    Nats,
    Both,
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        Ok(_) | Err(_) => Err("write a number from 0 to 1, such as 0.01".to_owned()),
    }
}

/// Produces, and verifies when asked.
pub(super) fn execute(config: &Config, args: &Args) -> anyhow::Result<Exit> {
    let generator = Generator::try_new(plan(config, args)?)
        .map_err(|bad| Stop::new(Exit::Usage, bad.to_string(), "see data-bridge load --help"))?;
    let numbers = 0..args.messages;
    let produced = produce(config, args, &generator, numbers)?;
    let transport = args.transport.to_possible_value();
    let transport = transport.as_ref().map_or("", |value| value.get_name()).to_owned();
    let mut page = json!({
        "messages": produced.messages,
        "bytes": produced.bytes,
        "seconds": produced.elapsed.as_secs_f64(),
        "seed": args.seed,
        "transport": transport,
    });
    let mut out = std::io::stdout().lock();
    if !args.json {
        let seconds = produced.elapsed.as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = (produced.messages as f64 / seconds.max(1e-9)).round();
        writeln!(out, "produced {} messages in {seconds:.1} s: {rate}/s", produced.messages)?;
    }
    let verdict = args.verify.then(|| verify(config, &generator)).transpose()?;
    if let Some(verdict) = &verdict {
        page["verdict"] = verdict.to_json();
        if !args.json {
            writeln!(out, "{verdict}")?;
        }
    }
    if args.json {
        writeln!(out, "{page:#}")?;
    }
    Ok(match verdict {
        Some(verdict) if !verdict.holds() => Exit::Failed,
        Some(_) | None => Exit::Done,
    })
}

/// The plan of the arguments; the topics must have as many partitions as they really have.
fn plan(config: &Config, args: &Args) -> anyhow::Result<Plan> {
    let now = jiff::Timestamp::now().as_millisecond();
    let mut plan = Plan::new(args.seed, args.messages, now);
    plan.mix = mix(args, &plan.mix)?;
    if !args.kinds.is_empty() {
        for (kind, weight) in lab::Kind::ALL.into_iter().zip(&mut plan.mix.kinds) {
            if !args.kinds.iter().any(|wanted| wanted.names(kind)) {
                *weight = 0;
            }
        }
    }
    let origin = match config.nats.mode {
        NatsMode::JetStream => format!("nats:{}", config.nats.stream),
        // Rows name their route too: only their number can be verified.
        NatsMode::Core => "nats-core".to_owned(),
    };
    plan.ways = match args.transport {
        Transport::Kafka => Ways::Kafka,
        Transport::Nats => Ways::Nats { origin },
        Transport::Both => Ways::Both { origin },
    };
    plan.stamp = stamp(args, plan.stamp);
    if args.transport != Transport::Kafka && args.verify && config.nats.mode == NatsMode::Core {
        let what = "--verify needs nats.mode: jetstream: core NATS may lose messages";
        return Err(Stop::new(Exit::Usage, what, "leave --verify out").into());
    }
    if args.transport != Transport::Nats {
        plan.partitions = partitions(config, &plan)?;
    }
    Ok(plan)
}

/// The shares that were asked for; corrections of earlier events take what these leave.
fn mix(args: &Args, mix: &Mix) -> anyhow::Result<Mix> {
    let (bad, duplicates) = (args.bad_share, args.duplicates);
    let planted = bad + duplicates;
    if planted > 1.0 {
        let what = format!("--bad-share {bad} and --duplicates {duplicates} are more than all");
        return Err(Stop::new(Exit::Usage, what, "together they may be 1 at most").into());
    }
    Ok(Mix { bad, duplicates, corrections: mix.corrections.min(1.0 - planted), ..mix.clone() })
}

/// Which time stands on records. Watched while it flows, a message has to be as old as it looks; a
/// stream gives its own times.
fn stamp(args: &Args, numbered: Stamp) -> Stamp {
    match args.transport {
        Transport::Kafka if args.rate.is_none() => numbered,
        Transport::Kafka | Transport::Nats | Transport::Both => Stamp::Clock,
    }
}

/// The number of partitions that all topics of the plan have.
fn partitions(config: &Config, plan: &Plan) -> anyhow::Result<NonZeroU32> {
    let wanted: Vec<String> = lab::Kind::ALL
        .into_iter()
        .filter(|kind| plan.mix.kinds[kind.index()] > 0)
        .map(|kind| plan.topic(kind))
        .collect();
    let states = topics::describe(&config.kafka, KAFKA_LIMIT).map_err(|error| {
        let hint = "kafka.brokers must name a broker that answers";
        Stop::new(Exit::Unreachable, error.to_string(), hint)
    })?;
    let of = |topic: &String| states.iter().find(|state| state.name == *topic);
    let mut counts = Vec::new();
    for topic in &wanted {
        let Some(count) = of(topic).and_then(|state| state.partitions) else {
            let what = format!("topic {topic} does not exist, or kafka.topics leaves it out");
            return Err(Stop::new(Exit::Failed, what, "run `data-bridge init` first").into());
        };
        counts.push(count);
    }
    counts.dedup();
    let [count] = counts[..] else {
        let what = "the topics have different numbers of partitions";
        return Err(Stop::new(Exit::Failed, what, "choose --kinds whose topics are alike").into());
    };
    Ok(u32::try_from(count).ok().and_then(NonZeroU32::new).unwrap_or(plan.partitions))
}

/// Produces with a progress bar on a terminal.
fn produce(
    config: &Config,
    args: &Args,
    generator: &Generator,
    numbers: std::ops::Range<u64>,
) -> anyhow::Result<Produced> {
    #[expect(clippy::cast_precision_loss, reason = "a rate has no use for 53 bits")]
    let pace = args.rate.map_or(Pace::Full, |rate| Pace::PerSecond(rate.get() as f64));
    let bar = bar("producing", args.messages);
    let produced = match args.transport {
        Transport::Kafka => {
            let producer = Producer::connect(&config.kafka.brokers)?;
            producer.produce(generator, numbers, pace, |state| bar.set_position(state.delivered))?
        }
        Transport::Nats => publisher(config)?
            .publish(generator, numbers, pace, |state| bar.set_position(state.delivered))?,
        Transport::Both => {
            both(config, generator, numbers, pace, |state| bar.set_position(state.delivered))?
        }
    };
    bar.finish_and_clear();
    Ok(produced)
}

/// Each piece by NATS, the fast path, then the same by Kafka: of messages that share an identity,
/// the newer one is the newer one by either way.
fn both(
    config: &Config,
    generator: &Generator,
    numbers: std::ops::Range<u64>,
    pace: Pace,
    mut progress: impl FnMut(Progress),
) -> anyhow::Result<Produced> {
    let producer = Producer::connect(&config.kafka.brokers)?;
    let mut publisher = publisher(config)?;
    let began = Instant::now();
    let (mut messages, mut bytes, mut start) = (0, 0, numbers.start);
    while start < numbers.end {
        if let Pace::PerSecond(rate) = pace {
            producer.hold(messages, rate, began);
        }
        let piece = start..numbers.end.min(start + piece(pace, messages, began.elapsed()));
        start = piece.end;
        publisher.publish(generator, piece.clone(), Pace::Full, |_| {})?;
        let by_kafka = producer.produce(generator, piece, Pace::Full, |_| {})?;
        messages += by_kafka.messages;
        bytes += by_kafka.bytes;
        progress(Progress { sent: messages, delivered: messages, elapsed: began.elapsed() });
    }
    Ok(Produced { messages, bytes, elapsed: began.elapsed() })
}

/// Messages of the next piece after so many in this time: with a bounded rate those of a hundredth of
/// a second, or all that are due, since waiting for two confirmations may take longer.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "clamped before"
)]
fn piece(pace: Pace, sent: u64, elapsed: Duration) -> u64 {
    match pace {
        Pace::Full => PIECE,
        Pace::PerSecond(rate) => {
            let due = rate * elapsed.as_secs_f64() - sent as f64;
            due.max(rate / 100.0).clamp(1.0, PIECE as f64) as u64
        }
    }
}

fn publisher(config: &Config) -> anyhow::Result<Publisher> {
    let assurance = match config.nats.mode {
        NatsMode::JetStream => Assurance::Confirmed,
        NatsMode::Core => Assurance::None,
    };
    let options =
        super::runtime()?.block_on(nats::client_options(&config.nats)).map_err(Stop::from)?;
    let urls = config.nats.cluster_urls.join(",");
    Publisher::connect_with(&urls, options, assurance).map_err(|error| {
        let hint = "nats.cluster_urls and nats.auth must lead to a server that lets us in";
        Stop::new(Exit::Unreachable, error.to_string(), hint).into()
    })
}

/// Waits for the rows and compares every value.
fn verify(config: &Config, generator: &Generator) -> anyhow::Result<Verdict> {
    let expected = Expected::of(generator)?;
    let clickhouse = &config.clickhouse;
    let url = clickhouse.urls.first().map_or("", String::as_str);
    let server = Server::new(url, &clickhouse.database)
        .with_credentials(&clickhouse.user, clickhouse.password.expose());
    let bar = bar("waiting for rows", expected.visible_in_all() + expected.dead_letters());
    let waiting = wait_until_complete(&server, &expected, ROWS_LIMIT, |arrived| {
        bar.set_position(arrived.rows);
    });
    let verdict = super::runtime()?.block_on(waiting).map_err(|error| {
        Stop::new(Exit::Unreachable, error.to_string(), "clickhouse.urls must lead to ClickHouse")
    })?;
    bar.finish_and_clear();
    Ok(verdict)
}

impl Kind {
    fn names(self, kind: lab::Kind) -> bool {
        match self {
            Self::Ticks => kind == lab::Kind::Tick,
            Self::Aggregates => kind == lab::Kind::Candle,
            Self::External => !matches!(kind, lab::Kind::Tick | lab::Kind::Candle),
            Self::EconomicCalendar => kind == lab::Kind::EconomicCalendar,
            Self::FredEconomic => kind == lab::Kind::FredEconomic,
            Self::CryptoSentiment => kind == lab::Kind::CryptoSentiment,
            Self::FearGreedIndex => kind == lab::Kind::FearGreedIndex,
            Self::CommodityPrices => kind == lab::Kind::CommodityPrices,
            Self::MarketSessions => kind == lab::Kind::MarketSessions,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use data_bridge_lab::generate::{Message, Role};

    use super::*;
    use crate::config::Environment;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn args(line: &str) -> Args {
        Line::parse_from(["load"].into_iter().chain(line.split_whitespace())).args
    }

    fn planned(line: &str) -> anyhow::Result<Generator> {
        let config = Config::from_defaults(&Environment::default());
        Ok(Generator::try_new(plan(&config, &args(line))?)?)
    }

    #[test]
    fn a_rate_is_kept_however_long_a_piece_takes() {
        let of = |rate, sent, ms| piece(Pace::PerSecond(rate), sent, Duration::from_millis(ms));
        assert_eq!((of(3_000.0, 0, 0), of(3_000.0, 30, 10)), (30, 30), "as many as are due soon");
        assert_eq!(of(3_000.0, 30, 60), 150, "those that became due meanwhile");
        assert_eq!((of(1.0, 5, 5_000), of(1e9, 0, 1_000)), (1, PIECE));
    }

    #[test]
    fn every_share_from_0_to_1_can_be_had() {
        let roles = |line: &str| {
            let generator = planned(line).unwrap();
            let mut message = Message::default();
            let roles = (0..2_000).map(|number| {
                generator.message(number, &mut message);
                message.role
            });
            roles.collect::<Vec<_>>()
        };
        let bad = roles("--transport nats --bad-share 1");
        assert!(bad.iter().all(|role| matches!(role, Role::Bad(_))), "{bad:?}");
        let none = roles("--transport nats");
        assert!(none.iter().all(|role| !matches!(role, Role::Bad(_))), "{none:?}");
        let both = roles("--transport nats --bad-share 0.2 --duplicates 0.3");
        assert!(both.iter().any(|role| matches!(role, Role::Copy { .. })), "{both:?}");
        let more = planned("--transport nats --bad-share 0.6 --duplicates 0.5").unwrap_err();
        assert!(more.to_string().contains("--bad-share 0.6 and --duplicates 0.5"), "{more}");
    }

    #[test]
    fn what_is_watched_while_it_flows_is_as_old_as_it_looks() {
        let numbered = Plan::new(1, 1, 7).stamp;
        let stamp_of = |line: &str| stamp(&args(line), numbered);
        assert_eq!(stamp_of(""), numbered, "versions can be verified");
        for line in ["--rate 100", "--transport nats", "--transport both --rate 100"] {
            assert_eq!(stamp_of(line), Stamp::Clock, "{line}");
        }
    }
}
