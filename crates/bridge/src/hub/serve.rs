//! The hub's HTTP, its looks at the instances, and its file.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::Stream;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::control::{Ask, Command};
use super::desk::{self, Office};
use super::events::Events;
use super::fleet::{Fleet, Supervised};
use super::history::History;
use super::http::Client;
use super::judge::judge;
use super::page;
use super::protocol::{Heartbeat, Registration};
use super::registry::{Expected, Lease, Registry};
use super::store::{self, StoreError};
use crate::config::Secret;
use crate::door::{Door, shows};

/// Time between two looks at each instance.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// One that did not answer is looked at again sooner, so that three misses are told within three seconds.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// An instance answers from memory: within milliseconds, or it hangs.
const LOOK_LIMIT: Duration = Duration::from_millis(900);
/// Time between two writes of the file, when something changed.
const SAVE_EVERY: Duration = Duration::from_secs(5);
/// How long open answers may go on once the hub stops.
const CLOSING: Duration = Duration::from_millis(500);
/// Largest registration or heartbeat.
const MOST_BODY_BYTES: usize = 1 << 20;
/// How long the supervisor may take to say whether it will.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// The hub cannot listen on its address.
#[derive(Debug, thiserror::Error)]
#[error("hub.listen: cannot listen on {address}")]
pub struct ListenError {
    address: SocketAddr,
    #[source]
    cause: std::io::Error,
}

/// How a hub is set up.
#[derive(Debug)]
pub struct Options {
    /// `http.token`: callers show it, and so does the hub to instances.
    pub token: Secret,
    /// Where it keeps what it knows.
    pub state: Option<PathBuf>,
    /// Who carries commands out, and the token that whoever asks must show.
    pub control: Option<(mpsc::Sender<Ask>, Secret)>,
    /// Who answers questions about dead letters and the group.
    pub office: Office,
}

/// What was seen before.
#[derive(Debug, Default)]
struct Past {
    events: Events,
    history: History,
}

/// What the hub knows, shared with a supervisor of the same process.
#[derive(Debug)]
pub struct Shared {
    group_id: String,
    registry: Mutex<Registry>,
    supervised: Mutex<Option<Supervised>>,
    past: Mutex<Past>,
    latest: watch::Sender<Arc<Fleet>>,
}

impl Shared {
    /// A hub's knowledge, from its file when there is one.
    ///
    /// # Errors
    /// When the file cannot be read, or is another version's.
    pub fn try_new(group_id: &str, state: Option<&PathBuf>) -> Result<Arc<Self>, StoreError> {
        let saved = match state {
            Some(path) => store::load(path)?,
            None => Vec::new(),
        };
        let registry = Registry::restored(saved, now_ms());
        Ok(Arc::new(Self {
            group_id: group_id.to_owned(),
            registry: Mutex::new(registry),
            supervised: Mutex::new(None),
            past: Mutex::default(),
            latest: watch::Sender::new(Arc::new(Fleet::default())),
        }))
    }

    /// Looks after these instances, registered or not.
    pub fn expect(&self, expected: &[Expected]) {
        self.registry().expect(expected, now_ms());
    }

    /// Shows what the supervisor says of itself.
    pub fn publish(&self, supervised: Supervised) {
        *self.supervised.lock().unwrap_or_else(PoisonError::into_inner) = Some(supervised);
    }

    /// The fleet now.
    #[must_use]
    pub fn fleet(&self) -> Fleet {
        let supervisor = self.supervised.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let fleet = Fleet {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            group_id: self.group_id.clone(),
            supervisor,
            events: self.past().events.latest(),
            ..self.registry().fleet(now_ms())
        };
        Fleet { verdict: judge(&fleet), ..fleet }
    }

    /// Keeps what this look shows, of a whole round also as a point of the charts, and tells it to all
    /// who watch.
    fn look_over(&self, is_round: bool) {
        let fleet = self.fleet();
        {
            let mut past = self.past();
            past.events.see(&fleet);
            if is_round {
                past.history.see(&fleet);
            }
        }
        let events = self.past().events.latest();
        self.latest.send_replace(Arc::new(Fleet { events, ..fleet }));
    }

    fn past(&self) -> MutexGuard<'_, Past> {
        self.past.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// Takes the address, so that a taken port is told before anything else starts.
///
/// # Errors
/// When the port is taken or the address is not ours.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).await.map_err(|cause| ListenError { address, cause })
}

