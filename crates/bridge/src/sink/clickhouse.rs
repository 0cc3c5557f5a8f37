//! ClickHouse's HTTP interface: inserts in Native format, and the few queries a bridge asks.

mod question;

pub use question::{Given, Question};

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use data_bridge_core::catalog::Table;
use data_bridge_core::verdict::Failure;
use reqwest::header::{CONTENT_ENCODING, HeaderName};

use super::exception::{failure_in, shorten, with_row};
use super::password::{Password, is_about_credentials};
use crate::config::{self, Compression};

/// How long a connection may take. A loopback or LAN connection takes milliseconds; a lost SYN is
/// sent again after one and three seconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);

/// ClickHouse closes idle connections after 10 s by default (`keep_alive_timeout`), older versions
/// after 3 s: ours go first, so that no insert meets a connection that is just being closed.
const IDLE_TIMEOUT: Duration = Duration::from_millis(2_500);

/// Refusals that are about this server, not about what it was sent: too busy, without its Keeper,
/// read-only, cut off from the other replicas. Another replica may take the very same request.
const OF_THIS_SERVER: &[i32] =
    &[202, 203, 225, 242, 244, 285, 319, 369, 439, 733, 745, 749, 762, 999];

/// Why a client could not be built.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// A file of `clickhouse.tls` cannot be read.
    #[error("clickhouse.tls: cannot read {path}")]
    Read {
        /// The file.
        path: String,
        /// What the system says.
        #[source]
        cause: std::io::Error,
    },
    /// A certificate, a key, or the client as a whole does not fit.
    #[error("cannot build the HTTP client for ClickHouse")]
    Build(#[from] reqwest::Error),
}

/// A client of one ClickHouse service, reached by one of several URLs. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ClickHouse {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    http: reqwest::Client,
    urls: Vec<String>,
    /// Index of the URL that answered last.
    current: AtomicUsize,
    user: String,
    password: Password,
    database: String,
    compression: Compression,
    insert_timeout: Duration,
}

impl ClickHouse {
    /// A client for the servers that `config` names. Connects when first used.
    ///
    /// # Errors
    /// When a TLS file cannot be read or used.
    pub fn new(config: &config::ClickHouse) -> Result<Self, ClientError> {
        install_crypto();
        let mut builder = reqwest::Client::builder()
            .no_proxy()
            .http1_only()
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .user_agent(concat!("data-bridge/", env!("CARGO_PKG_VERSION")));
        if let Some(path) = &config.tls.ca_file {
            let pem = read(path)?;
            builder = builder.tls_certs_only(reqwest::Certificate::from_pem_bundle(&pem)?);
        }
        if let (Some(cert), Some(key)) = (&config.tls.cert_file, &config.tls.key_file) {
            let mut pem = read(key)?;
            pem.extend_from_slice(&read(cert)?);
            builder = builder.identity(reqwest::Identity::from_pem(&pem)?);
        }
        Ok(Self {
            inner: Arc::new(Inner {
                http: builder.build()?,
                urls: config.urls.clone(),
                current: AtomicUsize::new(0),
                user: config.user.clone(),
                password: Password::new(config.password.clone()),
                database: config.database.clone(),
                compression: config.compression,
                insert_timeout: config.insert_timeout,
            }),
        })
    }

    /// The database of the bridge's tables.
    #[must_use]
    pub fn database(&self) -> &str {
        &self.inner.database
    }

    /// A client for each of the URLs alone, to say of each how it is.
    ///
    /// # Errors
    /// When a TLS file cannot be read or used.
    pub fn each(config: &config::ClickHouse) -> Result<Vec<Self>, ClientError> {
        let alone = |url: &String| {
            let mut config = config.clone();
            config.urls = vec![url.clone()];
            Self::new(&config)
        };
        config.urls.iter().map(alone).collect()
    }

