//! `data-bridge clickhouse`: the ClickHouse engine in this process, behind its HTTP interface.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::Exit;
use crate::config::{Secret, size};

/// Run an embedded ClickHouse, for trying out, development and tests
///
/// The real engine (libchdb, loaded at run time) behind ClickHouse's own HTTP interface. Loopback
/// only; production points at a real ClickHouse.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    /// Folder of the data; made when it is not there
    #[arg(long, value_name = "DIR")]
    pub(super) path: PathBuf,

    /// Address to listen on; port 0 takes any that is free
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8123", value_parser = loopback)]
    pub(super) listen: SocketAddr,

    /// libchdb.so [default: the one in the cache of data-bridge]
    #[arg(long, value_name = "FILE", env = "DATA_BRIDGE_LIBCHDB")]
    pub(super) library: Option<PathBuf>,

    /// Memory that queries may take together; the engine itself needs about 200 MB more
    #[arg(long, value_name = "SIZE", default_value = "1500MB", value_parser = memory)]
    pub(super) max_memory: u64,

    /// Password of the user `default` [default: any is accepted]
    #[arg(
        long,
        value_name = "TEXT",
        env = "CLICKHOUSE_PASSWORD",
        hide_env_values = true,
        value_parser = |text: &str| Ok::<_, String>(Secret::new(text))
    )]
    pub(super) password: Option<Secret>,
}

const HELP: &str = "\
Examples:
  data-bridge clickhouse --path ./clickhouse-data
  data-bridge clickhouse --path /tmp/ch --listen 127.0.0.1:0 --max-memory 512MiB
  curl 'http://127.0.0.1:8123/?query=SELECT+version()'

Exit codes:
  0  stopped by SIGTERM or SIGINT
  1  failed: the address or the folder is taken, the library is missing or unsuitable
  2  usage";

fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address = text
        .parse::<SocketAddr>()
        .map_err(|_not_an_address| "write an IP address and a port: 127.0.0.1:8123".to_owned())?;
    if address.ip().is_loopback() {
        Ok(address)
    } else {
        Err("it listens on loopback only: write 127.0.0.1 or [::1]".to_owned())
    }
}

/// Less is not enough for the engine to start a merge.
const LEAST_MEMORY: u64 = 128 << 20;

fn memory(text: &str) -> Result<u64, String> {
    match size(text)? {
        bytes if bytes < LEAST_MEMORY => Err("write at least 128MiB".to_owned()),
        bytes => Ok(bytes),
    }
}

/// Serves until it is told to stop.
pub(super) fn execute(args: &Args) -> anyhow::Result<Exit> {
    anyhow::bail!(
        "cannot serve {}: the engine is not part of this build",
        args.path.display()
    )
}