/// Serves until `stop` resolves.
///
/// # Errors
/// When the listener fails as a whole.
pub async fn serve(
    listener: TcpListener,
    shared: Arc<Shared>,
    options: Options,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let Options { token, state, control, office } = options;
    let (ending, ended) = watch::channel(false);
    let mut tasks = JoinSet::new();
    tasks.spawn(look(Arc::clone(&shared), Client::new(token.clone()), ended.clone()));
    if let Some(state) = state {
        tasks.spawn(save(Arc::clone(&shared), state, ended.clone()));
    }
    let mut closing = ended;
    let graceful = {
        let ending = ending.clone();
        async move {
            stop.await;
            // Tasks that are gone need not be told.
            ending.send(true).ok();
        }
    };
    let app = router(Hub { shared, token, control, office });
    let server = axum::serve(Door::new(listener), app).with_graceful_shutdown(graceful);
    let served = tokio::select! {
        served = server => served,
        // A watcher of events would hold the end for ever.
        () = async {
            closing.wait_for(|ending| *ending).await.ok();
            tokio::time::sleep(CLOSING).await;
        } => Ok(()),
    };
    ending.send(true).ok();
    while tasks.join_next().await.is_some() {}
    served
}

#[derive(Clone, Debug)]
pub(super) struct Hub {
    shared: Arc<Shared>,
    token: Secret,
    control: Option<(mpsc::Sender<Ask>, Secret)>,
    pub(super) office: Office,
}

impl Hub {
    /// Whether a caller may change something: never without a token. Else what to show.
    pub(super) fn may_act(&self, headers: &HeaderMap) -> Result<(), &'static str> {
        let of_fleet = self.control.as_ref().map(|(_, token)| token);
        if shows(headers, &self.token) || of_fleet.is_some_and(|token| shows(headers, token)) {
            return Ok(());
        }
        Err(match (of_fleet.is_some(), self.token.is_empty()) {
            (true, _) => "show the token of the fleet's state folder (--state-dir), or http.token",
            (false, false) => "show http.token as a bearer token",
            (false, true) => "this hub has no http.token: set one to change things through it",
        })
    }
}

fn router(hub: Hub) -> Router {
    Router::new()
        .route("/api/discovery/register", post(register))
        .route("/api/discovery/heartbeat", post(heartbeat))
        .route("/api/fleet", get(fleet))
        .route("/api/fleet/events", get(events))
        .route("/api/fleet/history", get(history))
        .merge(desk::reading())
        .layer(middleware::from_fn_with_state(hub.clone(), check_token))
        .route("/api/fleet/control", post(control))
        .merge(desk::acting())
        .route("/healthz", get(async || "ok\n"))
        .merge(page::routes())
        .layer(DefaultBodyLimit::max(MOST_BODY_BYTES))
        .with_state(hub)
}

pub(super) fn refuse(status: StatusCode, error: impl Into<String>) -> Response {
    (status, Json(json!({ "error": error.into() }))).into_response()
}

async fn check_token(State(hub): State<Hub>, request: Request, next: Next) -> Response {
    let may = hub.token.is_empty()
        || shows(request.headers(), &hub.token)
        || hub.control.as_ref().is_some_and(|(_, token)| shows(request.headers(), token));
    if may {
        next.run(request).await
    } else {
        refuse(StatusCode::UNAUTHORIZED, "show http.token as a bearer token")
    }
}

async fn register(State(hub): State<Hub>, body: Bytes) -> Response {
    let registration = match serde_json::from_slice::<Registration>(&body) {
        Ok(registration) => registration,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, error.to_string()),
    };
    let id = registration.id().unwrap_or_default().to_owned();
    if let Some(Lease(number)) = hub.shared.registry().register(registration, now_ms()) {
        tracing::info!(instance = id, number, "registered");
        let status = "registered";
        Json(json!({ "status": status, "instance_id": id, "instance_number": number }))
            .into_response()
    } else if id.is_empty() {
        refuse(StatusCode::BAD_REQUEST, "instance_id or service_name must say who it is")
    } else {
        refuse(StatusCode::INSUFFICIENT_STORAGE, "too many services are registered")
    }
}

async fn heartbeat(State(hub): State<Hub>, body: Bytes) -> Response {
    let heartbeat = match serde_json::from_slice::<Heartbeat>(&body) {
        Ok(heartbeat) => heartbeat,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, error.to_string()),
    };
    if let Some(Lease(number)) = hub.shared.registry().heartbeat(heartbeat, now_ms()) {
        Json(json!({ "status": "ok", "instance_number": number })).into_response()
    } else {
        refuse(StatusCode::NOT_FOUND, "not registered: register first")
    }
}

