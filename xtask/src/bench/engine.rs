//! `cargo xtask bench engine`: what a row costs the engine, by rows per insert and by settings.
//!
//! Ready-made blocks of the rows that the bridge makes are inserted as they are, so that nothing
//! but the engine works. Merges are waited for and counted.

use anyhow::{Context, Result};

use super::contestant::Limit;
use super::figures::{Run, Series};
use super::ground::Ground;
use crate::screen;

#[derive(Debug, clap::Args)]
#[group(id = "engine")]
#[command(after_help = "Examples:\n  cargo xtask bench engine\n  \
    cargo xtask bench engine --rows 200000 --setting optimize_on_insert=1\n  \
    cargo xtask bench engine --table-setting min_bytes_for_wide_part=104857600")]
pub(crate) struct Arguments {
    /// Rows of an insert
    #[arg(long, value_delimiter = ',', default_values_t = [10_000, 50_000, 200_000, 1_000_000])]
    rows: Vec<u64>,
    /// Ticks in all
    #[arg(long, default_value_t = 3_000_000)]
    messages: u64,
    /// How often each is measured
    #[arg(long, default_value_t = 1)]
    repeat: u32,
    /// A setting of every insert
    #[arg(long, value_name = "NAME=VALUE")]
    setting: Vec<String>,
    /// A setting of the table
    #[arg(long, value_name = "NAME=VALUE")]
    table_setting: Vec<String>,
    /// Another definition of a column: `bid Decimal(18, 8) CODEC(LZ4)`
    #[arg(long, value_name = "DEFINITION")]
    column: Vec<String>,
}

/// How the table and the inserts differ from what the bridge makes of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Tuning {
    pub(super) settings: Vec<String>,
    pub(super) table: Vec<String>,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let mut ground = Ground::start(arguments.messages * 2)?;
    let expected = ground.produce(arguments.messages, 1, &[])?;
    let alter = arguments
        .table_setting
        .iter()
        .map(|setting| format!("MODIFY SETTING {setting}"))
        .chain(arguments.column.iter().map(|column| format!("MODIFY COLUMN {column}")));
    let tuning = Tuning { settings: arguments.setting.clone(), table: alter.collect() };
    let mut all: Vec<(u64, Series)> = Vec::new();
    for _ in 0..arguments.repeat {
        for rows in &arguments.rows {
            screen::line(&format!("bench  {rows} rows an insert"));
            let limit = Limit::Feeding { rows: *rows };
            let run = limit
                .measure(&mut ground, &expected, &tuning)
                .with_context(|| format!("{rows} rows an insert"))?;
            match all.iter_mut().find(|(known, _)| known == rows) {
                Some((_, series)) => series.runs.push(run),
                None => all.push((*rows, Series { name: limit.name(), runs: vec![run] })),
            }
        }
    }
    screen::line(&format!(
        "\n{:>12} {:>14} {:>14} {:>16} {:>10} {:>10}",
        "rows/insert", "1,000 rows/s", "CPU ns/row", "merges included", "bytes/row", "peak MB"
    ));
    for (rows, series) in &all {
        screen::line(&format!(
            "{rows:>12} {:>14.0} {:>14.0} {:>16.0} {:>10.1} {:>10.0}",
            series.middle(Run::rate) / 1e3,
            series.middle(Run::engine_ns),
            series.middle(Run::merged_ns),
            series.middle(|run| run.stored_bytes),
            series.middle(|run| run.engine_mb),
        ));
    }
    Ok(())
}
