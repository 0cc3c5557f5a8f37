//! The instance's side: tells a hub that it is there. In a task of its own, with an end to every
//! wait: whatever the hub does, nothing else notices.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::http::{CallError, Client};
use super::protocol::{Heartbeat, Registration};
use crate::config::{Config, Environment, Number};
use crate::telemetry::board::{Board, Status};
use crate::telemetry::pulse::{Pulse, freeze_task};

/// The last heartbeat must not hold the exit.
const LAST_LIMIT: Duration = Duration::from_millis(300);

/// How often a hub hears of an instance.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Time between two heartbeats, and the longest between attempts to register.
    pub heartbeat: Duration,
    /// The first pause between attempts to register; doubled each time.
    pub first_pause: Duration,
    /// How long one call may take.
    pub limit: Duration,
}

impl Default for Pace {
    /// What the Central Hub expects.
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(30),
            first_pause: Duration::from_secs(1),
            limit: Duration::from_secs(5),
        }
    }
}

/// The task that reports to a hub.
#[derive(Debug)]
pub struct Reporter {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Reporter {
    /// Reports from now on; `None` when no hub is configured.
    #[must_use]
    pub fn start(runtime: &Handle, config: &Config, board: Arc<Board>, pace: Pace) -> Option<Self> {
        if config.hub.url.is_empty() {
            return None;
        }
        let report = Report {
            client: Client::new(config.http.token.clone()),
            hub: config.hub.url.trim_end_matches('/').to_owned(),
            url: reachable(config),
            pulse: board.pulses().watch("the reports to the hub", pace.limit),
            board,
            pace,
        };
        let (stop, stopped) = oneshot::channel();
        let task = runtime.spawn(report.run(stopped));
        Some(Self { stop, task })
    }

    /// Says that the instance stops. Returns soon, whatever the hub does.
    pub async fn stop(self) {
        // The task may have ended by itself.
        self.stop.send(()).ok();
        if self.task.await.is_err() {
            tracing::error!("the reports to the hub panicked");
        }
    }
}

/// Under which URL others reach this instance.
fn reachable(config: &Config) -> String {
    let listen = config.http.listen;
    match config.http.advertise.as_str() {
        "" if listen.ip().is_unspecified() => {
            // Every address: the host's name leads to one of them.
            format!("http://{}:{}", Environment::of_process().host_name, listen.port())
        }
        "" => format!("http://{listen}"),
        url => url.to_owned(),
    }
}

struct Report {
    client: Client,
    hub: String,
    url: String,
    board: Arc<Board>,
    pulse: Pulse,
    pace: Pace,
}

/// Whether the hub knows us.
enum Standing {
    Unknown { pause: Duration },
    Registered,
}

impl Report {
    async fn run(self, mut stopped: oneshot::Receiver<()>) {
        let mut standing = Standing::Unknown { pause: self.pace.first_pause };
        let mut said = None;
        loop {
            self.pulse.turn();
            freeze_task("reports").await;
            let call = tokio::select! {
                _ = &mut stopped => break,
                call = self.report(&standing) => call,
            };
            if let Err(error) = &call {
                let text = error.to_string();
                // Once for each trouble, not each time.
                if said.as_ref() != Some(&text) {
                    tracing::warn!(hub = self.hub, error = text, "the hub takes no report");
                    said = Some(text);
                }
            }
            let wait = match (standing, call) {
                (Standing::Unknown { .. }, Ok(())) => {
                    tracing::info!(hub = self.hub, "registered with the hub");
                    (standing, said) = (Standing::Registered, None);
                    self.pace.heartbeat
                }
                (Standing::Unknown { pause }, Err(_)) => {
                    let longer = (pause * 2).min(self.pace.heartbeat);
                    standing = Standing::Unknown { pause: longer };
                    pause
                }
                (Standing::Registered, Ok(())) => {
                    (standing, said) = (Standing::Registered, None);
                    self.pace.heartbeat
                }
                (Standing::Registered, Err(CallError::Status { status: 404, .. })) => {
                    standing = Standing::Unknown { pause: self.pace.first_pause };
                    Duration::ZERO
                }
                (Standing::Registered, Err(_)) => {
                    standing = Standing::Registered;
                    self.pace.heartbeat
                }
            };
            tokio::select! {
                _ = &mut stopped => break,
                () = self.pulse.rest(tokio::time::sleep(wait)) => {}
            }
        }
        if matches!(standing, Standing::Registered) {
            let last = Heartbeat { status: "stopping".to_owned(), ..self.heartbeat() };
            let url = format!("{}/api/discovery/heartbeat", self.hub);
            if let Err(error) = self.client.post(&url, &last, LAST_LIMIT).await {
                tracing::debug!(hub = self.hub, %error, "the hub was not told of the stop");
            }
        }
    }