async fn fleet(State(hub): State<Hub>) -> Response {
    Json(hub.shared.fleet()).into_response()
}

async fn history(State(hub): State<Hub>) -> Response {
    Json(hub.shared.past().history.points()).into_response()
}

/// The fleet after each round of looks, as server-sent events.
async fn events(State(hub): State<Hub>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let mut latest = hub.shared.latest.subscribe();
    // The first one at once.
    latest.mark_changed();
    let stream = futures_util::stream::unfold(latest, |mut latest| async {
        latest.changed().await.ok()?;
        let fleet = Arc::clone(&latest.borrow_and_update());
        let event = Event::default().event("fleet").json_data(&*fleet).ok()?;
        Some((Ok(event), latest))
    });
    Sse::new(stream).keep_alive(KeepAlive::default())
}

async fn control(State(hub): State<Hub>, headers: HeaderMap, body: Bytes) -> Response {
    let Some((supervisor, _token)) = &hub.control else {
        return refuse(
            StatusCode::CONFLICT,
            "this hub runs alone: there is no supervisor that starts or stops instances",
        );
    };
    if let Err(what) = hub.may_act(&headers) {
        return refuse(StatusCode::UNAUTHORIZED, what);
    }
    let command = match serde_json::from_slice::<Command>(&body) {
        Ok(command) => command,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, error.to_string()),
    };
    let (answer, answered) = oneshot::channel();
    if supervisor.send(Ask { command, answer }).await.is_err() {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "the supervisor is stopping");
    }
    match tokio::time::timeout(ANSWER_LIMIT, answered).await {
        Ok(Ok(Ok(said))) => Json(json!({ "said": said })).into_response(),
        Ok(Ok(Err(refusal))) => refuse(StatusCode::CONFLICT, refusal.to_string()),
        Ok(Err(_gone)) => refuse(StatusCode::SERVICE_UNAVAILABLE, "the supervisor is stopping"),
        Err(_elapsed) => refuse(StatusCode::GATEWAY_TIMEOUT, "the supervisor does not answer"),
    }
}

/// Looks at every instance each second, all at once, so that one that hangs holds up no other; and in
/// between at those that did not answer.
async fn look(shared: Arc<Shared>, client: Client, mut ended: watch::Receiver<bool>) {
    let mut next = Instant::now();
    loop {
        let is_round = Instant::now() >= next;
        let whom = if is_round {
            next = Instant::now() + LOOK_EVERY;
            shared.registry().to_look_at()
        } else {
            shared.registry().to_look_at_again()
        };
        let mut looks = JoinSet::new();
        for (id, url) in whom {
            let client = client.clone();
            looks.spawn(async move {
                let url = format!("{}/api/status", url.trim_end_matches('/'));
                (id, client.get(&url, LOOK_LIMIT).await)
            });
        }
        while let Some(look) = looks.join_next().await {
            match look {
                Ok((id, look)) => {
                    let look = look.map_err(|error| error.to_string());
                    shared.registry().seen(&id, look, now_ms());
                }
                Err(error) => tracing::error!(%error, "a look at an instance panicked"),
            }
        }
        shared.registry().note_unread(now_ms());
        shared.registry().forget_the_old(now_ms());
        shared.look_over(is_round);
        let waits = !shared.registry().to_look_at_again().is_empty();
        let until = if waits { next.min(Instant::now() + LOOK_AGAIN) } else { next };
        tokio::select! {
            _ = ended.wait_for(|ended| *ended) => return,
            () = tokio::time::sleep_until(until) => {}
        }
    }
}

/// Writes the file when something changed, and once more at the end.
async fn save(shared: Arc<Shared>, path: PathBuf, mut ended: watch::Receiver<bool>) {
    let mut written = shared.registry().changes();
    loop {
        let last = tokio::select! {
            _ = ended.wait_for(|ended| *ended) => true,
            () = tokio::time::sleep(SAVE_EVERY) => false,
        };
        let (changes, members) = {
            let registry = shared.registry();
            (registry.changes(), registry.saved())
        };
        if changes != written {
            match store::save(&path, members) {
                Ok(()) => written = changes,
                Err(error) => {
                    let error = anyhow::Error::from(error);
                    tracing::warn!(error = format!("{error:#}"), "cannot keep what the hub knows");
                }
            }
        }
        if last {
            return;
        }
    }
}
