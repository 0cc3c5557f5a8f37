//! Everybody drains the same topic, one after the other, several times.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::ValueEnum;
use serde_json::{Value, json};

use super::contestant::{Contestant, Limit};
use super::engine::Tuning;
use super::figures::{self, Run, Series};
use super::ground::{Expected, Ground};
use crate::screen;

#[derive(Debug, clap::Args)]
#[group(id = "drain")]
pub(crate) struct Arguments {
    /// Ticks in the topic, of three dialects
    #[arg(long, default_value_t = 5_000_000)]
    messages: u64,
    /// Decides all messages
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How often everything is measured
    #[arg(long, default_value_t = 3)]
    repeat: u32,
    /// Whom to measure [default: all]
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Name>,
    /// Messages in the shapes that tests need, mixtures and artefacts, which publishers hardly send
    #[arg(long)]
    wild: bool,
    /// Keys of the bridge's configuration, as JSON, such as `{"batch": {"max_age_ms": 10}}`
    #[arg(long, value_name = "JSON", default_value = "{}", value_parser = object)]
    config: Value,
    /// Write every figure there
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw it as SVG
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    Bridge,
    Bridges,
    KafkaEngine,
    PerMessage,
    Limits,
}

pub(super) fn object(text: &str) -> Result<Value, String> {
    match serde_json::from_str(text) {
        Ok(object @ Value::Object(_)) => Ok(object),
        Ok(_) => Err("an object is wanted".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let mut ground = Ground::start(arguments.messages)?;
    let more: &[&str] = if arguments.wild { &["--wild"] } else { &[] };
    let expected = ground.produce(arguments.messages, arguments.seed, more)?;
    let mut series: Vec<Series> = Vec::new();
    // Round by round, so that a machine that grows slower is unfair to nobody.
    for round in 1..=arguments.repeat {
        for entry in entries(arguments) {
            screen::line(&format!("bench  round {round}: {}", entry.name()));
            let run = entry.measure(&mut ground, &expected, &arguments.config)?;
            match series.iter_mut().find(|series| series.name == entry.name()) {
                Some(series) => series.runs.push(run),
                None => series.push(Series { name: entry.name(), runs: vec![run] }),
            }
        }
    }
    show(&expected, &series);
    let page = page(arguments, &expected, &series);
    let write = |path: &PathBuf, text: &str| {
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    if let Some(path) = &arguments.json {
        write(path, &format!("{page:#}\n"))?;
    }
    if let Some(path) = &arguments.picture {
        write(path, &super::picture::svg(&page)?)?;
    }
    Ok(())
}

/// A contestant or a limit.
enum Entry {
    Contestant(Contestant),
    Limit(Limit),
}

impl Entry {
    fn name(&self) -> &'static str {
        match self {
            Self::Contestant(one) => one.name(),
            Self::Limit(one) => one.name(),
        }
    }

    fn measure(&self, ground: &mut Ground, expected: &Expected, config: &Value) -> Result<Run> {
        match self {
            Self::Contestant(one) => one.drain(ground, expected, config),
            Self::Limit(one) => one.measure(ground, expected, &Tuning::default()),
        }
        .with_context(|| self.name())
    }
}

fn entries(arguments: &Arguments) -> Vec<Entry> {
    let all = [
        (Name::Bridge, Entry::Contestant(Contestant::Bridge { instances: 1 })),
        (Name::Bridges, Entry::Contestant(Contestant::Bridge { instances: 3 })),
        (Name::KafkaEngine, Entry::Contestant(Contestant::KafkaEngine { consumers: 1 })),
        (Name::KafkaEngine, Entry::Contestant(Contestant::KafkaEngine { consumers: 2 })),
        (Name::PerMessage, Entry::Contestant(Contestant::PerMessage)),
        (Name::Limits, Entry::Limit(Limit::Consuming)),
        (Name::Limits, Entry::Limit(Limit::Feeding { rows: 1_000_000 })),
    ];
    all.into_iter()
        .filter(|(name, _)| arguments.only.is_empty() || arguments.only.contains(name))
        .map(|(_, entry)| entry)
        .collect()
}

/// What everybody is compared with: the engine's own way, at its best.
fn base(series: &[Series]) -> Option<&Series> {
    let name = Contestant::KafkaEngine { consumers: 2 }.name();
    series.iter().find(|series| series.name == name)
}

fn show(expected: &Expected, series: &[Series]) {
    screen::line("");
    for line in figures::head() {
        screen::line(&line);
    }
    for one in series {
        screen::line(&one.line(base(series)));
    }
    screen::line(&format!(
        "\n{} ticks of three dialects, {} bytes each on average, lz4, 6 partitions; rows verified after each run.\n\
         Faster and cheaper: than ClickHouse's Kafka engine with two consumers; cheaper by client and engine CPU.",
        expected.messages,
        expected.bytes / expected.messages.max(1),
    ));
}

fn page(arguments: &Arguments, expected: &Expected, series: &[Series]) -> Value {
    json!({
        "messages": expected.messages,
        "bytes": expected.bytes,
        "seed": arguments.seed,
        "wild": arguments.wild,
        "config": arguments.config,
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "base": base(series).map(|base| base.name),
        "series": series.iter().map(Series::to_json).collect::<Vec<_>>(),
    })
}
