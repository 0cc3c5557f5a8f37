//! How long a partition stands still when its instance goes.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::json;

use super::{Fleet, write};
use crate::bench::ground::Ground;
use crate::screen;

#[derive(Debug, clap::Args)]
#[group(id = "failover")]
#[command(
    after_help = "Examples:\n  cargo xtask bench failover\n  cargo xtask bench failover --rate 50000"
)]
pub(crate) struct Arguments {
    /// Messages per second in all, over three instances
    #[arg(long, default_value_t = 10_000)]
    rate: u32,
    /// Write every figure there
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// How an instance goes, and how long others may take.
#[derive(Debug, Clone, Copy)]
enum End {
    Terminated,
    Killed,
    /// Killed, and started again at once under its static id.
    Restarted,
}

impl End {
    fn name(self) -> &'static str {
        match self {
            Self::Terminated => "SIGTERM",
            Self::Killed => "kill -9",
            Self::Restarted => "kill -9, started again under its static id",
        }
    }

    /// What is promised.
    fn limit_ms(self) -> f64 {
        match self {
            Self::Terminated => 2_000.0,
            Self::Killed => 12_000.0,
            Self::Restarted => 3_000.0,
        }
    }
}

/// Time before an instance goes: connections and first merges are over.
const BEFORE: Duration = Duration::from_secs(6);
/// In all: the longest limit and some seconds after it.
const SECONDS: u32 = 24;
/// A supervisor notices the end of its child at once and takes this long to start another.
const SUPERVISOR: Duration = Duration::from_millis(300);

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let messages = u64::from(arguments.rate) * u64::from(SECONDS) * 3;
    let mut ground = Ground::start(messages)?;
    let (mut lines, mut pages, mut late) = (Vec::new(), Vec::new(), Vec::new());
    for end in [End::Terminated, End::Killed, End::Restarted] {
        screen::line(&format!("bench  {}", end.name()));
        let is_static = matches!(end, End::Restarted);
        let mut fleet = Fleet::start(&mut ground, 3, 6, &json!({}), is_static)?;
        let lab = fleet.begin(&ground, arguments.rate, SECONDS)?;
        if lab.wait_exit(BEFORE).is_some() {
            bail!("lab latency failed\n{}", lab.log_tail());
        }
        match end {
            End::Terminated => fleet.instances[0].process.terminate(),
            End::Killed => drop(fleet.instances[0].process.kill()?),
            End::Restarted => {
                fleet.instances[0].process.kill()?;
                std::thread::park_timeout(SUPERVISOR);
                fleet.instances[0] = ground.instance(&fleet.database, 1)?;
            }
        }
        let page = Fleet::end(&lab, SECONDS)?;
        let gap = page["max_ms"].as_f64().unwrap_or(f64::NAN);
        let kept = gap <= end.limit_ms();
        lines.push(format!(
            "{:<44} {gap:>9.0} ms  promised {:>6.0} ms  {}",
            end.name(),
            end.limit_ms(),
            if kept { "kept" } else { "NOT KEPT" }
        ));
        if !kept {
            late.push(end.name());
        }
        pages.push(json!({ "end": end.name(), "longest_gap_ms": gap, "per_partition": page["longest_ms"] }));
        if !is_static {
            fleet.instances.remove(0);
        }
        fleet.stop(&ground)?;
    }
    screen::line(
        "\nLongest wait of any message from produce to queryable, three instances, 6 partitions:",
    );
    for line in &lines {
        screen::line(line);
    }
    write(arguments.json.as_ref(), &json!({ "failover": pages }))?;
    if !late.is_empty() {
        bail!("not within what is promised: {}", late.join(", "));
    }
    Ok(())
}
