//! What keeps a live table from being written, with what would be right.

use std::fmt;

use super::column::{Column, ColumnType};
use super::live::{LiveTable, columns_of, engine, names, setting, unquoted};
use super::table::{PartitionKey, Table};

/// Something about a live table that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Whether the table can be written nevertheless.
    pub severity: Severity,
    /// The table.
    pub table: String,
    /// The column, where it concerns one.
    pub column: Option<String>,
    /// What is wrong and what would be right.
    pub reason: String,
}

/// Whether a table with a [`Mismatch`] can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// It can, with a risk.
    Warning,
    /// It must not be written.
    Error,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.column {
            Some(column) => write!(f, "table {}, column {column}: {}", self.table, self.reason),
            None => write!(f, "table {}: {}", self.table, self.reason),
        }
    }
}

impl Table {
    /// Everything in which the live table differs from this one in a way that matters, in the
    /// order of engine, columns, keys.
    ///
    /// Further columns of the live table are fine: ClickHouse fills them with their defaults.
    #[must_use]
    pub fn compare(&self, live: &LiveTable) -> Vec<Mismatch> {
        let mut findings = Findings { table: &self.name, mismatches: Vec::new() };
        findings.engine(live);
        for column in &self.columns {
            findings.column(column, live);
        }
        let sort_key = names(&live.sorting_key);
        if sort_key != self.sort_key {
            findings.error(
                None,
                format!(
                    "sorted by ({}), must be ORDER BY ({}): the sort key is what makes two rows \
                     the same event",
                    sort_key.join(", "),
                    self.sort_key.join(", "),
                ),
            );
        }
        let partition = self.partition.as_ref().map(ToString::to_string).unwrap_or_default();
        let same = match &self.partition {
            Some(key) => PartitionKey::parse(&live.partition_key).as_ref() == Some(key),
            None => names(&live.partition_key).is_empty(),
        };
        if !same {
            findings.partition(&live.partition_key, &partition);
        }
        findings.shards(live, &self.sort_key);
        findings.mismatches
    }

    /// The table that a user made, to be written as it stands.
    ///
    /// # Errors
    /// All that keeps it from being written: another engine, types that the encoder does not know,
    /// a sort key that is not a list of columns, a partition key that is not a calendar unit of
    /// one of them.
    pub fn from_live(name: &str, live: &LiveTable) -> Result<Self, Vec<Mismatch>> {
        let mut findings = Findings { table: name, mismatches: Vec::new() };
        findings.engine(live);
        let mut columns = Vec::new();
        for column in live.columns.iter().filter(|column| column.is_written()) {
            match Column::parse(&column.name, &column.type_text) {
                Ok(column) => columns.push(column),
                Err(unknown) => findings.error(Some(&column.name), unknown.to_string()),
            }
        }
        let sort_key = names(&live.sorting_key);
        for key in &sort_key {
            match columns.iter().find(|column| column.name == *key) {
                Some(Column { nullable: false, .. }) => {}
                Some(_) => {
                    findings.error(Some(key), "in the sort key, must not be Nullable".into());
                }
                None if live.columns.iter().any(|column| column.name == *key) => {}
                None => findings.error(
                    None,
                    format!(
                        "sorted by {key}, must be a list of columns, which is a row's identity"
                    ),
                ),
            }
        }
        let partition = PartitionKey::parse(&live.partition_key);
        let is_time = |key: &PartitionKey| {
            let column = columns.iter().find(|column| column.name == key.column);
            column.is_some_and(|column| matches!(column.kind, ColumnType::Time { .. }))
                && sort_key.contains(&key.column)
        };
        if partition.as_ref().is_none_or(|key| !is_time(key))
            && !names(&live.partition_key).is_empty()
        {
            findings.partition(&live.partition_key, "");
        }
        findings.shards(live, &sort_key);
        let refused = findings.mismatches.iter().any(|found| found.severity == Severity::Error);
        if refused {
            return Err(findings.mismatches);
        }
        Ok(Self { name: name.to_owned(), columns, sort_key, partition })
    }
}

/// Mismatches of one table, as they are found.
struct Findings<'a> {
    table: &'a str,
    mismatches: Vec<Mismatch>,
}

impl Findings<'_> {
    fn add(&mut self, severity: Severity, column: Option<&str>, reason: String) {
        let (table, column) = (self.table.to_owned(), column.map(str::to_owned));
        self.mismatches.push(Mismatch { severity, table, column, reason });
    }

    fn error(&mut self, column: Option<&str>, reason: String) {
        self.add(Severity::Error, column, reason);
    }

    fn engine(&mut self, live: &LiveTable) {
        let (engine, arguments) = engine(&live.engine_full);
        // Replicated and Shared variants collapse rows in the same way.
        let replacing = engine.ends_with("ReplacingMergeTree");
        let version = arguments.iter().find(|argument| !argument.starts_with('\''));
        if !replacing || version.map(|name| unquoted(name)) != Some(Table::VERSION) {
            let is = live.engine_full.split(" PARTITION BY ").next().unwrap_or_default();
            let is = is.split(" ORDER BY ").next().unwrap_or_default();
            let is = if is.is_empty() { "a view or not a stored table" } else { is };
            self.error(
                None,
                format!(
                    "engine is {is}, must be ReplacingMergeTree({}): else a row that is sent \
                     twice is shown twice",
                    Table::VERSION,
                ),
            );
        }
        for name in ["non_replicated_deduplication_window", "replicated_deduplication_window"] {
            if setting(&live.engine_full, name).is_some_and(|window| window != "0") {
                self.add(
                    Severity::Warning,
                    None,
                    format!(
                        "{name} is above 0, should be 0: after a crash of the server a retry can be \
                         taken for a duplicate of rows that are gone"
                    ),
                );
            }
        }
    }

    /// A row that is sent again must reach the shard that has its first copy.
    fn shards(&mut self, live: &LiveTable, sort_key: &[String]) {
        let Some(key) = &live.sharding_key else {
            return;
        };
        let columns = columns_of(key).unwrap_or_default();
        if columns.is_empty() || columns.iter().any(|column| !sort_key.contains(column)) {
            let is =
                if key.is_empty() { "has no sharding key" } else { &format!("sharded by {key}") };
            self.error(
                None,
                format!(
                    "{is}, must be sharded by columns of the sort key, as by cityHash64({}): copies of \
                     a row on two shards never collapse",
                    sort_key.first().map_or("", String::as_str),
                ),
            );
        }
    }

    fn column(&mut self, column: &Column, live: &LiveTable) {
        let (name, wanted) = (Some(column.name.as_str()), column.clickhouse_type());
        let Some(found) = live.columns.iter().find(|live| live.name == column.name) else {
            return self.error(name, format!("is missing, must be {wanted}"));
        };
        if Column::parse(&found.name, &found.type_text).as_ref() != Ok(column) {
            self.error(name, format!("has type {}, must be {wanted}", found.type_text));
        }
        if !found.is_written() {
            let kind = &found.default_kind;
            self.error(name, format!("is {kind}, must be a column that can be inserted into"));
        }
    }

    fn partition(&mut self, is: &str, wanted: &str) {
        let is =
            if is.is_empty() { "not partitioned".into() } else { format!("partitioned by {is}") };
        let wanted = match wanted {
            "" => "toYear, toYYYYMM or toYYYYMMDD of a DateTime64 column of the sort key, or none",
            wanted => wanted,
        };
        self.error(
            None,
            format!(
                "{is}, must be PARTITION BY {wanted}: copies of a row in two partitions never \
                 collapse"
            ),
        );
    }
}

#[cfg(test)]
mod tests;
