//! `data-bridge validate`: does a running fleet keep what it promises?

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

use super::fleet::Which;
use super::status::colours;
use super::table::{Cell, Colour, Table, paint};
use super::{Exit, Stop};
use crate::config::{Config, Environment};
use crate::hub::Client;
use crate::sink::clickhouse::ClickHouse;
use crate::source::kafka::topics;
use crate::validate::{Line, Objectives, Outcome, Reach, Report, Validation};

/// Test a running fleet: assignment, distribution, heartbeats, duplicates, fail-over, back-pressure
///
/// Sends ticks of its own, under a symbol of its own, and looks at what comes of them. On the
/// machine of the fleet it also kills an instance, takes one away, and slows inserts down until
/// all instances pause; elsewhere only with --disruptive. Afterwards the fleet is as it was; the
/// rows stay, under the symbol that the plan names. Then a steady rate is measured.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    #[command(flatten)]
    pub(super) which: Which,

    /// An instance of a fleet without a hub; may be repeated
    #[arg(long, value_name = "URL", conflicts_with_all = ["hub", "state_dir"])]
    instance: Vec<String>,

    /// Stop an instance and slow ClickHouse down also where the fleet is not on this machine
    #[arg(long)]
    disruptive: bool,

    /// Leave out what stops an instance or slows ClickHouse down
    #[arg(long, conflicts_with = "disruptive")]
    harmless: bool,

    /// Messages of the test of distribution
    #[arg(long, value_name = "N", default_value_t = 60_000, value_parser = clap::value_parser!(u64).range(600..=100_000_000))]
    messages: u64,

    /// Messages per second of the benchmarks
    #[arg(long, value_name = "R", default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    rate: u64,

    /// How long the benchmarks last, after half as long, at most 10 s, to warm up; 0 leaves them out
    #[arg(long, value_name = "S", default_value_t = 20, value_parser = clap::value_parser!(u64).range(0..=3_600))]
    seconds: u64,

    /// Longest p99 from produce to durable, ms
    #[arg(long, value_name = "MS", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    p99: u64,

    /// Print the plan and do nothing
    #[arg(long)]
    plan: bool,

    /// Write the result as JSON to a file; - for standard output, instead of the table
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

const HELP: &str = "\
Examples:
  data-bridge validate                           the fleet that `up` runs here
  data-bridge validate --plan
  data-bridge validate --harmless --seconds 0    look, send a few ticks, disturb nothing
  data-bridge validate --hub http://hub:9400 --json result.json
  data-bridge validate --instance http://a:9401 --instance http://b:9402

Exit codes:
  0  all tests that were run hold
  1  one does not, or it was interrupted
  2  usage or configuration
  3  there is no fleet, or Kafka cannot be reached";

/// How long the cluster may take to say which topics there are.
const KAFKA_LIMIT: Duration = Duration::from_secs(10);

/// Prints the plan, runs the tests, prints what came of them.
pub(super) fn execute(
    config: &Config,
    environment: &Environment,
    args: &Args,
) -> anyhow::Result<Exit> {
    let reach = reach(config, environment, args)?;
    let objectives = Objectives {
        messages: args.messages,
        rate: args.rate,
        lasts: Duration::from_secs(args.seconds),
        p99: Duration::from_millis(args.p99),
    };
    let clickhouse = ClickHouse::new(&config.clickhouse)?;
    let validation = Validation::new(config, clickhouse, topics(config)?, (reach, objectives));
    let is_table = args.json.as_deref().is_none_or(|path| path.as_os_str() != "-");
    // Standard output is the result alone when it is JSON.
    let mut out: Box<dyn Write> =
        if is_table { Box::new(std::io::stdout()) } else { Box::new(std::io::stderr()) };
    writeln!(out, "plan:")?;
    for (number, line) in validation.plan().iter().enumerate() {
        writeln!(out, "  {}. {line}", number + 1)?;
    }
    if args.plan {
        return Ok(Exit::Done);
    }
    writeln!(out)?;
    let (report, is_whole, left) = super::runtime()?.block_on(async {
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let mut lines = Vec::new();
        let running = validation.run(|line| {
            lines.push(line.clone());
            // Whoever does not read the progress still gets the result.
            writeln!(std::io::stderr(), "{}", progress(line)).ok();
        });
        let whole = tokio::select! {
            report = running => Some(report),
            _ = interrupt.recv() => None,
            _ = terminate.recv() => None,
        };
        let left = validation.restore().await;
        let is_whole = whole.is_some();
        let report = whole.unwrap_or_else(|| validation.report(lines));
        anyhow::Ok((report, is_whole, left))
    })?;
    write_json(args, &report)?;
    if is_table {
        writeln!(out, "\n{}", page(&report, colours()))?;
    }
    out.flush()?;
    for sentence in &left {
        writeln!(std::io::stderr(), "not as it was: {sentence}")?;
    }
    if !is_whole {
        writeln!(std::io::stderr(), "interrupted: what was not run says nothing")?;
    }
    Ok(if report.holds() && is_whole && left.is_empty() { Exit::Done } else { Exit::Failed })
}

