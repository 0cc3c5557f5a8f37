//! `data-bridge init`: create what is missing.

mod migrate;

use std::io::Write;
use std::time::Duration;

use data_bridge_core::catalog::{Catalog, Severity};
use data_bridge_core::verdict::Failure;

use super::{Exit, Settings, Stop};
use crate::config::{Config, GroupProtocol, NatsMode};
use crate::sink::clickhouse::{ClickHouse, literal, quoted};
use crate::sink::tables::{Found, create, database_ddl, look_at};
use crate::source::kafka::SourceError;
use crate::source::kafka::terms::{self, Agreed, GroupTerms};
use crate::source::kafka::topics::{self, Outcome, TopicOutcome};
use crate::source::nats::stream;

/// How long the cluster may take for each of two questions; a broker that just started needs a
/// few seconds to create topics.
const KAFKA_LIMIT: Duration = Duration::from_secs(15);

/// Create tables, topics, stream and consumer that are missing; never drop or change one
///
/// Tables that exist are compared with what the bridge needs: engine, sort key, partition key,
/// columns. A user's own tables are not created. A stream or consumer that exists is compared too.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    #[command(flatten)]
    pub(super) settings: Settings,

    /// Print the DDL and change nothing; no server is asked
    #[arg(long)]
    pub(super) dry_run: bool,

    /// Create the tables on all servers of this cluster, replicated (`ON CLUSTER`, Keeper paths)
    #[arg(long, value_name = "NAME")]
    pub(super) cluster: Option<String>,

    /// Print the INSERT SELECT that copies an older table of candles, keyed by symbol, timeframe
    /// and time in milliseconds, into ours; nothing is created or copied
    #[arg(long, value_name = "TABLE", conflicts_with_all = ["dry_run", "cluster"])]
    pub(super) migrate: Option<String>,
}

const HELP: &str = "\
Examples:
  data-bridge init
  data-bridge init --dry-run | less
  CLICKHOUSE_URL=http://ch:8123 data-bridge init --set kafka.init.partitions=12
  data-bridge init --cluster main --dry-run
  data-bridge init --migrate old.aggregates > copy.sql

Exit codes:
  0  everything is there
  1  something has another shape, or cannot be created
  2  usage or configuration
  3  Kafka, NATS or ClickHouse cannot be reached";

/// Creates what is missing, or prints the DDL.
pub(super) fn execute(config: &Config, args: &Args) -> anyhow::Result<Exit> {
    if args.dry_run {
        std::io::stdout().lock().write_all(ddl(config, args.cluster.as_deref()).as_bytes())?;
        return Ok(Exit::Done);
    }
    let runtime = super::runtime()?;
    if let Some(old) = &args.migrate {
        return runtime.block_on(print_migration(config, old));
    }
    let tables = runtime.block_on(tables(config, args.cluster.as_deref()))?;
    let topics = !config.kafka.enabled || topics(config)?;
    group(config)?;
    let streams = !config.nats.enabled || runtime.block_on(streams(config))?;
    Ok(if tables && topics && streams { Exit::Done } else { Exit::Failed })
}

/// What a failure of ClickHouse means for the command.
#[expect(clippy::needless_pass_by_value, reason = "made for `map_err`")]
fn failed(failure: Failure) -> Stop {
    let exit = match &failure {
        Failure::Server { .. } | Failure::Credentials(_) => Exit::Failed,
        Failure::Http { .. } | Failure::Connect(_) | Failure::Cut(_) | Failure::TimedOut(_) => {
            Exit::Unreachable
        }
    };
    let hint = "clickhouse.urls, user and password must lead to a server that may be written";
    Stop::new(exit, failure.to_string(), hint)
}

/// Prints how an older table is copied, by the columns that it has.
async fn print_migration(config: &Config, old: &str) -> anyhow::Result<Exit> {
    let clickhouse = ClickHouse::new(&config.clickhouse)?;
    let (database, table) = old.split_once('.').unwrap_or((clickhouse.database(), old));
    let query = format!(
        "SELECT name, type FROM system.columns WHERE database = {} AND table = {}",
        literal(database),
        literal(table)
    );
    let answer = clickhouse.query(&query).await.map_err(failed)?;
    let columns = answer.lines().filter_map(|line| line.split_once('\t'));
    let columns: Vec<_> = columns.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect();
    if columns.is_empty() {
        let what = format!("--migrate: there is no table {database}.{table}");
        return Err(Stop::new(Exit::Failed, what, "write DATABASE.TABLE").into());
    }
    let catalog = Catalog::shipped();
    let ours = catalog.tables().iter().find(|table| table.name == "aggregates");
    let ours = ours.expect("candles are shipped");
    let name = format!("{}.{}", quoted(database), quoted(table));
    let statement = migrate::statement(clickhouse.database(), ours, &name, &columns)
        .map_err(|why| Stop::new(Exit::Failed, why, "the columns of its key are needed"))?;
    std::io::stdout().lock().write_all(statement.as_bytes())?;
    Ok(Exit::Done)
}

