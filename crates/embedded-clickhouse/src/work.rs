//! One statement, from its text to its answer, on a thread that may block.

use std::io::{Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::codec::decode;
use crate::engine::Engine;
use crate::exception::Exception;
use crate::ffi::Connection;
use crate::http::answer::{ClientLeft, Output, Reply};
use crate::http::body::Input;
use crate::http::multipart;
use crate::http::request::Request;
use crate::sessions::Sessions;
use crate::statement::{self, Statement, ValuesGuard};

/// Where an INSERT's data must have begun: `max_query_size` of ClickHouse.
const HEAD_BYTES: usize = 256 << 10;
/// Statements other than inserts, and multipart bodies, are held whole.
const WHOLE_BYTES: usize = 256 << 20;
/// What is handed to the engine at a time.
const APPEND_BYTES: usize = 256 << 10;
/// The format when nobody names one.
const DEFAULT_FORMAT: &str = "TabSeparated";

/// All that a statement needs.
pub(crate) struct Job {
    pub(crate) engine: Arc<Engine>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) request: Request,
    pub(crate) input: Input,
    /// Under which the engine knows the statement.
    pub(crate) tag: String,
    /// The place among the running statements, held to the end.
    pub(crate) place: OwnedSemaphorePermit,
}

/// A tag that no other statement of this process has.
pub(crate) fn new_tag() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("http-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Why a statement did not come to its end.
enum Stop {
    Exception(Exception),
    ClientLeft,
}

impl From<Exception> for Stop {
    fn from(exception: Exception) -> Self {
        Self::Exception(exception)
    }
}

impl From<ClientLeft> for Stop {
    fn from(ClientLeft: ClientLeft) -> Self {
        Self::ClientLeft
    }
}

/// Runs the job; what it has to say goes to `reply`.
pub(crate) fn run(job: Job, reply: oneshot::Sender<Reply>) {
    let Job {
        engine,
        sessions,
        mut request,
        input,
        tag,
        place,
    } = job;
    let output = Output::new(
        reply,
        request.answer_encoding(),
        request.wait_end,
        &engine.version,
    );
    let Ok(mut output) = output else { return };
    let result = with_connection(&engine, &sessions, &mut request, input, &tag, &mut output);
    // The place is free before the client hears the end, so that its next statement finds it.
    drop(place);
    let said = match result {
        Ok(()) => output.finish(),
        Err(Stop::Exception(exception)) => {
            tracing::debug!(query_id = %request.query_id, error = %exception, "statement failed");
            output.fail(&exception)
        }
        Err(Stop::ClientLeft) => Err(ClientLeft),
    };
    if let Err(ClientLeft) = said {
        tracing::debug!(query_id = %request.query_id, "client left");
    }
}

/// Finds the connection, of the session or a fresh one, and gives it back.
fn with_connection(
    engine: &Engine,
    sessions: &Sessions,
    request: &mut Request,
    input: Input,
    tag: &str,
    output: &mut Output,
) -> Result<(), Stop> {
    let Some(session) = request.session.clone() else {
        let mut connection = engine.open(tag)?;
        return run_statement(&mut connection, request, input, output);
    };
    let taken = sessions.take(&session, Instant::now())?;
    let connection = match taken {
        Some(connection) => Ok(connection),
        None => engine.open(tag),
    };
    let mut connection = match connection {
        Ok(connection) => connection,
        Err(exception) => {
            sessions.end(&session.id);
            return Err(exception.into());
        }
    };
    let before = Before::of(&mut connection, request);
    let result = before.and_then(|before| {
        set(
            &mut connection,
            &[("log_comment".to_owned(), tag.to_owned())],
        )?;
        let result = run_statement(&mut connection, request, input, output);
        before.restore(&mut connection);
        result
    });
    if session.close {
        sessions.end(&session.id);
    } else {
        sessions.give_back(&session.id, connection, session.timeout);
    }
    result
}

/// What a request changes for its own statement only, in a session that lives on.
struct Before {
    database: Option<String>,
    /// `None`: the default.
    settings: Vec<(String, Option<String>)>,
}

impl Before {
    fn of(connection: &mut Connection, request: &Request) -> Result<Self, Stop> {
        let mut database = None;
        if request.database.is_some() {
            database = Some(
                ask(connection, "SELECT currentDatabase()", "TSVRaw")?
                    .trim_end()
                    .to_owned(),
            );
        }
        let names: Vec<_> = request
            .settings
            .iter()
            .map(|(name, _)| statement::quoted(name))
            .collect();
        let mut settings = Vec::new();
        if !names.is_empty() {
            let sql = format!(
                "SELECT name, changed, value FROM system.settings WHERE name IN ({})",
                names.join(", ")
            );
            for line in ask(connection, &sql, "TSVRaw")?.lines() {
                let mut fields = line.splitn(3, '\t');
                if let (Some(name), Some(changed), Some(value)) =
                    (fields.next(), fields.next(), fields.next())
                {
                    settings.push((name.to_owned(), (changed == "1").then(|| value.to_owned())));
                }
            }
        }
        Ok(Self { database, settings })
    }

    /// Best effort: a setting like `readonly=1` forbids its own undoing, as in a server's session.
    fn restore(self, connection: &mut Connection) {
        let mut statements = Vec::new();
        if let Some(database) = self.database {
            statements.push(format!("USE {}", statement::identifier(&database)));
        }
        for (name, value) in self.settings {
            let value =
                value.map_or_else(|| "DEFAULT".to_owned(), |value| statement::quoted(&value));
            statements.push(format!("SET {name} = {value}"));
        }
        for sql in statements {
            if let Err(error) = connection.query(sql.as_bytes(), "Null", &[]) {
                tracing::debug!(%error, "a session keeps a setting of one request");
            }
        }
    }
}

fn ask(connection: &mut Connection, sql: &str, format: &str) -> Result<String, Exception> {
    let answer = connection
        .query(sql.as_bytes(), format, &[])
        .map_err(|error| Exception::parse(&error))?;
    Ok(String::from_utf8_lossy(answer.bytes()).into_owned())
}

fn set(connection: &mut Connection, settings: &[(String, String)]) -> Result<(), Exception> {
    if settings.is_empty() {
        return Ok(());
    }
    let mut assignments = Vec::with_capacity(settings.len());
    for (name, value) in settings {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.';
        if name.is_empty() || !name.bytes().all(plain) {
            let message = format!("Unknown setting '{name}'");
            return Err(Exception::new(115, "UNKNOWN_SETTING", &message));
        }
        assignments.push(format!("{name} = {}", statement::quoted(value)));
    }
    let sql = format!("SET {}", assignments.join(", "));
    connection
        .query(sql.as_bytes(), "Null", &[])
        .map_err(|error| Exception::parse(&error))?;
    Ok(())
}

fn run_statement(
    connection: &mut Connection,
    request: &mut Request,
    input: Input,
    output: &mut Output,
) -> Result<(), Stop> {
    let body = |error: std::io::Error| Exception::of_body(&error);
    let mut reader =
        decode::reader(input, request.content_encoding, request.decompress).map_err(body)?;
    let mut tables = Vec::new();
    if let Some(boundary) = request.boundary.take() {
        let whole = read_up_to(&mut reader, Vec::new(), WHOLE_BYTES)?;
        for part in multipart::split(&whole, &boundary)? {
            if part.file {
                tables.push(part);
            } else {
                request.apply(part.name, String::from_utf8_lossy(&part.data).into_owned());
            }
        }
    }
    let external = External::take(tables, &mut request.settings)?;
    if let Some(database) = &request.database {
        let sql = format!("USE {}", statement::identifier(database));
        connection
            .query(sql.as_bytes(), "Null", &[])
            .map_err(|error| Exception::parse(&error))?;
    }
    set(connection, &request.settings)?;
    for table in &external {
        table.create(connection)?;
    }
    let result = statement_of_body(connection, request, reader, output);
    for table in &external {
        table.drop(connection);
    }
    result
}

fn statement_of_body(
    connection: &mut Connection,
    request: &Request,
    reader: Box<dyn Read + Send + '_>,
    output: &mut Output,
) -> Result<(), Stop> {
    // Query of the URL and body are one text, a line end between them.
    let mut text = request.query.clone().into_bytes();
    let mut reader = reader;
    let mut first = [0; 1];
    let more = reader
        .read(&mut first)
        .map_err(|error| Exception::of_body(&error))?;
    if more > 0 && !text.is_empty() {
        text.push(b'\n');
    }
    text.extend_from_slice(&first[..more]);
    let url_length = text.len();
    let mut text = {
        let mut head = text;
        reader
            .by_ref()
            .take(HEAD_BYTES as u64)
            .read_to_end(&mut head)
            .map_err(|error| Exception::of_body(&error))?;
        head
    };
    let complete = text.len() < url_length + HEAD_BYTES;
    let mut parsed = statement::parse(&text);
    if !complete && !matches!(parsed, Ok(Statement::Insert { .. })) {
        text = read_up_to(&mut reader, text, WHOLE_BYTES)?;
        parsed = statement::parse(&text);
    }
    match parsed? {
        Statement::Insert {
            head,
            format,
            data_at,
        } => {
            if request.reads_only && connection.changes_something(&text[..data_at]) {
                return Err(readonly().into());
            }
            let data = Cursor::new(&text[data_at..]).chain(reader);
            insert(connection, request, &head, &format, data, output)
        }
        Statement::Query {
            format,
            piecewise,
            session_only,
        } => {
            if request.reads_only && !session_only && connection.changes_something(&text) {
                return Err(readonly().into());
            }
            let default = request.default_format.as_deref().unwrap_or(DEFAULT_FORMAT);
            output.format = format.unwrap_or_else(|| default.to_owned());
            let asked_whole = request
                .settings
                .iter()
                .any(|(name, _)| name == "extremes" || name == "output_format_json_array_of_rows");
            if piecewise && !asked_whole && in_pieces(&output.format) {
                query_in_pieces(connection, request, &text, output)
            } else {
                query_whole(connection, request, &text, output)
            }
        }
    }
}

fn readonly() -> Exception {
    let message = "Cannot execute query in readonly mode. For queries over HTTP, method GET implies \
        readonly. You should use method POST for modifying queries";
    Exception::new(164, "READONLY", message)
}

fn read_up_to(
    reader: &mut impl Read,
    mut text: Vec<u8>,
    limit: usize,
) -> Result<Vec<u8>, Exception> {
    let read = reader.take(limit as u64 + 1).read_to_end(&mut text);
    read.map_err(|error| Exception::of_body(&error))?;
    if text.len() > limit {
        let message = format!("the statement is larger than {} MiB", limit >> 20);
        return Err(Exception::new(62, "SYNTAX_ERROR", &message));
    }
    Ok(text)
}

/// Appends the data as it arrives; what is not finished is cancelled, so nothing of a cut body
/// is stored.
fn insert(
    connection: &mut Connection,
    request: &Request,
    head: &[u8],
    format: &str,
    mut data: impl Read,
    output: &mut Output,
) -> Result<(), Stop> {
    let refused = |error: String| Exception::parse(&error);
    let mut insert = connection
        .insert(head, format, &request.parameters)
        .map_err(refused)?;
    let mut guard = format
        .eq_ignore_ascii_case("Values")
        .then(ValuesGuard::default);
    let mut buffer = vec![0; APPEND_BYTES];
    loop {
        let length = data
            .read(&mut buffer)
            .map_err(|error| Exception::of_body(&error))?;
        if length == 0 {
            break;
        }
        if let Some(guard) = &mut guard {
            guard.check(&buffer[..length])?;
        }
        insert.append(&buffer[..length]).map_err(refused)?;
    }
    output.tally = insert.finish().map_err(refused)?;
    Ok(())
}

fn query_in_pieces(
    connection: &mut Connection,
    request: &Request,
    text: &[u8],
    output: &mut Output,
) -> Result<(), Stop> {
    let default = output.format.clone();
    let started = connection.stream(text, &default, &request.parameters);
    let mut stream = started.map_err(|error| Exception::parse(&error))?;
    while let Some(piece) = stream.fetch().map_err(|error| Exception::parse(&error))? {
        output.tally.add(&piece.tally());
        output.write(piece.bytes())?;
    }
    Ok(())
}

fn query_whole(
    connection: &mut Connection,
    request: &Request,
    text: &[u8],
    output: &mut Output,
) -> Result<(), Stop> {
    let answer = connection
        .query(text, &output.format, &request.parameters)
        .map_err(|error| Exception::parse(&error))?;
    output.tally = answer.tally();
    output.write(answer.bytes())?;
    Ok(())
}

/// Formats whose pieces, one behind the other, are what the whole would be. The engine writes
/// headers and brackets around every piece of the others.
fn in_pieces(format: &str) -> bool {
    matches!(
        format,
        "TabSeparated"
            | "TSV"
            | "TabSeparatedRaw"
            | "TSVRaw"
            | "Raw"
            | "TSKV"
            | "CSV"
            | "JSONEachRow"
            | "JSONLines"
            | "NDJSON"
            | "JSONCompactEachRow"
            | "JSONStringsEachRow"
            | "JSONCompactStringsEachRow"
            | "Native"
            | "RowBinary"
            | "LineAsString"
            | "MsgPack"
    )
}

/// A file of a multipart body as a temporary table of its connection.
struct External {
    name: String,
    format: String,
    structure: String,
    data: Vec<u8>,
}

impl External {
    /// Joins the files with their parameters `<table>_format`, `<table>_structure` and
    /// `<table>_types`, which are no settings.
    fn take(
        parts: Vec<multipart::Part>,
        settings: &mut Vec<(String, String)>,
    ) -> Result<Vec<Self>, Exception> {
        let mut parameter = |name: String| {
            let at = settings.iter().position(|(key, _)| *key == name)?;
            Some(settings.remove(at).1)
        };
        let mut tables = Vec::with_capacity(parts.len());
        for part in parts {
            let format = parameter(format!("{}_format", part.name));
            let structure = parameter(format!("{}_structure", part.name));
            let types = parameter(format!("{}_types", part.name));
            let structure = structure.or_else(|| types.map(|types| numbered(&types)));
            let Some(structure) = structure else {
                let message = format!(
                    "external table {0} needs the parameter {0}_structure or {0}_types",
                    part.name
                );
                return Err(Exception::new(36, "BAD_ARGUMENTS", &message));
            };
            tables.push(Self {
                name: part.name,
                format: format.unwrap_or_else(|| DEFAULT_FORMAT.to_owned()),
                structure,
                data: part.data,
            });
        }
        Ok(tables)
    }

    fn create(&self, connection: &mut Connection) -> Result<(), Exception> {
        let name = statement::identifier(&self.name);
        let create = format!("CREATE TEMPORARY TABLE {name} ({})", self.structure);
        let refused = |error: String| Exception::parse(&error);
        connection
            .query(create.as_bytes(), "Null", &[])
            .map_err(refused)?;
        let sql = format!("INSERT INTO {name}");
        let mut insert = connection
            .insert(sql.as_bytes(), &self.format, &[])
            .map_err(refused)?;
        insert.append(&self.data).map_err(refused)?;
        insert.finish().map_err(refused)?;
        Ok(())
    }

    /// A session's connection lives on; the table does not.
    fn drop(&self, connection: &mut Connection) {
        let sql = format!(
            "DROP TEMPORARY TABLE IF EXISTS {}",
            statement::identifier(&self.name)
        );
        if let Err(error) = connection.query(sql.as_bytes(), "Null", &[]) {
            tracing::debug!(%error, "an external table stays in its session");
        }
    }
}

/// `UInt8, String` as columns `_1`, `_2`, the way ClickHouse names them.
fn numbered(types: &str) -> String {
    let mut structure = String::new();
    let mut depth = 0_usize;
    let mut column = 1;
    structure.push_str("_1 ");
    for sign in types.chars() {
        match sign {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                column += 1;
                structure.push_str(&format!(", _{column} "));
                continue;
            }
            _ => {}
        }
        structure.push(sign);
    }
    structure
}
