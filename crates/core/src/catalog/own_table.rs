//! A user's own table: taken as the server has it.

use super::column::{Column, UnknownType};
use super::live::LiveTable;
use super::table::{PartitionKey, Table};

/// Why a table of the server cannot take rows of a route.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnfitTable {
    /// Two copies of a row would both stay visible.
    #[error(
        "engine of {table} is {engine}, not ReplacingMergeTree: copies of a row would not collapse"
    )]
    Engine {
        /// The table.
        table: String,
        /// Its engine.
        engine: String,
    },
    /// A column has a type that the encoder does not know.
    #[error("table {table}: {cause}")]
    Column {
        /// The table.
        table: String,
        /// The column's type.
        #[source]
        cause: UnknownType,
    },
    /// Rows cannot be gathered by ClickHouse partition.
    #[error(
        "partition key of {table} is {key}: toYYYYMM, toYear or toYYYYMMDD of a column of the sort \
         key would be right, or none"
    )]
    Partition {
        /// The table.
        table: String,
        /// Its partition key.
        key: String,
    },
}

impl Table {
    /// The table as the server has it, without columns that ClickHouse computes by itself.
    ///
    /// # Errors
    /// When rows could not be written exactly once, or a column's type is not known.
    pub fn from_live(name: &str, live: &LiveTable) -> Result<Self, UnfitTable> {
        let engine = live
            .engine_full
            .split([' ', '('])
            .next()
            .unwrap_or_default();
        if !engine.ends_with("ReplacingMergeTree") {
            return Err(UnfitTable::Engine {
                table: name.to_owned(),
                engine: engine.to_owned(),
            });
        }
        let written = |kind: &str| matches!(kind, "" | "DEFAULT");
        let columns = (live
            .columns
            .iter()
            .filter(|column| written(&column.default_kind)))
        .map(|column| Column::parse(&column.name, &column.type_text))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|cause| UnfitTable::Column {
            table: name.to_owned(),
            cause,
        })?;
        let sort_key: Vec<String> = live
            .sorting_key
            .split(',')
            .map(|part| part.trim().trim_matches('`').to_owned())
            .filter(|part| !part.is_empty())
            .collect();
        let unfit = || UnfitTable::Partition {
            table: name.to_owned(),
            key: live.partition_key.clone(),
        };
        let partition = match live.partition_key.trim() {
            "" => None,
            key => Some(PartitionKey::parse(key).ok_or_else(unfit)?),
        };
        if partition
            .as_ref()
            .is_some_and(|key| !sort_key.contains(&key.column))
        {
            return Err(unfit());
        }
        Ok(Self {
            name: name.to_owned(),
            columns,
            sort_key,
            partition,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::live::LiveColumn;
    use super::*;

    fn live(engine: &str, partition: &str) -> LiveTable {
        let column = |name: &str, kind: &str, default: &str| LiveColumn {
            name: name.to_owned(),
            type_text: kind.to_owned(),
            default_kind: default.to_owned(),
        };
        LiveTable {
            columns: vec![
                column("order_id", "String", ""),
                column("placed_at", "DateTime64(3, 'UTC')", ""),
                column("day", "Date", "MATERIALIZED"),
            ],
            engine_full: engine.to_owned(),
            sorting_key: "order_id, placed_at".to_owned(),
            partition_key: partition.to_owned(),
        }
    }

    #[test]
    fn computed_columns_are_not_written() {
        let live = live(
            "ReplacingMergeTree ORDER BY order_id",
            "toYYYYMM(placed_at)",
        );
        let table = Table::from_live("orders", &live).unwrap();
        let names: Vec<_> = table
            .columns
            .iter()
            .map(|column| column.name.as_str())
            .collect();
        assert_eq!(names, ["order_id", "placed_at"]);
        assert_eq!(table.sort_key, ["order_id", "placed_at"]);
    }

    #[test]
    fn tables_that_would_show_copies_twice_are_refused_by_name() {
        let plain = Table::from_live("orders", &live("MergeTree ORDER BY order_id", ""));
        assert!(matches!(plain, Err(UnfitTable::Engine { table, .. }) if table == "orders"));
        let hashed = Table::from_live("orders", &live("ReplacingMergeTree", "order_id % 8"));
        assert!(matches!(hashed, Err(UnfitTable::Partition { key, .. }) if key == "order_id % 8"));
    }
}
