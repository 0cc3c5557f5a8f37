//! What a message costs as instances and partitions grow, at the same rate in all.

use std::path::PathBuf;

use anyhow::Result;
use serde_json::{Value, json};

use super::{Fleet, write};
use crate::bench::{drain, ground::Ground};
use crate::screen;

#[derive(Debug, clap::Args)]
#[group(id = "scale")]
#[command(after_help = "Examples:\n  cargo xtask bench scale\n  \
    cargo xtask bench scale --instances 1,5 --partitions 6,200 --rate 10000")]
pub(crate) struct Arguments {
    /// Instances
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2, 3, 5])]
    instances: Vec<usize>,
    /// Partitions of the topic
    #[arg(long, value_delimiter = ',', default_values_t = [6, 24, 200])]
    partitions: Vec<u32>,
    /// Messages per second in all
    #[arg(long, default_value_t = 20_000)]
    rate: u32,
    /// How long each is kept
    #[arg(long, default_value_t = 12)]
    seconds: u32,
    /// Keys of the bridge's configuration, as JSON
    #[arg(long, value_name = "JSON", default_value = "{}", value_parser = drain::object)]
    config: Value,
    /// Write every figure there
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let runs = (arguments.partitions.len() * arguments.instances.len()) as u64;
    let each = u64::from(arguments.rate) * u64::from(arguments.seconds);
    let mut ground = Ground::start(each * runs)?;
    let mut pages = Vec::new();
    let mut lines = vec![format!(
        "{:>10} {:>9} {:>14} {:>14} {:>14} {:>9} {:>9} {:>7} {:>7}",
        "partitions",
        "instances",
        "bridge ns/msg",
        "engine ns/msg",
        "broker ns/msg",
        "inserts/s",
        "peak MB",
        "p50 ms",
        "p99 ms"
    )];
    for partitions in &arguments.partitions {
        for instances in &arguments.instances {
            screen::line(&format!("bench  {partitions} partitions, {instances} instances"));
            let fleet =
                Fleet::start(&mut ground, *instances, *partitions, &arguments.config, false)?;
            let stretch = fleet.run(&ground, arguments.rate, arguments.seconds)?;
            fleet.stop(&ground)?;
            let mut page = stretch.to_json();
            let figure = |key: &str| page[key].as_f64().unwrap_or(f64::NAN);
            lines.push(format!(
                "{partitions:>10} {instances:>9} {:>14.0} {:>14.0} {:>14.0} {:>9.1} {:>9.0} {:>7.0} {:>7.0}",
                figure("client_ns"),
                figure("engine_ns"),
                figure("broker_ns"),
                figure("inserts_per_second"),
                figure("client_peak_mb"),
                figure("p50_ms"),
                figure("p99_ms"),
            ));
            page["instances"] = (*instances).into();
            page["partitions"] = (*partitions).into();
            pages.push(page);
        }
    }
    screen::line("");
    for line in &lines {
        screen::line(line);
    }
    write(arguments.json.as_ref(), &json!({ "scale": pages, "rate": arguments.rate }))
}
