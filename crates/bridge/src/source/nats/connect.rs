//! The connection: servers, credentials, certificates, reconnecting without limit.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_nats::{Client, ConnectOptions, Event, ServerAddr};
use tracing::{debug, info, warn};

use crate::config;

/// A connection that does not answer two of these is dead; the server itself asks every 2 minutes.
const PING_EVERY: Duration = Duration::from_secs(1);
/// How long one server may take to let us in.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest wait between two attempts: within it a server that is back is found.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// How long an answer may take.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(4);
/// How long a denial is told after it was heard: an ack that was denied is heard of again when its
/// message is delivered again, after `nats.ack_wait_ms`.
const DENIAL_TOLD: Duration = Duration::from_mins(1);
/// Messages that one subscription may hold before its task looks: more than any pull asks for.
pub(super) const SUBSCRIPTION_CAPACITY: usize = 65_536;

/// The settings do not make a client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NatsError {
    /// A file cannot be read.
    #[error("nats: cannot read {path}: {reason}")]
    File {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// Something else about the settings.
    #[error("the NATS client cannot start: {0}")]
    Client(String),
    /// No server could be reached, or none let us in.
    #[error("NATS at {urls} cannot be reached: {reason}")]
    Unreachable {
        /// The configured servers.
        urls: String,
        /// Why.
        reason: String,
    },
}

/// How the connection stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Link {
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct State {
    pub(super) connected: bool,
    /// Why there is no connection, or what the server refused last.
    pub(super) error: Option<String>,
    /// What the account may not do, and when the server said so.
    denied: Option<(String, Instant)>,
    /// Messages the client dropped because nobody took them; the server's own notices included.
    pub(super) slow: u64,
    /// Connections made since the start.
    pub(super) connects: u64,
}

impl State {
    /// What the account may not do, as the server said lately.
    pub(super) fn denied(&self) -> Option<&str> {
        let (text, at) = self.denied.as_ref()?;
        (at.elapsed() < DENIAL_TOLD).then_some(text)
    }
}

impl Link {
    pub(super) fn state(&self) -> State {
        self.lock().clone()
    }

