//! How a command finds a fleet and talks to its hub.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::{Exit, Settings, Stop, state_dir};
use crate::config::{Config, Environment};
use crate::hub::{CallError, Client, Command, Fleet};
use crate::supervisor::State;

/// A hub answers from memory; a supervisor within one turn.
const LIMIT: Duration = Duration::from_secs(10);

/// Which fleet.
#[derive(Debug, Clone, clap::Args)]
pub struct Which {
    #[command(flatten)]
    pub(super) settings: Settings,

    /// The fleet's state folder, by default `$XDG_STATE_HOME/data-bridge/<kafka.group_id>`
    #[arg(long, value_name = "FOLDER", conflicts_with = "hub")]
    pub(super) state_dir: Option<PathBuf>,

    /// The fleet's hub, on any machine
    #[arg(long, value_name = "URL")]
    pub(super) hub: Option<String>,
}

/// A fleet that was found; whether it answers is another matter.
pub(super) struct Found {
    pub(super) url: String,
    pub(super) client: Client,
    /// Of a fleet on this machine.
    pub(super) local: Option<(PathBuf, State)>,
}

impl Which {
    pub(super) fn find(&self, config: &Config, environment: &Environment) -> anyhow::Result<Found> {
        if let Some(url) = &self.hub {
            let is_url = url.starts_with("http://") || url.starts_with("https://");
            if !is_url {
                return Err(Stop::new(
                    Exit::Usage,
                    format!("--hub {url}: not a URL"),
                    "write http://host:9400",
                )
                .into());
            }
            return Ok(Found {
                url: url.trim_end_matches('/').to_owned(),
                client: Client::new(config.http.token.clone()),
                local: None,
            });
        }
        let group = &config.kafka.group_id;
        let folder = state_dir::find(self.state_dir.as_deref(), environment, group)?;
        let Some(state) = State::read(&folder).map_err(state_dir::unfit)? else {
            return Err(none(&folder).into());
        };
        Ok(Found {
            url: state.hub_url.clone(),
            client: Client::new(crate::config::Secret::new(state.token.clone())),
            local: Some((folder, state)),
        })
    }
}

fn none(folder: &Path) -> Stop {
    Stop::new(
        Exit::Unreachable,
        format!("no fleet was started here: there is no fleet.json in {}", folder.display()),
        "`data-bridge up` starts one; name another with --state-dir FOLDER or --hub URL",
    )
}

impl Found {
    pub(super) async fn fleet(&self) -> anyhow::Result<Fleet> {
        let url = format!("{}/api/fleet", self.url);
        let page: Value = self.client.get(&url, LIMIT).await.map_err(|error| self.away(&error))?;
        // Anything may answer at a port; a fleet says so.
        if !page["instances"].is_array() || !page["totals"].is_object() {
            return Err(self.stranger("its answer is none of a hub of ours").into());
        }
        serde_json::from_value(page).map_err(|error| self.stranger(&error.to_string()).into())
    }

    pub(super) async fn tell(&self, command: &Command) -> anyhow::Result<String> {
        let url = format!("{}/api/fleet/control", self.url);
        let answer = self.client.post(&url, command, LIMIT).await;
        let answer = answer.map_err(|error| self.away(&error))?;
        let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
        match answer["said"].as_str() {
            Some(said) => Ok(said.to_owned()),
            None => Err(self.stranger("its answer is none of a hub of ours").into()),
        }
    }

    fn stranger(&self, what: &str) -> Stop {
        Stop::new(
            Exit::Failed,
            format!("{}: {what}", self.url),
            "name the hub of a fleet: the one whose /api/fleet answers",
        )
    }

    fn away(&self, error: &CallError) -> anyhow::Error {
        let stop = match (error, &self.local) {
            (CallError::Unreachable { .. }, Some((folder, state))) => {
                let running = state.running().len();
                if running == 0 {
                    Stop::new(
                        Exit::Unreachable,
                        format!("the fleet in {} does not run", folder.display()),
                        "`data-bridge up` starts it",
                    )
                } else {
                    Stop::new(
                        Exit::Unreachable,
                        format!("the supervisor is gone; {running} instances go on without it"),
                        "`data-bridge up` adopts them, `data-bridge down` stops them",
                    )
                }
            }
            (CallError::Unreachable { what }, None) => Stop::new(
                Exit::Unreachable,
                format!("no hub answers at {}: {what}", self.url),
                "is it the right URL, and does the hub run?",
            ),
            (CallError::Status { status: 401, said }, _) => Stop::new(
                Exit::Failed,
                format!("the hub at {} refuses: {said}", self.url),
                "name the fleet's --state-dir on its machine, or set http.token as the fleet has it",
            ),
            (CallError::Status { status: 409, said }, _) => {
                Stop::new(Exit::Failed, said.clone(), "nothing was changed")
            }
            (CallError::Status { .. } | CallError::Nonsense { .. }, _) => {
                return self.stranger(&error.to_string()).into();
            }
        };
        stop.into()
    }
}
