//! Small JSON calls with an end: in time, in size, and in what is taken for an answer.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::CONTENT_TYPE;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::config::Secret;

/// A fleet of a thousand instances with fifty partitions each takes about four million bytes.
const MOST_BYTES: usize = 16 << 20;
/// How much of an answer that cannot be read is shown.
const SHOWN_BYTES: usize = 80;

/// Why a call brought nothing.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nobody answered, or not in time.
    #[error("{what}")]
    Unreachable {
        /// What the connection says, without the URL.
        what: String,
    },
    /// It answered with another status than wanted.
    #[error("it answers {status}: {said}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// The beginning of the answer.
        said: String,
    },
    /// What it answered is not what was asked for.
    #[error("its answer is not understood: {said}")]
    Nonsense {
        /// The beginning of the answer, or what is wrong with it.
        said: String,
    },
}

/// A client for hubs and instances. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    token: Secret,
}

impl Client {
    /// A client that shows `token` when it is not empty.
    ///
    /// # Panics
    /// Never: what is built needs no file.
    #[must_use]
    pub fn new(token: Secret) -> Self {
        // A second call answers with the provider it did not install: nothing is lost with it.
        drop(rustls::crypto::ring::default_provider().install_default());
        let http = reqwest::Client::builder()
            .no_proxy()
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("data-bridge/", env!("CARGO_PKG_VERSION")))
            .build()
            .expect("a client without files or certificates can be built");
        Self { http, token }
    }

    /// Asks for a page and reads it as JSON.
    ///
    /// # Errors
    /// [`CallError`]; an answer with another status than 2xx is one.
    pub async fn get<T: DeserializeOwned>(
        &self,
        url: &str,
        limit: Duration,
    ) -> Result<T, CallError> {
        let body = self.call(self.http.get(url), limit).await?;
        serde_json::from_slice(&body)
            .map_err(|error| CallError::Nonsense { said: format!("{error}: {}", shown(&body)) })
    }

    /// Sends a JSON body; the answer as it came.
    ///
    /// # Errors
    /// [`CallError`]; an answer with another status than 2xx is one, and so is a web page.
    pub async fn post(
        &self,
        url: &str,
        body: &impl Serialize,
        limit: Duration,
    ) -> Result<Vec<u8>, CallError> {
        let body = serde_json::to_vec(body)
            .map_err(|error| CallError::Nonsense { said: error.to_string() })?;
        let request = self.http.post(url).header(CONTENT_TYPE, "application/json").body(body);
        self.call(request, limit).await
    }

    /// Whether something answers there with 2xx.
    pub async fn answers(&self, url: &str, limit: Duration) -> bool {
        self.call(self.http.get(url), limit).await.is_ok()
    }

    async fn call(
        &self,
        request: reqwest::RequestBuilder,
        limit: Duration,
    ) -> Result<Vec<u8>, CallError> {
        let request =
            if self.token.is_empty() { request } else { request.bearer_auth(self.token.expose()) };
        match tokio::time::timeout(limit, answer(request)).await {
            Ok(answer) => answer,
            Err(_elapsed) => Err(CallError::Unreachable {
                what: format!("no whole answer within {} ms", limit.as_millis()),
            }),
        }
    }
}

async fn answer(request: reqwest::RequestBuilder) -> Result<Vec<u8>, CallError> {
    let mut response = request.send().await.map_err(|error| unreachable(&error))?;
    let status = response.status();
    let is_page = response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|kind| kind.starts_with("text/html"));
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|error| unreachable(&error))? {
        if body.len() + piece.len() > MOST_BYTES {
            return Err(CallError::Nonsense { said: format!("more than {MOST_BYTES} bytes") });
        }
        body.extend_from_slice(&piece);
    }
    if !status.is_success() {
        return Err(CallError::Status { status: status.as_u16(), said: said(status, &body) });
    }
    // Some say that a web page is something else.
    if is_page || body.trim_ascii_start().starts_with(b"<") {
        return Err(CallError::Nonsense { said: format!("a web page: {}", shown(&body)) });
    }
    Ok(body)
}

/// What our own servers say as `error`, else the beginning of the answer.
fn said(status: StatusCode, body: &[u8]) -> String {
    let page = serde_json::from_slice::<serde_json::Value>(body).unwrap_or_default();
    match page["error"].as_str() {
        Some(error) => error.to_owned(),
        None if body.is_empty() => status.canonical_reason().unwrap_or("nothing more").to_owned(),
        None => shown(body),
    }
}

/// The beginning of an answer on one line.
fn shown(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(SHOWN_BYTES)]);
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text.chars().filter(|letter| !letter.is_control()).collect()
}

/// The innermost cause: "connection refused" says more than "error sending request".
fn unreachable(error: &reqwest::Error) -> CallError {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    CallError::Unreachable { what: cause.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_of_an_answer_is_one_short_line() {
        assert_eq!(shown(b"<html>\n  <body>\x1b[2J hello"), "<html> <body>[2J hello");
        assert_eq!(shown(&[b'a'; 5_000]).len(), SHOWN_BYTES);
        assert_eq!(said(StatusCode::BAD_REQUEST, br#"{"error":"why"}"#), "why");
        assert_eq!(said(StatusCode::BAD_GATEWAY, b""), "Bad Gateway");
    }
}
