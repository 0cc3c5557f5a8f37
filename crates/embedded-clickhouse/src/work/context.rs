//! Settings and current database of one request, and how a session gets its own back.

use crate::exception::Exception;
use crate::ffi::Connection;
use crate::http::request::Request;
use crate::statement;

/// What a request changes for its own statement only, in a session that lives on.
pub(super) struct Before {
    database: Option<String>,
    /// `None`: the default.
    settings: Vec<(String, Option<String>)>,
}

impl Before {
    pub(super) fn of(connection: &mut Connection, request: &Request) -> Result<Self, Exception> {
        let mut database = None;
        if request.database.is_some() {
            database =
                Some(ask(connection, "SELECT currentDatabase()", "TSVRaw")?.trim_end().to_owned());
        }
        let names: Vec<_> =
            request.settings.iter().map(|(name, _)| statement::quoted(name)).collect();
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
    pub(super) fn restore(self, connection: &mut Connection) {
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

/// Makes `database` the current one.
///
/// # Errors
/// The engine's `UNKNOWN_DATABASE`.
pub(super) fn use_database(connection: &mut Connection, database: &str) -> Result<(), Exception> {
    run(connection, &format!("USE {}", statement::identifier(database)))
}

fn run(connection: &mut Connection, sql: &str) -> Result<(), Exception> {
    connection.query(sql.as_bytes(), "Null", &[]).map_err(|error| Exception::parse(&error))?;
    Ok(())
}

fn ask(connection: &mut Connection, sql: &str, format: &str) -> Result<String, Exception> {
    let answer =
        connection.query(sql.as_bytes(), format, &[]).map_err(|error| Exception::parse(&error))?;
    Ok(String::from_utf8_lossy(answer.bytes()).into_owned())
}

/// Sets all settings, or none.
///
/// # Errors
/// The engine's, such as `UNKNOWN_SETTING`.
pub(super) fn set(
    connection: &mut Connection,
    settings: &[(String, String)],
) -> Result<(), Exception> {
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
    connection.query(sql.as_bytes(), "Null", &[]).map_err(|error| Exception::parse(&error))?;
    Ok(())
}