fn reach(config: &Config, environment: &Environment, args: &Args) -> anyhow::Result<Reach> {
    if let Some(url) = args.instance.iter().find(|url| !url.starts_with("http")) {
        let what = format!("--instance {url}: not a URL");
        return Err(Stop::new(Exit::Usage, what, "write http://host:9401").into());
    }
    if !args.instance.is_empty() {
        let instances = args.instance.iter().map(|url| url.trim_end_matches('/').to_owned());
        return Ok(Reach {
            client: Client::new(config.http.token.clone()),
            hub: None,
            instances: instances.collect(),
            is_local: false,
            may_harm: args.disruptive,
        });
    }
    let found = args.which.find(config, environment)?;
    // Says what is wrong with it before anything is sent.
    super::runtime()?.block_on(found.fleet())?;
    let is_local = found.local.is_some();
    Ok(Reach {
        client: found.client,
        hub: Some(found.url),
        instances: Vec::new(),
        is_local,
        may_harm: !args.harmless && (is_local || args.disruptive),
    })
}

/// The topics that the fleet reads with their partitions, and one whose messages become ticks.
fn topics(config: &Config) -> anyhow::Result<(BTreeMap<String, i32>, String)> {
    let kafka = &config.kafka;
    if !kafka.enabled {
        let what = "kafka.enabled is false: the tests are of a consumer group";
        return Err(Stop::new(Exit::Usage, what, "").into());
    }
    let Some((tick_topic, _)) = kafka.topics.iter().find(|(_, route)| *route == "ticks") else {
        let what = "no topic of kafka.topics has the route ticks, which the tests use";
        return Err(Stop::new(Exit::Usage, what, "name one, such as tick_archive: ticks").into());
    };
    let states = topics::describe(kafka, KAFKA_LIMIT).map_err(Stop::from)?;
    let there: BTreeMap<String, i32> =
        states.into_iter().filter_map(|state| Some((state.name, state.partitions?))).collect();
    if !there.contains_key(tick_topic) {
        let what = format!("topic {tick_topic} does not exist");
        return Err(Stop::new(Exit::Failed, what, "run `data-bridge init` first").into());
    }
    Ok((there, tick_topic.clone()))
}

fn write_json(args: &Args, report: &Report) -> anyhow::Result<()> {
    let Some(path) = &args.json else {
        return Ok(());
    };
    let mut page = serde_json::to_value(report)?;
    page["holds"] = report.holds().into();
    let text = format!("{page:#}\n");
    if path.as_os_str() == "-" {
        return Ok(std::io::stdout().lock().write_all(text.as_bytes())?);
    }
    std::fs::write(path, text).with_context(|| format!("--json: cannot write {}", path.display()))
}

/// A line while the rest still runs.
fn progress(line: &Line) -> String {
    let (word, _) = word(line.outcome);
    let said = if line.measured.is_empty() { line.why.join("; ") } else { line.measured.clone() };
    format!("{word:<8} {}: {said}", line.name)
}

fn word(outcome: Outcome) -> (&'static str, Colour) {
    match outcome {
        Outcome::Passed => ("passed", Colour::Green),
        Outcome::Failed => ("FAILED", Colour::Red),
        Outcome::NotRun => ("not run", Colour::Yellow),
    }
}

/// The table and the sentence below it.
fn page(report: &Report, colours: bool) -> String {
    let mut table = Table::new(&["test", "result", "measured", "wanted"]);
    for line in &report.lines {
        let (word, colour) = word(line.outcome);
        table.row(vec![
            Cell::left(line.name),
            Cell::left(word).coloured(colour),
            Cell::left(&line.measured),
            Cell::left(&line.wanted),
        ]);
        for why in &line.why {
            table.note(why);
        }
    }
    let of = |outcome| report.count(outcome);
    let (failed, not_run) = (of(Outcome::Failed), of(Outcome::NotRun));
    let mut verdict = match failed {
        0 => paint("the fleet keeps what it promises", Colour::Green, colours),
        1 => paint("one test failed", Colour::Red, colours),
        more => paint(&format!("{more} tests failed"), Colour::Red, colours),
    };
    if not_run > 0 {
        verdict = format!("{verdict}; not run: {not_run}");
    }
    format!("{}\n{verdict}", table.text(colours))
}
