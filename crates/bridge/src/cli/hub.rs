//! `data-bridge hub`: the hub alone.

use std::path::PathBuf;

use tokio::signal::unix::{SignalKind, signal};
use tracing::info;

use super::{Exit, Settings, rebalance, state_dir};
use crate::config::{Config, Environment, Instance, Number};
use crate::hub::{self, Office, Options, Shared};
use crate::letters::Desk;

/// Serve a hub: instances of any machine register there, and it shows them as one fleet
///
/// Listens on hub.listen. Each instance finds it by hub.url. A fleet that `up` started has one
/// already.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    #[command(flatten)]
    pub(super) settings: Settings,

    /// Where it keeps what it knows [default: as for `up`]
    #[arg(long, value_name = "FOLDER")]
    pub(super) state_dir: Option<PathBuf>,
}

const HELP: &str = "\
Examples:
  data-bridge hub
  data-bridge hub --set hub.listen=0.0.0.0:9400 --state-dir /var/lib/data-bridge
  CENTRAL_HUB_URL=http://hub:9400 data-bridge run        an instance that reports to it
  curl -s http://127.0.0.1:9400/api/fleet                the fleet as JSON
  curl -sN http://127.0.0.1:9400/api/fleet/events        … each second, as server-sent events

Exit codes:
  0  stopped by SIGTERM or SIGINT
  1  failed: the address is taken, the folder cannot be written
  2  usage or configuration, a file of another version";

/// Serves until it is told to stop.
pub(super) fn execute(
    config: &Config,
    environment: &Environment,
    args: &Args,
) -> anyhow::Result<Exit> {
    let instance = Instance { id: "hub".to_owned(), number: Number::new(0) };
    crate::telemetry::log::init(&config.log, &instance)?;
    let folder = state_dir::find(args.state_dir.as_deref(), environment, &config.kafka.group_id)?;
    state_dir::create(&folder)?;
    let state = folder.join("hub.json");
    let shared = Shared::try_new(&config.kafka.group_id, Some(&state)).map_err(state_dir::unfit)?;
    let runtime = super::runtime()?;
    runtime.block_on(async {
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let listener = hub::listen(config.hub.listen).await?;
        info!(address = %listener.local_addr()?, state = %state.display(), "hub started");
        let options = Options {
            token: config.http.token.clone(),
            state: Some(state),
            control: None,
            office: office(config),
        };
        let stop = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        hub::serve(listener, shared, options, stop).await?;
        info!("hub stopped");
        Ok(Exit::Done)
    })
}

/// Who answers for this configuration's dead letters and group.
pub(super) fn office(config: &Config) -> Office {
    Office::new(Desk::new(config.clone()), rebalance::for_hub(&config.kafka))
}