    /// What was refused is granted now.
    pub(super) fn mended(&self) {
        self.lock().error = None;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of an event; whether a connection was made.
    fn note(&self, event: &Event) -> bool {
        let mut state = self.lock();
        match event {
            Event::Connected => {
                state.connected = true;
                (state.error, state.denied) = (None, None);
                state.connects += 1;
                info!("NATS connected");
                return true;
            }
            Event::Disconnected | Event::Closed => {
                if std::mem::replace(&mut state.connected, false) {
                    warn!("NATS disconnected");
                }
            }
            Event::SlowConsumer(_) => state.slow += 1,
            Event::ServerError(error) => {
                let text = error.to_string();
                if text.to_ascii_lowercase().contains("permissions violation") {
                    // Of acks there is one for each message.
                    if state.denied().is_none() {
                        warn!(error = text, "NATS denies the account what it needs");
                    }
                    state.denied = Some((text, Instant::now()));
                    return false;
                }
                if state.error.as_deref() != Some(&text) {
                    warn!(error = text, "NATS server");
                }
                state.error = Some(text);
            }
            Event::ClientError(error) => {
                let text = error.to_string();
                if state.error.as_deref() != Some(&text) {
                    warn!(error = text, "NATS");
                }
                // What a server said of its own accord tells more.
                state.error.get_or_insert(text);
            }
            Event::LameDuckMode | Event::Draining => debug!(%event, "NATS"),
        }
        false
    }
}

/// A client that connects in the background and goes on trying; `connected` is called at each
/// connection.
///
/// # Errors
/// When a file cannot be read or the settings make no client.
pub(super) async fn open(
    config: &config::Nats,
    name: &str,
    link: &Link,
    connected: impl Fn() + Send + Sync + 'static,
) -> Result<Client, NatsError> {
    let connected = Arc::new(connected);
    let events = link.clone();
    let pool = link.clone();
    let options = options(config, name)
        .await?
        .retry_on_initial_connect()
        .event_callback(move |event| {
            if events.note(&event) {
                connected();
            }
            async {}
        })
        .reconnect_to_server_callback(move |servers, _| {
            let errors = servers.iter().filter_map(|server| {
                let error = server.last_error.as_ref()?;
                Some(format!("{}:{}: {error}", server.addr.host(), server.addr.port()))
            });
            let errors = errors.collect::<Vec<_>>().join("; ");
            if !errors.is_empty() {
                pool.lock().error = Some(errors);
            }
            // The order of trying is the client's own.
            async { None }
        });
    options.connect(addresses(config)?).await.map_err(|error| NatsError::Client(error.to_string()))
}

/// A client for a few questions: fails when no server lets us in.
///
/// # Errors
/// When no server can be reached in time or none lets us in.
pub(super) async fn once(config: &config::Nats) -> Result<Client, NatsError> {
    let options = options(config, "data-bridge").await?;
    let urls = config.cluster_urls.join(",");
    let unreachable = |reason: String| NatsError::Unreachable { urls: urls.clone(), reason };
    let connecting = options.max_reconnects(1).connect(addresses(config)?);
    match tokio::time::timeout(CONNECT_TIMEOUT * 2, connecting).await {
        Ok(Ok(client)) => Ok(client),
        Ok(Err(error)) => {
            let mut text = error.to_string();
            let mut cause = std::error::Error::source(&error);
            while let Some(error) = cause {
                let more = error.to_string();
                if !text.contains(&more) {
                    text = format!("{text}: {more}");
                }
                cause = error.source();
            }
            Err(unreachable(text))
        }
        Err(_) => Err(unreachable("no answer in time".to_owned())),
    }
}

fn addresses(config: &config::Nats) -> Result<Vec<ServerAddr>, NatsError> {
    let parse = |url: &String| {
        url.parse::<ServerAddr>()
            .map_err(|error| NatsError::Client(format!("nats.cluster_urls: {url}: {error}")))
    };
    config.cluster_urls.iter().map(parse).collect()
}

/// Who we are to the servers, for a client of another kind.
///
/// # Errors
/// When a file cannot be read.
pub async fn client_options(config: &config::Nats) -> Result<ConnectOptions, NatsError> {
    options(config, "data-bridge load").await
}

async fn options(config: &config::Nats, name: &str) -> Result<ConnectOptions, NatsError> {
    let config::NatsAuth { user, password, token, nkey, creds_file, .. } = &config.auth;
    let mut options = ConnectOptions::new()
        .name(name)
        .ping_interval(PING_EVERY)
        .connection_timeout(CONNECT_TIMEOUT)
        .request_timeout(Some(ANSWER_TIMEOUT))
        .subscription_capacity(SUBSCRIPTION_CAPACITY)
        // Subjects that we publish to are replies of the server, or made of checked names.
        .skip_subject_validation(true)
        .reconnect_delay_callback(wait);
    if !config.discover_servers {
        options = options.ignore_discovered_servers();
    }
    if !user.is_empty() {
        options = options.user_and_password(user.clone(), password.expose().to_owned());
    }
    if !token.is_empty() {
        options = options.token(token.expose().to_owned());
    }
    if !nkey.is_empty() {
        options = options.nkey(nkey.expose().trim().to_owned());
    }
    if let Some(path) = creds_file {
        options = options.credentials_file(path).await.map_err(|error| NatsError::File {
            path: path.display().to_string(),
            reason: error.to_string(),
        })?;
    }
    let tls = &config.tls;
    let files = [&tls.ca_file, &tls.cert_file, &tls.key_file];
    for path in files.into_iter().flatten() {
        // The client would find out only when it connects.
        std::fs::metadata(path).map_err(|error| NatsError::File {
            path: path.display().to_string(),
            reason: error.to_string(),
        })?;
    }
    if let Some(path) = &tls.ca_file {
        options = options.add_root_certificates(path.clone());
    }
    if let (Some(cert), Some(key)) = (&tls.cert_file, &tls.key_file) {
        options = options.add_client_certificate(cert.clone(), key.clone());
    }
    let wants_tls = config.cluster_urls.iter().any(|url| url.starts_with("tls://"));
    Ok(options.require_tls(wants_tls || files.into_iter().any(Option::is_some)))
}

/// The wait before an attempt: none before the first, then more, with jitter so that a fleet does
/// not come back as one.
fn wait(attempt: usize) -> Duration {
    let doublings = u32::try_from(attempt.saturating_sub(2)).unwrap_or(u32::MAX);
    if attempt <= 1 {
        return Duration::ZERO;
    }
    let longest = Duration::from_millis(50)
        .saturating_mul(2_u32.saturating_pow(doublings.min(10)))
        .min(LONGEST_WAIT);
    longest.mul_f64(0.5 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_second_and_differ() {
        assert_eq!(wait(1), Duration::ZERO);
        assert!(wait(2) <= Duration::from_millis(50));
        let waits: Vec<_> = (0..100).map(|_| wait(1_000_000)).collect();
        assert!(waits.iter().all(|wait| *wait <= LONGEST_WAIT && *wait >= LONGEST_WAIT / 2));
        assert!(waits.iter().any(|wait| *wait != waits[0]));
    }
}
