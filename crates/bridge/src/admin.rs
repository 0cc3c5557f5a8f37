//! HTTP of an instance: `/metrics`, `/healthz`, `/readyz`, `/api/status`, and the one thing that
//! people may ask for, `/api/dead-letters/accept`. Knows the board and the metrics, never the pipeline.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;

use crate::config::Secret;
use crate::door::{self, Door};
use crate::telemetry::board::Board;
use crate::telemetry::metrics::Metrics;

/// Content type of the OpenMetrics text format, version 1.0.0.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("http.listen: cannot listen on {address}")]
pub struct ListenError {
    address: SocketAddr,
    #[source]
    cause: std::io::Error,
}

/// What the pages are made of.
#[derive(Clone, Debug)]
pub struct Pages {
    /// Status and readiness.
    pub board: Arc<Board>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// What callers must show to change anything; nothing can be changed without one.
    pub token: Secret,
}

/// Takes the address, so that a taken port is told before anything else starts.
///
/// # Errors
/// When the port is taken or the address is not ours.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).await.map_err(|cause| ListenError { address, cause })
}

/// Serves until `shutdown` resolves.
///
/// # Errors
/// When the listener fails as a whole.
pub async fn serve(
    listener: TcpListener,
    pages: Pages,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let routes = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(health))
        .route("/readyz", get(readiness))
        .route("/api/status", get(status))
        .route("/api/dead-letters/accept", post(accept))
        .with_state(pages);
    axum::serve(Door::new(listener), routes).with_graceful_shutdown(shutdown).await
}

async fn metrics(State(pages): State<Pages>) -> Response {
    match pages.metrics.page() {
        Ok(page) => ([(header::CONTENT_TYPE, OPEN_METRICS)], page).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn health(State(pages): State<Pages>) -> Response {
    let stuck = pages.board.pulses().stuck();
    if stuck.is_empty() {
        return "ok\n".into_response();
    }
    let line = |(name, time): (&&str, &Duration)| {
        format!("{name} has not turned for {} s\n", time.as_secs())
    };
    let text: String = stuck.iter().map(line).collect();
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

async fn readiness(State(pages): State<Pages>) -> Response {
    let status = pages.board.status();
    if status.ready {
        return "ready\n".into_response();
    }
    let mut text = "not ready\n".to_owned();
    for reason in status.reasons {
        text.push_str("- ");
        text.push_str(&reason);
        text.push('\n');
    }
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

async fn status(State(pages): State<Pages>) -> Response {
    Json(pages.board.status()).into_response()
}

/// Which route's dead letters to let through.
#[derive(Debug, Deserialize)]
struct Accept {
    route: String,
}

/// Lets the held dead letters of a route through, until their share falls.
async fn accept(
    State(pages): State<Pages>,
    headers: HeaderMap,
    Query(Accept { route }): Query<Accept>,
) -> Response {
    if pages.token.is_empty() {
        let text = "http.token is not set: without one this instance can only be looked at\n";
        return (StatusCode::FORBIDDEN, text).into_response();
    }
    if !door::shows(&headers, &pages.token) {
        let text = "the header `Authorization: Bearer …` does not hold http.token\n";
        return (StatusCode::UNAUTHORIZED, text).into_response();
    }
    let accepted = pages.board.accept(&route);
    Json(json!({ "route": route, "accepted": accepted })).into_response()
}
