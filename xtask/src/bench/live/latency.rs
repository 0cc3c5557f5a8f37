//! From produce to queryable, by rate and by number of instances.

use std::path::PathBuf;

use anyhow::Result;
use serde_json::{Value, json};

use super::{Fleet, write};
use crate::bench::{drain, ground::Ground};
use crate::screen;

#[derive(Debug, clap::Args)]
#[group(id = "latency")]
#[command(after_help = "Examples:\n  cargo xtask bench latency\n  \
    cargo xtask bench latency --rates 50000 --instances 3 --config '{\"batch\": {\"max_age_ms\": 10}}'")]
pub(crate) struct Arguments {
    /// Messages per second
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 10_000, 50_000, 100_000])]
    rates: Vec<u32>,
    /// Instances
    #[arg(long, value_delimiter = ',', default_values_t = [1, 3])]
    instances: Vec<usize>,
    /// How long each rate is kept
    #[arg(long, default_value_t = 15)]
    seconds: u32,
    /// Keys of the bridge's configuration, as JSON
    #[arg(long, value_name = "JSON", default_value = "{}", value_parser = drain::object)]
    config: Value,
    /// Write every figure there
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let most = u64::from(arguments.rates.iter().copied().max().unwrap_or(0));
    let runs = (arguments.rates.len() * arguments.instances.len()) as u64;
    let mut ground = Ground::start(most * u64::from(arguments.seconds) * runs)?;
    let mut pages = Vec::new();
    let mut lines = vec![format!(
        "{:>9} {:>8} {:>7} {:>7} {:>7} {:>7} {:>7}  {:>15} {:>9} {:>21}  {:>13}",
        "instances",
        "msg/s",
        "p50",
        "p90",
        "p99",
        "p99.9",
        "max",
        "insert acked",
        "inserts/s",
        "CPU ns/msg bridge/CH",
        "a poll ms (n)"
    )];
    for instances in &arguments.instances {
        let fleet = Fleet::start(&mut ground, *instances, 6, &arguments.config, false)?;
        for rate in &arguments.rates {
            screen::line(&format!("bench  {instances} instances, {rate} messages a second"));
            let stretch = fleet.run(&ground, *rate, arguments.seconds)?;
            let mut page = stretch.to_json();
            let figure = |key: &str| page[key].as_f64().unwrap_or(f64::NAN);
            lines.push(format!(
                "{instances:>9} {:>8.0} {:>7.0} {:>7.0} {:>7.0} {:>7.0} {:>7.0}  {:>15} {:>9.1} {:>21}  {:>13}",
                figure("rate"),
                figure("p50_ms"),
                figure("p90_ms"),
                figure("p99_ms"),
                figure("p999_ms"),
                figure("max_ms"),
                format!("{:.0}/{:.0}", figure("durable_p50_ms"), figure("durable_p99_ms")),
                figure("inserts_per_second"),
                format!("{:.0}/{:.0}", figure("client_ns"), figure("engine_ns")),
                format!("{:.1} ({:.0})", figure("poll_ms"), figure("polls")),
            ));
            page["instances"] = (*instances).into();
            pages.push(page);
        }
        fleet.stop(&ground)?;
    }
    screen::line("");
    for line in &lines {
        screen::line(line);
    }
    screen::line(
        "\nMilliseconds from a message's record time to the answer that showed its row; a query asked each 10 ms or, \
         when it takes longer, again at once. Insert acked: p50/p99 of each chunk's oldest message.",
    );
    write(arguments.json.as_ref(), &json!({ "latency": pages, "config": arguments.config }))
}
