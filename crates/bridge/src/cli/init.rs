//! `data-bridge init`: create what is missing.

use std::io::Write;

use data_bridge_core::catalog::Catalog;

use super::{Exit, Settings};
use crate::config::Config;

/// Create tables and topics that are missing; never drop or change one
///
/// Tables that exist are compared with what the bridge needs: engine, sort key, partition key,
/// columns. A user's own tables are not created.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    #[command(flatten)]
    pub(super) settings: Settings,

    /// Print the DDL and change nothing; no server is asked
    #[arg(long)]
    pub(super) dry_run: bool,
}

const HELP: &str = "\
Examples:
  data-bridge init
  data-bridge init --dry-run | less
  CLICKHOUSE_URL=http://ch:8123 data-bridge init --set kafka.init.partitions=12

Exit codes:
  0  everything is there
  1  something has another shape, or cannot be created
  2  usage or configuration
  3  Kafka or ClickHouse cannot be reached";

/// Creates what is missing, or prints the DDL.
pub(super) fn execute(config: &Config, args: &Args) -> anyhow::Result<Exit> {
    if args.dry_run {
        std::io::stdout().lock().write_all(ddl(config).as_bytes())?;
        return Ok(Exit::Done);
    }
    anyhow::bail!("only --dry-run is part of this build")
}

/// The statements that create database and tables, each ending with `;` and an empty line.
fn ddl(config: &Config) -> String {
    let database = &config.clickhouse.database;
    let mut text = format!("CREATE DATABASE IF NOT EXISTS `{database}`;\n\n");
    for table in Catalog::shipped().tables() {
        text.push_str(table.ddl(database).trim_end().trim_end_matches(';'));
        text.push_str(";\n\n");
    }
    text
}
