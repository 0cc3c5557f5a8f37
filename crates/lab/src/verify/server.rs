//! ClickHouse over HTTP, as far as verification needs it.

use std::fmt;
use std::time::Duration;

/// A ClickHouse database.
#[derive(Clone)]
pub struct Server {
    client: reqwest::Client,
    url: String,
    database: String,
    credentials: Option<(String, String)>,
    /// What the origins of looked at rows begin with; empty for all.
    origins: String,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, database, .. } = self;
        f.debug_struct("Server")
            .field("url", url)
            .field("database", database)
            .finish_non_exhaustive()
    }
}

/// ClickHouse could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// No answer, or half of one.
    #[error("no whole answer to: {query}")]
    Link {
        /// What was asked.
        query: String,
        /// The cause.
        #[source]
        source: reqwest::Error,
    },
    /// An answer that is not 200.
    #[error("status {status}: {text}; asked: {query}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The answer.
        text: String,
        /// What was asked.
        query: String,
    },
    /// An answer that cannot be read.
    #[error("unreadable answer {line:?} to: {query}")]
    Unreadable {
        /// The line.
        line: String,
        /// What was asked.
        query: String,
    },
}

/// A client for loopback and test servers; proxies of the environment are not asked.
pub(crate) fn http_client() -> reqwest::Client {
    // A second provider is as good as the first: what is installed stays.
    let _already_there = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .no_proxy()
        .connect_timeout(Duration::from_secs(5))
        .read_timeout(Duration::from_mins(2))
        .build()
        .expect("a client without files or certificates can be built")
}

impl Server {
    /// A server at `url` (`http://127.0.0.1:8123`) and one of its databases. Proxies of the
    /// environment are not asked.
    #[must_use]
    pub fn new(url: &str, database: &str) -> Self {
        let client = http_client();
        let url = url.trim_end_matches('/').to_owned();
        Self {
            client,
            url,
            database: database.to_owned(),
            credentials: None,
            origins: String::new(),
        }
    }

    /// The same with a user and a password.
    #[must_use]
    pub fn with_credentials(mut self, user: &str, password: &str) -> Self {
        self.credentials = Some((user.to_owned(), password.to_owned()));
        self
    }

    /// The same, where a verdict looks only at rows whose origin begins so: `nats:`, when another
    /// plan came by Kafka. Two such plans must not have events in common.
    #[must_use]
    pub fn with_origins(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.origins);
        self
    }

    /// What is behind `FROM` to look at these rows alone.
    pub(super) fn clause(&self) -> String {
        if self.origins.is_empty() {
            return String::new();
        }
        format!(" WHERE startsWith(origin, '{}')", self.origins)
    }

    /// Name of the database.
    #[must_use]
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The whole answer to a query, as text.
    ///
    /// # Errors
    /// When there is none, or it is an exception.
    pub async fn query(&self, query: &str) -> Result<String, ServerError> {
        let mut text = Vec::new();
        self.stream(query, |piece| text.extend_from_slice(piece)).await?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// Calls `each` with the pieces of an answer in whatever format.
    ///
    /// # Errors
    /// As [`Server::query`].
    pub async fn bytes(&self, query: &str, each: impl FnMut(&[u8])) -> Result<(), ServerError> {
        self.stream(query, each).await
    }

    /// Inserts a body that is in the Native format.
    ///
    /// # Errors
    /// As [`Server::query`].
    pub async fn insert(
        &self,
        table: &str,
        settings: &[(String, String)],
        body: Vec<u8>,
    ) -> Result<(), ServerError> {
        let query = format!("INSERT INTO {}.{table} FORMAT Native", self.database);
        let lost = |source| ServerError::Link { query: query.clone(), source };
        let request = self.client.post(&self.url).query(&[("query", &query)]).query(settings);
        let response = request.body(body).send().await.map_err(lost)?;
        let status = response.status().as_u16();
        let text = response.text().await.map_err(lost)?;
        if status == 200 { Ok(()) } else { Err(ServerError::Refused { status, text, query }) }
    }

    /// Rows of a table without `FINAL`.
    ///
    /// # Errors
    /// As [`Server::query`].
    pub async fn count(&self, table: &str) -> Result<u64, ServerError> {
        let query = format!("SELECT count() FROM {}.{table}{}", self.database, self.clause());
        let answer = self.query(&query).await?;
        answer
            .trim()
            .parse()
            .map_err(|_not_a_number| ServerError::Unreadable { line: answer, query })
    }

    /// Calls `each` with every line of an answer in a tab-separated format.
    pub(super) async fn lines<E: From<ServerError>>(
        &self,
        query: &str,
        mut each: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut begun: Vec<u8> = Vec::new();
        let mut outcome = Ok(());
        self.stream(query, |mut piece| {
            while let Some(end) = piece.iter().position(|byte| *byte == b'\n') {
                let (line, rest) = (&piece[..end], &piece[end + 1..]);
                piece = rest;
                if outcome.is_err() {
                    continue;
                }
                if begun.is_empty() {
                    outcome = each(line);
                } else {
                    begun.extend_from_slice(line);
                    outcome = each(&begun);
                    begun.clear();
                }
            }
            begun.extend_from_slice(piece);
        })
        .await?;
        outcome?;
        if begun.is_empty() {
            return Ok(());
        }
        let line = String::from_utf8_lossy(&begun).into_owned();
        Err(ServerError::Unreadable { line, query: query.to_owned() }.into())
    }

    async fn stream(&self, query: &str, mut each: impl FnMut(&[u8])) -> Result<(), ServerError> {
        let lost = |source| ServerError::Link { query: query.to_owned(), source };
        let mut request = self.client.post(&self.url).body(query.to_owned());
        if let Some((user, password)) = &self.credentials {
            request =
                request.header("X-ClickHouse-User", user).header("X-ClickHouse-Key", password);
        }
        let mut response = request.send().await.map_err(lost)?;
        let status = response.status().as_u16();
        if status != 200 {
            let text = response.text().await.map_err(lost)?;
            return Err(ServerError::Refused { status, text, query: query.to_owned() });
        }
        while let Some(piece) = response.chunk().await.map_err(lost)? {
            each(&piece);
        }
        Ok(())
    }
}
