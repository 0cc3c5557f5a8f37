//! `data-bridge clickhouse`: the ClickHouse engine in this process, behind its HTTP interface.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use embedded_clickhouse::Options;
use tokio::signal::unix::{SignalKind, signal};

use super::Exit;
use crate::config::{Secret, size};

/// Run an embedded ClickHouse, for trying out, development and tests
///
/// The real engine (libchdb, loaded at run time) behind ClickHouse's own HTTP interface. Loopback
/// only; production points at a real ClickHouse.
#[derive(Debug, clap::Args)]
#[command(after_help = format!("{}\n\n{HELP}", embedded_clickhouse::LIMITS))]
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
    // An empty variable counts as not set, as everywhere.
    let password = args.password.as_ref().filter(|password| !password.is_empty());
    let options = Options {
        library: args.library.clone(),
        listen: args.listen,
        max_memory_bytes: args.max_memory,
        password: password.map(|password| password.expose().to_owned()),
        ..Options::new(&args.path)
    };
    let runtime = super::runtime()?;
    runtime.block_on(async {
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let stop = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        embedded_clickhouse::serve(options, |address| announce(args, address), stop).await?;
        Ok(Exit::Done)
    })
}

/// Says where it listens; nobody minds when the terminal is gone.
fn announce(args: &Args, address: SocketAddr) {
    let mut err = std::io::stderr().lock();
    let text = format!("ClickHouse answers on http://{address}, data in {}", args.path.display());
    drop(writeln!(err, "{text}; Ctrl-C stops it"));
}
