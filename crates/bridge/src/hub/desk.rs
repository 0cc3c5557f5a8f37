//! What people ask of the hub beside the fleet's state: dead letters, and having the group assign anew.

use std::fmt;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::{Semaphore, oneshot};

use super::serve::{Hub, now_ms, refuse};
use crate::letters::{Desk, LettersError};

/// Questions about letters that are answered at once; more are refused, so that a page left open
/// many times costs ClickHouse little.
const AT_ONCE: usize = 4;

/// What the group is told to do, and what it came to; blocks for as long as that takes.
pub type AssignAnew = dyn Fn() -> Result<String, String> + Send + Sync;

/// Who answers.
#[derive(Clone)]
pub struct Office {
    letters: Arc<Desk>,
    assign_anew: Arc<AssignAnew>,
    questions: Arc<Semaphore>,
    /// One change of the group at a time.
    change: Arc<Semaphore>,
}

impl Office {
    /// Letters of this desk, and a group that this tells to assign anew.
    #[must_use]
    pub fn new(letters: Desk, assign_anew: Arc<AssignAnew>) -> Self {
        let (questions, change) = (Semaphore::new(AT_ONCE), Semaphore::new(1));
        Self {
            letters: Arc::new(letters),
            assign_anew,
            questions: Arc::new(questions),
            change: Arc::new(change),
        }
    }
}

impl fmt::Debug for Office {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Office").finish_non_exhaustive()
    }
}

/// Which list.
#[derive(Debug, Deserialize)]
struct Which {
    route: String,
    reason: String,
}

/// Which letter.
#[derive(Debug, Deserialize)]
struct Place {
    origin: String,
    /// A text, since a browser's numbers are too short.
    position: String,
}

/// Everyone who may see the fleet may see these.
pub(super) fn reading() -> Router<Hub> {
    Router::new()
        .route("/api/fleet/dead-letters", get(groups))
        .route("/api/fleet/dead-letters/list", get(list))
        .route("/api/fleet/dead-letters/show", get(show))
}

/// These want a token.
pub(super) fn acting() -> Router<Hub> {
    Router::new()
        .route("/api/fleet/dead-letters/replay", post(replay))
        .route("/api/fleet/rebalance", post(rebalance))
}

async fn groups(State(hub): State<Hub>) -> Response {
    ask(&hub, hub.office.letters.groups(now_ms())).await
}

async fn list(State(hub): State<Hub>, Query(which): Query<Which>) -> Response {
    ask(&hub, hub.office.letters.newest(which.route, which.reason, now_ms())).await
}

async fn show(State(hub): State<Hub>, Query(place): Query<Place>) -> Response {
    match place.position.parse() {
        Ok(position) => ask(&hub, hub.office.letters.show(place.origin, position)).await,
        Err(_) => refuse(StatusCode::BAD_REQUEST, "position must be a whole number"),
    }
}

async fn replay(
    State(hub): State<Hub>,
    headers: HeaderMap,
    Query(place): Query<Place>,
) -> Response {
    if let Err(what) = hub.may_act(&headers) {
        return refuse(StatusCode::UNAUTHORIZED, what);
    }
    let Ok(position) = place.position.parse() else {
        return refuse(StatusCode::BAD_REQUEST, "position must be a whole number");
    };
    tracing::info!(origin = place.origin, position, "dead letter replayed by request");
    ask(&hub, hub.office.letters.replay(place.origin, position, now_ms())).await
}

async fn ask<T: Serialize>(
    hub: &Hub,
    answer: impl Future<Output = Result<T, LettersError>>,
) -> Response {
    let Ok(_turn) = hub.office.questions.try_acquire() else {
        return refuse(StatusCode::TOO_MANY_REQUESTS, "others are asking: try again");
    };
    match answer.await {
        Ok(answer) => Json(answer).into_response(),
        Err(error) => refuse(StatusCode::BAD_GATEWAY, error.to_string()),
    }
}

async fn rebalance(State(hub): State<Hub>, headers: HeaderMap) -> Response {
    if let Err(what) = hub.may_act(&headers) {
        return refuse(StatusCode::UNAUTHORIZED, what);
    }
    let Ok(turn) = Arc::clone(&hub.office.change).try_acquire_owned() else {
        return refuse(StatusCode::CONFLICT, "the group is assigning anew already");
    };
    let (answer, answered) = oneshot::channel();
    let assign_anew = Arc::clone(&hub.office.assign_anew);
    // A thread, since the client of the group blocks; it ends within its own limit.
    let thread = std::thread::Builder::new().name("rebalance".to_owned()).spawn(move || {
        // Nobody waits any more when the asker has left.
        answer.send(assign_anew()).ok();
        drop(turn);
    });
    if let Err(error) = thread {
        return refuse(StatusCode::INTERNAL_SERVER_ERROR, error.to_string());
    }
    match answered.await {
        Ok(Ok(said)) => Json(json!({ "said": said })).into_response(),
        Ok(Err(why)) => refuse(StatusCode::BAD_GATEWAY, why),
        Err(_gone) => refuse(StatusCode::INTERNAL_SERVER_ERROR, "it ended without an answer"),
    }
}
