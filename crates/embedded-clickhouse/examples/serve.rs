//! The server alone: `serve DIRECTORY [ADDRESS]`; prints its address when it answers, ends on
//! SIGTERM and SIGINT. The tests kill it.

use std::io::Write;

use embedded_clickhouse::{Options, serve};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut options = Options::new(arguments.next().ok_or("serve DIRECTORY [ADDRESS]")?);
    options.listen = arguments.next().unwrap_or_else(|| "127.0.0.1:0".to_owned()).parse()?;
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let (mut term, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let ready = |address| {
        let mut out = std::io::stdout().lock();
        if let Err(error) = writeln!(out, "{address}").and_then(|()| out.flush()) {
            tracing::warn!(%error, "cannot print the address");
        }
    };
    let shutdown = async {
        tokio::select! {
            _ = term.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    serve(options, ready, shutdown).await?;
    Ok(())
}
