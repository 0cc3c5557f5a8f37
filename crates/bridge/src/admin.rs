//! HTTP of an instance: `/metrics`, `/healthz`, `/readyz`, `/api/status`. Reads the board and the
//! metrics, never the pipeline.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use tokio::net::TcpListener;

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
        .with_state(pages);
    axum::serve(listener, routes).with_graceful_shutdown(shutdown).await
}

async fn metrics(State(pages): State<Pages>) -> Response {
    match pages.metrics.page() {
        Ok(page) => ([(header::CONTENT_TYPE, OPEN_METRICS)], page).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn health(State(pages): State<Pages>) -> Response {
    match pages.board.stuck_for() {
        None => "ok\n".into_response(),
        Some(time) => {
            let text = format!("the pipeline has not turned for {} s\n", time.as_secs());
            (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
        }
    }
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
