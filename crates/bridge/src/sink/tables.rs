//! The tables as the server has them: read, compared, created.

use data_bridge_core::catalog::{Behind, LiveColumn, LiveTable, Mismatch, Table};
use data_bridge_core::verdict::Failure;

use super::clickhouse::{ClickHouse, literal, quoted};

/// ClickHouse's code for a database that does not exist.
const UNKNOWN_DATABASE: i32 = 81;
/// ClickHouse's code for a table that does not exist.
const UNKNOWN_TABLE: i32 = 60;

/// What a look at a table found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It is there; `mismatches` holds what is not as it must be.
    Table {
        /// Empty when all is well.
        mismatches: Vec<Mismatch>,
    },
    /// It does not exist.
    Missing,
}

/// Reads a table's shape; `None` when it does not exist. Of a `Distributed` table engine and keys are
/// those of the table behind it, if this server has that too.
///
/// # Errors
/// When ClickHouse cannot be asked.
pub async fn describe(clickhouse: &ClickHouse, table: &str) -> Result<Option<LiveTable>, Failure> {
    let database = clickhouse.database();
    let Some(mut live) = keys(clickhouse, database, table).await? else {
        return Ok(None);
    };
    if let Some(behind) = Behind::of(&live.engine_full) {
        if let Some(shard) = keys(clickhouse, &behind.database, &behind.table).await? {
            live = shard;
        }
        live.sharding_key = Some(behind.sharding_key);
    }
    let columns = clickhouse
        .query(&format!(
            "SELECT name, type, default_kind FROM system.columns WHERE database = {} AND table = {} \
             ORDER BY position FORMAT TabSeparated",
            literal(database),
            literal(table)
        ))
        .await?;
    live.columns = columns.lines().map(live_column).collect();
    Ok(Some(live))
}

/// A table without its columns.
async fn keys(
    clickhouse: &ClickHouse,
    database: &str,
    table: &str,
) -> Result<Option<LiveTable>, Failure> {
    let found = clickhouse
        .query(&format!(
            "SELECT engine_full, sorting_key, partition_key FROM system.tables \
             WHERE database = {} AND name = {} FORMAT TabSeparated",
            literal(database),
            literal(table)
        ))
        .await?;
    Ok(found.lines().next().map(|line| {
        let mut fields = line.split('\t').map(unescaped);
        let mut next = || fields.next().unwrap_or_default();
        LiveTable {
            engine_full: next(),
            sorting_key: next(),
            partition_key: next(),
            ..LiveTable::default()
        }
    }))
}

/// Looks at the live table and holds it against the one the bridge writes.
///
/// # Errors
/// When ClickHouse cannot be asked.
pub async fn look_at(clickhouse: &ClickHouse, table: &Table) -> Result<Found, Failure> {
    match describe(clickhouse, &table.name).await {
        Ok(Some(live)) => Ok(Found::Table { mismatches: table.compare(&live) }),
        Ok(None) | Err(Failure::Server { code: UNKNOWN_DATABASE | UNKNOWN_TABLE, .. }) => {
            Ok(Found::Missing)
        }
        Err(failure) => Err(failure),
    }
}

/// Creates a table that is missing, on all servers of a cluster if one is named. Changes nothing
/// that exists.
///
/// # Errors
/// When ClickHouse cannot be asked, or refuses.
pub async fn create(
    clickhouse: &ClickHouse,
    table: &Table,
    cluster: Option<&str>,
) -> Result<(), Failure> {
    let ddl = table.ddl_on(clickhouse.database(), cluster);
    clickhouse.query(&ddl).await.map(drop)
}

/// The statement that creates the bridge's database.
#[must_use]
pub fn database_ddl(database: &str, cluster: Option<&str>) -> String {
    let on = cluster.map_or_else(String::new, |name| format!(" ON CLUSTER {}", quoted(name)));
    format!("CREATE DATABASE IF NOT EXISTS {}{on}", quoted(database))
}

/// Whether the table holds a row that came from this topic.
///
/// # Errors
/// When ClickHouse cannot be asked.
pub async fn holds_rows_of(
    clickhouse: &ClickHouse,
    table: &Table,
    topic: &str,
) -> Result<bool, Failure> {
    let target = format!("{}.{}", quoted(clickhouse.database()), quoted(&table.name));
    let origin = literal(&format!("kafka:{topic}:"));
    let answer = clickhouse
        .query(&format!(
            "SELECT 1 FROM {target} WHERE startsWith(origin, {origin}) LIMIT 1 FORMAT TabSeparated"
        ))
        .await?;
    Ok(!answer.trim().is_empty())
}

fn live_column(line: &str) -> LiveColumn {
    let mut fields = line.split('\t').map(unescaped);
    let mut next = || fields.next().unwrap_or_default();
    LiveColumn { name: next(), type_text: next(), default_kind: next() }
}

/// A value of the `TabSeparated` format as it was.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('r') => out.push('\r'),
                Some('b') => out.push('\u{8}'),
                Some('f') => out.push('\u{c}'),
                Some('0') => out.push('\0'),
                Some(other) => out.push(other),
                None => out.push('\\'),
            },
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_line_is_read_back_as_it_was() {
        let column = live_column("timestamp\tDateTime64(3, \\'UTC\\')\tDEFAULT");
        assert_eq!(column.name, "timestamp");
        assert_eq!(column.type_text, "DateTime64(3, 'UTC')");
        assert_eq!(column.default_kind, "DEFAULT");
    }
}