    /// The URL that the next request goes to; for messages.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.inner.urls[self.inner.current.load(Ordering::Relaxed) % self.inner.urls.len()]
    }

    /// Inserts one Native block. `Ok` means durable as far as this ClickHouse promises it.
    ///
    /// `body` is sent as it is, compressed by the caller as [`Self::compression`] says.
    ///
    /// # Errors
    /// Whatever keeps us from knowing that the rows are there.
    pub async fn insert(&self, table: &Table, body: Bytes) -> Result<(), Failure> {
        // Servers from 26.2 on queue inserts by default; a queued insert is not durable.
        let settings = [
            ("async_insert", "0"),
            ("wait_end_of_query", "1"),
            // Rows that are alike collapse in merges and under FINAL; doing it for each insert as
            // well costs the server a third of the insert.
            ("optimize_on_insert", "0"),
            // A `Distributed` table would answer when the rows are on the disk of this server only, and
            // send them on some time. The older name, which newer servers know as well.
            ("insert_distributed_sync", "1"),
            // A column whose type was changed under way: ClickHouse would cast what we send, 2^40 + 5
            // to a `UInt32` 5. Refused instead (53), and the table is looked at again.
            ("input_format_native_allow_types_conversion", "0"),
        ];
        let statement = insert_statement(&self.inner.database, table);
        let encoding = match self.inner.compression {
            Compression::None => None,
            Compression::Lz4 => Some((CONTENT_ENCODING, "lz4")),
        };
        let limit = self.inner.insert_timeout;
        let answer = self.post(&statement, &settings, encoding, body, limit).await;
        // An error can arrive in the middle of a 200 answer; an insert's answer is otherwise empty.
        let failure = match answer {
            Ok(text) => failure_in(&text, None),
            Err(failure) => Some(failure),
        };
        let target = || format!("{}.{}", self.inner.database, table.name);
        failure.map_or(Ok(()), |failure| Err(with_row(failure, &target())))
    }

    /// Runs a statement in the bridge's database and returns the answer's text.
    ///
    /// # Errors
    /// As for any request; the statement may have been carried out when the answer got lost.
    pub async fn query(&self, statement: &str) -> Result<String, Failure> {
        let limit = self.inner.insert_timeout;
        self.post(statement, &[], None, Bytes::new(), limit).await
    }

    /// Asks for a sign of life, without user or database.
    ///
    /// # Errors
    /// When nothing answers, or something else than ClickHouse.
    pub async fn ping(&self) -> Result<(), Failure> {
        let url = self.url().to_owned();
        let request = self.inner.http.get(format!("{url}/ping")).timeout(CONNECT_TIMEOUT);
        let answer =
            request.send().await.map_err(|error| self.failed(&url, &error, CONNECT_TIMEOUT))?;
        let status = answer.status();
        let text =
            answer.text().await.map_err(|error| self.failed(&url, &error, CONNECT_TIMEOUT))?;
        if status.is_success() && text.starts_with("Ok.") {
            return Ok(());
        }
        Err(Failure::Http { status: status.as_u16(), body: shorten(&text).to_owned() })
    }

    /// How bodies of inserts are to be compressed.
    #[must_use]
    pub fn compression(&self) -> Compression {
        self.inner.compression
    }

    async fn post(
        &self,
        statement: &str,
        settings: &[(&str, &str)],
        header: Option<(HeaderName, &str)>,
        body: Bytes,
        limit: Duration,
    ) -> Result<String, Failure> {
        let url = self.url().to_owned();
        let password = self.inner.password.current()?;
        let parameters = std::iter::once(("query", statement)).chain(settings.iter().copied());
        let mut request = self
            .inner
            .http
            .post(format!("{url}/"))
            .query(&parameters.collect::<Vec<_>>())
            .timeout(limit)
            .header("X-ClickHouse-User", &self.inner.user)
            .header("X-ClickHouse-Key", password.expose())
            .body(body);
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let answer = request.send().await.map_err(|error| self.failed(&url, &error, limit))?;
        let status = answer.status();
        let code = answer
            .headers()
            .get("X-ClickHouse-Exception-Code")
            .and_then(|value| value.to_str().ok()?.parse().ok());
        let text = answer.text().await.map_err(|error| self.failed(&url, &error, limit))?;
        self.inner.password.was_refused(is_about_credentials(status.as_u16(), code));
        if status.is_success() && code.is_none() {
            return Ok(text);
        }
        let failure = failure_in(&text, code).unwrap_or_else(|| Failure::Http {
            status: status.as_u16(),
            body: shorten(&text).to_owned(),
        });
        if is_of_this_server(&failure) {
            self.turn_from(&url);
        }
        Err(failure)
    }

    /// The next request goes to the next URL, if nobody has turned from this one yet.
    fn turn_from(&self, url: &str) {
        let Inner { urls, current, .. } = &*self.inner;
        let at = current.load(Ordering::Relaxed);
        if urls[at % urls.len()] == url {
            current.store((at + 1) % urls.len(), Ordering::Relaxed);
        }
    }

    /// Tells apart what is known about a request that got no answer, and turns to the next URL.
    fn failed(&self, url: &str, error: &reqwest::Error, limit: Duration) -> Failure {
        self.turn_from(url);
        let cause = format!("{url}: {}", causes(error));
        if error.is_connect() {
            Failure::Connect(cause)
        } else if error.is_timeout() {
            Failure::TimedOut(limit)
        } else {
            Failure::Cut(cause)
        }
    }
}

