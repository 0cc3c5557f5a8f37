//! The statement itself: text and data out of URL and body, the answer into the output.

use std::io::{Cursor, Read};

use crate::codec::decode;
use crate::exception::Exception;
use crate::ffi::Connection;
use crate::http::answer::Output;
use crate::http::body::Input;
use crate::http::multipart;
use crate::http::request::Request;
use crate::running::Entered;
use crate::statement::{self, Statement, ValuesGuard};

use super::external::External;
use super::{Stop, Ticket, context};

/// The format when nobody names one.
pub(super) const DEFAULT_FORMAT: &str = "TabSeparated";
/// Where an INSERT's data must have begun: `max_query_size` of ClickHouse.
const HEAD_BYTES: u64 = 256 << 10;
/// Statements other than inserts, and multipart bodies, are held whole.
const WHOLE_BYTES: usize = 256 << 20;
/// What is handed to the engine at a time.
const APPEND_BYTES: usize = 256 << 10;

/// One statement under way.
pub(super) struct Run<'a> {
    pub(super) request: Request,
    pub(super) ticket: &'a Ticket,
    pub(super) id: &'a Entered,
    pub(super) output: Output,
}

impl Run<'_> {
    /// Runs it on `connection`.
    pub(super) fn statement(
        &mut self,
        connection: &mut Connection,
        input: Input,
    ) -> Result<(), Stop> {
        let request = &mut self.request;
        let reader = decode::reader(input, request.content_encoding, request.decompress);
        let mut reader = reader.map_err(|error| Exception::of_body(&error))?;
        let mut files = Vec::new();
        if let Some(boundary) = request.boundary.take() {
            let whole = read_up_to(&mut reader, Vec::new(), WHOLE_BYTES)?;
            for part in multipart::split(&whole, &boundary)? {
                if part.file {
                    files.push(part);
                } else {
                    request.apply(part.name, String::from_utf8_lossy(&part.data).into_owned());
                }
            }
        }
        let tables = External::take(files, &mut request.settings)?;
        if let Some(database) = &request.database {
            context::use_database(connection, database)?;
        }
        context::set(connection, &request.settings)?;
        for table in &tables {
            table.create(connection)?;
        }
        let result = self.text_and_data(connection, reader);
        for table in &tables {
            table.drop(connection);
        }
        result
    }

    fn text_and_data(
        &mut self,
        connection: &mut Connection,
        mut reader: Box<dyn Read + Send + '_>,
    ) -> Result<(), Stop> {
        let mut body = Vec::new();
        let read = reader.by_ref().take(HEAD_BYTES).read_to_end(&mut body);
        let complete = (read.map_err(|error| Exception::of_body(&error))? as u64) < HEAD_BYTES;
        // Query of the URL and body are one text, a line end between them.
        let mut text = self.request.query.clone().into_bytes();
        if !body.is_empty() && !text.is_empty() {
            text.push(b'\n');
        }
        text.append(&mut body);
        let mut parsed = statement::parse(&text);
        if !complete && !matches!(parsed, Ok(Statement::Insert { .. })) {
            text = read_up_to(&mut reader, text, WHOLE_BYTES)?;
            parsed = statement::parse(&text);
        }
        match parsed? {
            Statement::Insert { head, format, data_at } => {
                if self.request.reads_only && connection.changes_something(&text[..data_at]) {
                    return Err(readonly().into());
                }
                let data = Cursor::new(&text[data_at..]).chain(reader);
                self.insert(connection, &head, &format, data)
            }
            Statement::Query { format, piecewise, session_only, kills } => {
                if kills {
                    self.id.refuse_kill_by_id(&text)?;
                }
                if !connection.changes_something(&text) {
                    self.ticket.start_reading()?;
                } else if self.request.reads_only && !session_only {
                    return Err(readonly().into());
                }
                let default = self.request.default_format.as_deref().unwrap_or(DEFAULT_FORMAT);
                self.output.format = format.unwrap_or_else(|| default.to_owned());
                if piecewise && self.answer_may_come_in_pieces() {
                    self.query_in_pieces(connection, &text)
                } else {
                    self.query_whole(connection, &text)
                }
            }
        }
    }

    /// Appends the data as it arrives; what is not finished is cancelled, so nothing of a cut
    /// body is stored.
    fn insert(
        &mut self,
        connection: &mut Connection,
        head: &[u8],
        format: &str,
        mut data: impl Read,
    ) -> Result<(), Stop> {
        let refused = |error: String| Exception::parse(&error);
        let parameters = &self.request.parameters;
        let mut insert = connection.insert(head, format, parameters).map_err(refused)?;
        let mut guard = format.eq_ignore_ascii_case("Values").then(ValuesGuard::default);
        let mut buffer = vec![0; APPEND_BYTES];
        loop {
            let length = data.read(&mut buffer).map_err(|error| Exception::of_body(&error))?;
            if length == 0 {
                break;
            }
            if let Some(guard) = &mut guard {
                guard.check(&buffer[..length])?;
            }
            insert.append(&buffer[..length]).map_err(refused)?;
        }
        self.output.tally = insert.finish().map_err(refused)?;
        Ok(())
    }

    fn query_in_pieces(&mut self, connection: &mut Connection, text: &[u8]) -> Result<(), Stop> {
        let failed = |error: String| Exception::parse(&error);
        let parameters = &self.request.parameters;
        let mut stream =
            connection.stream(text, &self.output.format, parameters).map_err(failed)?;
        while let Some(piece) = stream.fetch().map_err(failed)? {
            self.output.tally.add(&piece.tally());
            self.output.write(piece.bytes())?;
        }
        Ok(())
    }

    fn query_whole(&mut self, connection: &mut Connection, text: &[u8]) -> Result<(), Stop> {
        let answer = connection
            .query(text, &self.output.format, &self.request.parameters)
            .map_err(|error| Exception::parse(&error))?;
        self.output.tally = answer.tally();
        self.output.write(answer.bytes())?;
        Ok(())
    }

    /// Formats whose pieces, one behind the other, are what the whole would be. The engine
    /// writes headers and brackets around every piece of the others.
    fn answer_may_come_in_pieces(&self) -> bool {
        let around = |name: &str| name == "extremes" || name == "output_format_json_array_of_rows";
        let settings = &self.request.settings;
        !settings.iter().any(|(name, _)| around(name))
            && matches!(
                self.output.format.as_str(),
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
                    | "MsgPack"
            )
    }
}

fn readonly() -> Exception {
    let message = "Cannot execute query in readonly mode. For queries over HTTP, method GET \
        implies readonly. You should use method POST for modifying queries";
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