/// Creates database and tables; false when one is there in another shape.
async fn tables(config: &Config, cluster: Option<&str>) -> anyhow::Result<bool> {
    let clickhouse = ClickHouse::new(&config.clickhouse)?;
    let database = clickhouse.database();
    clickhouse.query(&database_ddl(database, cluster)).await.map_err(failed)?;
    let mut all_fit = true;
    for table in Catalog::shipped().tables() {
        let name = format!("{database}.{}", table.name);
        match look_at(&clickhouse, table).await.map_err(failed)? {
            Found::Missing => {
                create(&clickhouse, table, cluster).await.map_err(failed)?;
                say("created", &format!("table {name}"))?;
            }
            Found::Table { mismatches } if mismatches.is_empty() => {
                say("exists", &format!("table {name}"))?;
            }
            Found::Table { mismatches } => {
                for mismatch in mismatches {
                    let word = match mismatch.severity {
                        Severity::Warning => "warning",
                        Severity::Error => {
                            all_fit = false;
                            "PROBLEM"
                        }
                    };
                    say(word, &mismatch.to_string())?;
                }
            }
        }
    }
    Ok(all_fit)
}

/// Creates topics; false when one cannot be created.
fn topics(config: &Config) -> anyhow::Result<bool> {
    if !config.kafka.enabled {
        return Ok(true);
    }
    let outcomes = topics::create(&config.kafka, KAFKA_LIMIT).map_err(unreachable)?;
    let mut all_there = true;
    for TopicOutcome { name, outcome } in outcomes {
        match outcome {
            Outcome::Created { partitions } => {
                say("created", &format!("topic {name} with {partitions} partitions"))?;
            }
            Outcome::Exists { partitions, wanted } if partitions == wanted => {
                say("exists", &format!("topic {name}"))?;
            }
            Outcome::Exists { partitions, wanted } => {
                let text = format!(
                    "topic {name} has {partitions} partitions, kafka.init.partitions is {wanted}; \
                     left as it is"
                );
                say("warning", &text)?;
            }
            Outcome::Failed { reason } => {
                all_there = false;
                say("PROBLEM", &format!("topic {name}: {reason}"))?;
            }
        }
    }
    Ok(all_there)
}

/// Has the broker use the configured session and heartbeat, where members cannot ask for them.
fn group(config: &Config) -> anyhow::Result<()> {
    if !config.kafka.enabled || config.kafka.group_protocol == GroupProtocol::Classic {
        return Ok(());
    }
    let name = &config.kafka.group_id;
    let shown = |GroupTerms { session, heartbeat }: GroupTerms| {
        format!("session {} ms, heartbeat {} ms", session.as_millis(), heartbeat.as_millis())
    };
    match terms::agree(&config.kafka, KAFKA_LIMIT).map_err(unreachable)? {
        Agreed::AsConfigured(terms) => say("exists", &format!("group {name}: {}", shown(terms)))?,
        Agreed::Set(terms) => say("set", &format!("group {name}: {}", shown(terms)))?,
        Agreed::Refused { terms, reason } => {
            let kept = shown(terms);
            say("warning", &format!("group {name} keeps the broker's {kept}: {reason}"))?;
        }
    }
    Ok(())
}

fn unreachable(error: SourceError) -> anyhow::Error {
    match error {
        SourceError::Unreachable { .. } => {
            let hint = "kafka.brokers must name a broker that answers";
            Stop::new(Exit::Unreachable, error.to_string(), hint).into()
        }
        other => other.into(),
    }
}

/// Creates stream and consumer; false when one is missing or could not keep our promises.
async fn streams(config: &Config) -> anyhow::Result<bool> {
    let nats = &config.nats;
    if nats.mode == NatsMode::Core {
        stream::reach(nats).await.map_err(Stop::from)?;
        say("exists", "NATS; core mode needs neither stream nor consumer")?;
        return Ok(true);
    }
    let stream::Found { stream, consumer } = stream::create(nats).await.map_err(Stop::from)?;
    let stream = tell(&format!("stream {}", nats.stream), &stream)?;
    let consumer =
        tell(&format!("consumer {} of stream {}", nats.consumer, nats.stream), &consumer)?;
    Ok(stream && consumer)
}

/// Says what became of a stream or consumer; false when the bridge cannot work with it.
fn tell(what: &str, outcome: &stream::Outcome) -> std::io::Result<bool> {
    match outcome {
        stream::Outcome::Created => say("created", what)?,
        stream::Outcome::Missing { reason } => {
            say("PROBLEM", &format!("{what}: {reason}"))?;
            return Ok(false);
        }
        stream::Outcome::Exists { differences } => {
            if differences.is_empty() {
                say("exists", what)?;
            }
            for difference in differences {
                let word = if difference.is_fatal { "PROBLEM" } else { "warning" };
                say(word, &format!("{what}: {}; left as it is", difference.text))?;
            }
            return Ok(!differences.iter().any(|difference| difference.is_fatal));
        }
    }
    Ok(true)
}

fn say(word: &str, text: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout().lock(), "{word:<8} {text}")
}

/// The statements that create database and tables, each ending with `;` and an empty line.
fn ddl(config: &Config, cluster: Option<&str>) -> String {
    let database = &config.clickhouse.database;
    let mut text = format!("{};\n\n", database_ddl(database, cluster));
    for table in Catalog::shipped().tables() {
        text.push_str(table.ddl_on(database, cluster).trim_end().trim_end_matches(';'));
        text.push_str(";\n\n");
    }
    text
}