/// Whether an answer is about the server that gave it: another one of the same tables may take what it
/// did not. A proxy in front of a server that is down answers 502 or 503, without a code.
fn is_of_this_server(failure: &Failure) -> bool {
    match failure {
        Failure::Server { code, .. } => OF_THIS_SERVER.contains(code),
        Failure::Http { status, .. } => *status >= 500,
        // No answer.
        Failure::Connect(_) | Failure::Cut(_) | Failure::TimedOut(_) | Failure::Credentials(_) => {
            false
        }
    }
}

/// `INSERT` with every column named, so that no value can land in another column after an `ALTER`.
fn insert_statement(database: &str, table: &Table) -> String {
    let columns: Vec<String> = table.columns.iter().map(|column| quoted(&column.name)).collect();
    let target = format!("{}.{}", quoted(database), quoted(&table.name));
    format!("INSERT INTO {target} ({}) FORMAT Native", columns.join(", "))
}

/// A name as ClickHouse reads it back unchanged.
#[must_use]
pub fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}

/// A text as a ClickHouse string literal.
#[must_use]
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// An error with all its causes; without the URL, which could hold a password.
fn causes(error: &reqwest::Error) -> String {
    let mut texts = Vec::new();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        texts.push(error.to_string());
        cause = error.source();
    }
    if texts.is_empty() { "request failed".to_owned() } else { texts.join(": ") }
}

fn read(path: &std::path::Path) -> Result<Vec<u8>, ClientError> {
    std::fs::read(path)
        .map_err(|cause| ClientError::Read { path: path.display().to_string(), cause })
}

/// Chooses the cryptography of TLS once per process; before the first HTTP client.
pub fn install_crypto() {
    // A second call answers with the provider it did not install: nothing is lost with it.
    drop(rustls::crypto::ring::default_provider().install_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_server_is_asked_when_the_trouble_is_this_one_s_and_not_the_rows() {
        let server =
            |code| Failure::Server { code, name: String::new(), message: String::new(), row: None };
        let http = |status| Failure::Http { status, body: String::new() };
        for failure in [server(242), server(999), server(202), http(500), http(503)] {
            assert!(is_of_this_server(&failure), "{failure}");
        }
        // A wrong row, too many parts, another table, a wrong password: the same everywhere.
        for failure in [server(117), server(252), server(60), server(516), http(413), http(404)] {
            assert!(!is_of_this_server(&failure), "{failure}");
        }
    }

    #[test]
    fn names_are_quoted_so_that_nothing_escapes() {
        assert_eq!(quoted("ticks"), "`ticks`");
        assert_eq!(quoted("a`b\\"), "`a\\`b\\\\`");
        assert_eq!(literal("it's"), "'it\\'s'");
    }
}