    async fn report(&self, standing: &Standing) -> Result<(), CallError> {
        let discovery = format!("{}/api/discovery", self.hub);
        let answer = match standing {
            Standing::Unknown { .. } => {
                let url = format!("{discovery}/register");
                self.client.post(&url, &self.registration(), self.pace.limit).await
            }
            Standing::Registered => {
                let url = format!("{discovery}/heartbeat");
                self.client.post(&url, &self.heartbeat(), self.pace.limit).await
            }
        };
        self.carry(&answer?);
        Ok(())
    }

    /// Takes the number that the hub leases, if it leases one: not every hub does.
    fn carry(&self, answer: &[u8]) {
        let answer = serde_json::from_slice::<Value>(answer).unwrap_or_default();
        let number = answer["instance_number"].as_u64().and_then(|number| number.try_into().ok());
        let carried = self.board.number();
        if let Some(number) = number.filter(|number| (1..=Number::MOST).contains(number))
            && number != carried.get()
        {
            tracing::info!(
                hub = self.hub,
                before = carried.get(),
                number,
                "the hub leases a number"
            );
            carried.change(number);
        }
    }

    fn registration(&self) -> Registration {
        let status = self.board.status();
        let (instance_number, version) = (status.instance_number, status.version.to_owned());
        let Heartbeat { service_name, instance_id, url, status, timestamp, metrics } =
            self.heartbeat();
        Registration {
            service_name,
            instance_id,
            instance_number,
            url,
            version,
            status,
            timestamp,
            metrics,
        }
    }

    fn heartbeat(&self) -> Heartbeat {
        let status = self.board.status();
        Heartbeat {
            service_name: format!("data-bridge-{}", status.instance_number),
            instance_id: status.instance_id.clone(),
            url: self.url.clone(),
            status: if status.ready { "healthy" } else { "degraded" }.to_owned(),
            timestamp: json!(jiff::Timestamp::now().as_millisecond()),
            metrics: metrics(&status),
        }
    }
}

/// All that `/api/status` shows, so that a new figure is never forgotten here; partitions as sums.
fn metrics(status: &Status) -> Value {
    let lag: u64 = status.partitions.iter().map(|partition| partition.lag).sum();
    let mut metrics = serde_json::to_value(status).unwrap_or_default();
    if let Some(metrics) = metrics.as_object_mut() {
        metrics.insert("partitions".to_owned(), json!(status.partitions.len()));
        metrics.insert("lag".to_owned(), json!(lag));
    }
    metrics
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heartbeat_carries_the_figures_that_hubs_expect() {
        let metrics = metrics(&Status {
            instance_id: "b-1".to_owned(),
            instance_number: 1,
            ticks_saved: 5,
            ..Status::default()
        });
        for name in [
            "instance_id",
            "instance_number",
            "ticks_saved",
            "candles_saved_clickhouse",
            "external_data_saved",
            "nats_messages",
            "uptime_seconds",
            "lag",
            "partitions",
        ] {
            assert!(!metrics[name].is_null(), "{name}: {metrics}");
        }
        assert_eq!(metrics["ticks_saved"], 5);
        assert_eq!(metrics["partitions"], 0);
    }
}
