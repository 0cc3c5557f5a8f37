//! The limit of everything that inserts: blocks that are ready to be sent.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use data_bridge_lab::verify::Server;
use serde_json::{Value, json};

#[derive(clap::Args)]
pub(crate) struct Dump {
    #[arg(long)]
    url: String,
    #[arg(long)]
    database: String,
    #[arg(long)]
    folder: PathBuf,
    /// Rows of a block
    #[arg(long)]
    rows: u64,
}

#[derive(clap::Args)]
pub(crate) struct Feed {
    #[arg(long)]
    url: String,
    #[arg(long)]
    database: String,
    #[arg(long)]
    folder: PathBuf,
    /// Settings of the insert, NAME=VALUE
    #[arg(long = "setting", value_name = "NAME=VALUE")]
    settings: Vec<String>,
}

/// Largest block that one insert writes whole.
const LARGEST_BLOCK: u64 = 1_048_449;

/// The rows of `ticks` per month, in the order they were produced, cut into blocks that are sorted
/// by the table's key each.
pub(crate) async fn dump(arguments: &Dump) -> Result<Value> {
    fs::create_dir_all(&arguments.folder)?;
    let server = Server::new(&arguments.url, &arguments.database);
    let database = &arguments.database;
    let months = server
        .query(&format!(
            "SELECT toYYYYMM(timestamp), count() FROM {database}.ticks GROUP BY 1 ORDER BY 1"
        ))
        .await?;
    let mut blocks = 0;
    for line in months.lines() {
        let (month, rows) = line.split_once('\t').context("a month and a number")?;
        let rows: u64 = rows.parse()?;
        let step = arguments.rows.clamp(1, LARGEST_BLOCK);
        for from in (0..rows).step_by(usize::try_from(step)?) {
            let query = format!(
                "SELECT * FROM (SELECT * FROM {database}.ticks WHERE toYYYYMM(timestamp) = {month} \
                 ORDER BY timestamp, event_id LIMIT {step} OFFSET {from}) \
                 ORDER BY symbol, timestamp, event_id \
                 SETTINGS max_block_size = {LARGEST_BLOCK}, max_threads = 1 FORMAT Native"
            );
            let mut file = Vec::new();
            server.bytes(&query, |piece| file.extend_from_slice(piece)).await?;
            fs::write(arguments.folder.join(format!("{blocks:05}.native")), file)?;
            blocks += 1;
        }
    }
    Ok(json!({ "blocks": blocks }))
}

pub(crate) async fn feed(arguments: &Feed) -> Result<Value> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(&arguments.folder)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.sort();
    let bodies: Vec<Vec<u8>> =
        files.iter().map(|file| Ok(fs::read(file)?)).collect::<Result<_>>()?;
    let bytes: usize = bodies.iter().map(Vec::len).sum();
    let server = Server::new(&arguments.url, &arguments.database);
    let mut settings = vec![("async_insert".to_owned(), "0".to_owned())];
    for setting in &arguments.settings {
        let Some((name, value)) = setting.split_once('=') else {
            bail!("{setting:?} is not NAME=VALUE");
        };
        settings.push((name.to_owned(), value.to_owned()));
    }
    let (start, before) = (Instant::now(), super::cpu_seconds());
    let inserts = bodies.len();
    for body in bodies {
        server.insert("ticks", &settings, body).await?;
    }
    Ok(json!({
        "inserts": inserts,
        "bytes": bytes,
        "seconds": start.elapsed().as_secs_f64(),
        "cpu_seconds": super::cpu_seconds() - before,
    }))
}
