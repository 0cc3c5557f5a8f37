//! What keeps a live table from being written, with what would be right.

use std::fmt;

use super::column::{Column, ColumnType};
use super::live::{LiveTable, engine, names, setting, unquoted};
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
        let mut findings = Findings {
            table: &self.name,
            mismatches: Vec::new(),
        };
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
        let partition = self
            .partition
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        let same = match &self.partition {
            Some(key) => PartitionKey::parse(&live.partition_key).as_ref() == Some(key),
            None => names(&live.partition_key).is_empty(),
        };
        if !same {
            findings.partition(&live.partition_key, &partition);
        }
        findings.mismatches
    }

    /// The table that a user made, to be written as it stands.
    ///
    /// # Errors
    /// All that keeps it from being written: another engine, types that the encoder does not know,
    /// a sort key that is not a list of columns, a partition key that is not a calendar unit of
    /// one of them.
    pub fn from_live(name: &str, live: &LiveTable) -> Result<Self, Vec<Mismatch>> {
        let mut findings = Findings {
            table: name,
            mismatches: Vec::new(),
        };
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
                Some(Column {
                    nullable: false, ..
                }) => {}
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
        let refused = findings
            .mismatches
            .iter()
            .any(|found| found.severity == Severity::Error);
        if refused {
            return Err(findings.mismatches);
        }
        Ok(Self {
            name: name.to_owned(),
            columns,
            sort_key,
            partition,
        })
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
        self.mismatches.push(Mismatch {
            severity,
            table,
            column,
            reason,
        });
    }

    fn error(&mut self, column: Option<&str>, reason: String) {
        self.add(Severity::Error, column, reason);
    }

    fn engine(&mut self, live: &LiveTable) {
        let (engine, arguments) = engine(&live.engine_full);
        // Replicated and Shared variants collapse rows in the same way.
        let replacing = engine.ends_with("ReplacingMergeTree");
        let version = arguments
            .iter()
            .find(|argument| !argument.starts_with('\''));
        if !replacing || version.map(|name| unquoted(name)) != Some(Table::VERSION) {
            let is = live
                .engine_full
                .split(" PARTITION BY ")
                .next()
                .unwrap_or_default();
            let is = is.split(" ORDER BY ").next().unwrap_or_default();
            let is = if is.is_empty() {
                "a view or not a stored table"
            } else {
                is
            };
            self.error(
                None,
                format!(
                    "engine is {is}, must be ReplacingMergeTree({}): else a row that is sent \
                     twice is shown twice",
                    Table::VERSION,
                ),
            );
        }
        let window = setting(&live.engine_full, "non_replicated_deduplication_window");
        if window.is_some_and(|window| window != "0") {
            self.add(
                Severity::Warning,
                None,
                "non_replicated_deduplication_window is above 0, should be 0: after a crash of \
                 the server a retry can be taken for a duplicate of rows that are gone"
                    .to_owned(),
            );
        }
    }

    fn column(&mut self, column: &Column, live: &LiveTable) {
        let (name, wanted) = (Some(column.name.as_str()), column.clickhouse_type());
        let Some(found) = live.columns.iter().find(|live| live.name == column.name) else {
            return self.error(name, format!("is missing, must be {wanted}"));
        };
        if Column::parse(&found.name, &found.type_text).as_ref() != Ok(column) {
            self.error(
                name,
                format!("has type {}, must be {wanted}", found.type_text),
            );
        }
        if !found.is_written() {
            let kind = &found.default_kind;
            self.error(
                name,
                format!("is {kind}, must be a column that can be inserted into"),
            );
        }
    }

    fn partition(&mut self, is: &str, wanted: &str) {
        let is = if is.is_empty() {
            "not partitioned".into()
        } else {
            format!("partitioned by {is}")
        };
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
mod tests {
    use super::*;
    use crate::catalog::{Catalog, LiveColumn};

    /// The shipped table as a server shows it that was given our DDL.
    fn live(table: &Table) -> LiveTable {
        let column = |column: &Column| LiveColumn {
            name: column.name.clone(),
            type_text: column.clickhouse_type(),
            default_kind: String::new(),
        };
        let partition_key = table
            .partition
            .as_ref()
            .expect("shipped are partitioned")
            .to_string();
        let sorting_key = match &table.sort_key[..] {
            [one] => format!("({one})"),
            more => more.join(", "),
        };
        LiveTable {
            columns: table.columns.iter().map(column).collect(),
            engine_full: format!(
                "ReplacingMergeTree(version) PARTITION BY {partition_key} ORDER BY ({}) SETTINGS \
                 non_replicated_deduplication_window = 0, index_granularity = 8192",
                table.sort_key.join(", "),
            ),
            sorting_key,
            partition_key,
        }
    }

    fn ticks() -> (Table, LiveTable) {
        let catalog = Catalog::shipped();
        let table = catalog.table(catalog.table_id("ticks").expect("ships"));
        (table.clone(), live(table))
    }

    fn messages(table: &Table, live: &LiveTable) -> Vec<String> {
        table
            .compare(live)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn a_table_made_by_our_ddl_has_no_mismatch() {
        for table in Catalog::shipped().tables() {
            assert_eq!(table.compare(&live(table)), [], "{}", table.name);
            assert_eq!(
                Table::from_live(&table.name, &live(table)).as_ref(),
                Ok(table)
            );
        }
    }

    #[test]
    fn further_columns_quotes_and_replication_are_no_mismatch() {
        let (table, mut live) = ticks();
        live.columns.insert(
            0,
            LiveColumn {
                name: "inserted_at".into(),
                type_text: "DateTime".into(),
                default_kind: "DEFAULT".into(),
            },
        );
        live.sorting_key = "symbol, `timestamp`, event_id".into();
        live.engine_full =
            "ReplicatedReplacingMergeTree('/clickhouse/{shard}/ticks', '{replica}', version) \
             PARTITION BY toYYYYMM(timestamp) ORDER BY (symbol, timestamp, event_id)"
                .into();
        assert_eq!(table.compare(&live), []);
    }

    #[test]
    fn columns_that_are_missing_or_other_are_named_with_what_would_be_right() {
        let (table, mut live) = ticks();
        live.columns.retain(|column| column.name != "ask");
        live.columns[2].type_text = "Float64".into();
        live.columns[4].type_text = "Int32".into();
        live.columns.last_mut().expect("has columns").default_kind = "MATERIALIZED".into();
        assert_eq!(
            messages(&table, &live),
            [
                "table ticks, column bid: has type Float64, must be Decimal(18, 8)",
                "table ticks, column ask: is missing, must be Decimal(18, 8)",
                "table ticks, column exchange: has type Int32, must be Nullable(Int32)",
                "table ticks, column version: is MATERIALIZED, must be a column that can be \
                 inserted into",
            ]
        );
    }

    #[test]
    fn an_engine_that_does_not_collapse_copies_is_refused() {
        for engine in [
            "MergeTree ORDER BY symbol",
            "ReplacingMergeTree ORDER BY symbol",
            "ReplacingMergeTree(timestamp) ORDER BY symbol",
            "SummingMergeTree(version) ORDER BY symbol",
            "Distributed('c', 'market', 'ticks')",
            "",
        ] {
            let (table, mut live) = ticks();
            live.engine_full = engine.into();
            let messages = messages(&table, &live);
            assert!(
                messages[0].contains("must be ReplacingMergeTree(version)"),
                "{messages:?}"
            );
            assert_eq!(messages.len(), 1);
        }
    }

    #[test]
    fn other_keys_are_refused_with_what_would_be_right() {
        let (table, mut live) = ticks();
        live.sorting_key = "symbol, timestamp".into();
        live.partition_key = "toYYYYMM(inserted_at)".into();
        assert_eq!(
            messages(&table, &live),
            [
                "table ticks: sorted by (symbol, timestamp), must be ORDER BY (symbol, timestamp, \
                 event_id): the sort key is what makes two rows the same event",
                "table ticks: partitioned by toYYYYMM(inserted_at), must be PARTITION BY \
                 toYYYYMM(timestamp): copies of a row in two partitions never collapse",
            ]
        );
        live.partition_key = String::new();
        assert!(messages(&table, &live)[1].contains("not partitioned, must be PARTITION BY"));
    }

    #[test]
    fn a_deduplication_window_is_a_warning() {
        let (table, mut live) = ticks();
        live.engine_full = live.engine_full.replace("window = 0", "window = 100");
        let found = table.compare(&live);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].severity, Severity::Warning);
        assert!(found[0].to_string().contains("should be 0"));
    }

    #[test]
    fn a_table_of_a_user_is_taken_as_it_stands_or_refused_by_name() {
        let (_, mut live) = ticks();
        live.sorting_key = "(event_id)".into();
        live.partition_key = String::new();
        live.columns[4].default_kind = "ALIAS".into();
        let table = Table::from_live("orders", &live).expect("can be written");
        assert_eq!((table.partition, table.columns.len()), (None, 11));

        live.partition_key = "toYYYYMM(timestamp)".into();
        live.columns[1].type_text = "DateTime('UTC')".into();
        live.columns[2].type_text = "UUID".into();
        live.sorting_key = "event_id, cityHash64(symbol), volume".into();
        live.columns[4].default_kind = String::new();
        let refused = Table::from_live("orders", &live).expect_err("cannot be written");
        let refused: Vec<String> = refused.iter().map(ToString::to_string).collect();
        assert!(
            refused[0].contains("column timestamp has type DateTime('UTC')"),
            "{refused:?}"
        );
        assert!(
            refused[1].contains("column bid has type UUID"),
            "{refused:?}"
        );
        assert!(
            refused[2].contains("sorted by cityHash64(symbol)"),
            "{refused:?}"
        );
        assert!(
            refused[3].contains("column volume: in the sort key"),
            "{refused:?}"
        );
        assert!(
            refused[4].contains("partitioned by toYYYYMM(timestamp)"),
            "{refused:?}"
        );
        assert_eq!(refused.len(), 5);
    }
}
