//! A user's own route, built from the columns of its table and a few settings.

use std::collections::BTreeMap;

use super::super::{ColumnType, Table};
use super::{ExcessDigits, Field, Path, Route, Supply, TextForm, TimeForm, TimeRange, provenance};
use crate::units::TableId;

/// What the configuration file says of a route, beyond its table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteSettings {
    /// What differs from "a field with the column's name", by column.
    pub columns: BTreeMap<String, ColumnSettings>,
    /// Columns without which a message is a dead letter.
    pub required: Vec<String>,
    /// Times that the partition column may have; without: what ClickHouse can hold.
    pub time_range: Option<TimeRange>,
}

/// What the configuration file says of a column; what it does not say is as the column's type says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColumnSettings {
    /// Where the value stands, the first that is present wins; empty: under the column's name. A
    /// dot leads into an object.
    pub keys: Vec<String>,
    /// What happens to digits beyond the column's scale.
    pub excess_digits: Option<ExcessDigits>,
    /// How the time is written.
    pub time: Option<TimeForm>,
}

/// A setting that does not fit the table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteProblem {
    /// A setting names a column that the table does not have.
    #[error("table {table} has no column {column}; it has: {known}")]
    UnknownColumn {
        /// The table.
        table: String,
        /// The name in the settings.
        column: String,
        /// The names that would be right.
        known: String,
    },
    /// `time` for a column that is none.
    #[error("column {column} is {kind}, not a time: `time` does not apply")]
    NotATime {
        /// The column.
        column: String,
        /// Its type in ClickHouse.
        kind: String,
    },
    /// `excess_digits` for a column that has no fixed scale.
    #[error("column {column} is {kind}: `excess_digits` applies to decimals and times")]
    NoScale {
        /// The column.
        column: String,
        /// Its type in ClickHouse.
        kind: String,
    },
    /// A key that is no path.
    #[error("{key:?} is not a way to a field: keys with dots between them, at most 8")]
    BadPath {
        /// The text.
        key: String,
    },
    /// The column that decides a row's partition cannot be read from messages.
    #[error("column {column} decides the partition and must be a DateTime64 read from the message")]
    NoPartitionTime {
        /// The column.
        column: String,
    },
}

impl Route {
    /// The route to `table`: JSON fields are matched by column name unless the settings say
    /// otherwise; `origin`, `origin_position` and `version` are computed unless the settings name
    /// keys for them.
    ///
    /// # Errors
    /// Every setting that does not fit the table.
    pub fn from_settings(
        name: &str,
        id: TableId,
        table: &Table,
        settings: &RouteSettings,
    ) -> Result<Self, Vec<RouteProblem>> {
        let mut problems = Vec::new();
        for column in settings.columns.keys().chain(&settings.required) {
            if table.column(column).is_none() {
                problems.push(RouteProblem::UnknownColumn {
                    table: table.name.clone(),
                    column: column.clone(),
                    known: table
                        .columns
                        .iter()
                        .map(|c| c.name.as_str())
                        .collect::<Vec<_>>()
                        .join(", "),
                });
            }
        }
        let fields = (table.columns.iter())
            .map(|column| {
                let own = settings.columns.get(&column.name);
                let mut field = Field::new(source(&column.name, column.kind, own, &mut problems));
                let is_time = matches!(column.kind, ColumnType::Time { .. });
                let is_decimal = matches!(column.kind, ColumnType::Decimal { .. });
                let may_be_empty = matches!(
                    column.kind,
                    ColumnType::Keyword | ColumnType::Text | ColumnType::TextMap
                );
                // A number or time that is absent has no honest value but NULL.
                field.required =
                    settings.required.contains(&column.name) || !(column.nullable || may_be_empty);
                field.text = TextForm::TextOrJson;
                if let Some(time) = own.and_then(|own| own.time) {
                    field.time = time;
                    if !is_time {
                        problems.push(RouteProblem::NotATime {
                            column: column.name.clone(),
                            kind: column.clickhouse_type(),
                        });
                    }
                }
                if let Some(excess_digits) = own.and_then(|own| own.excess_digits) {
                    field.excess_digits = excess_digits;
                    if !(is_time || is_decimal) {
                        problems.push(RouteProblem::NoScale {
                            column: column.name.clone(),
                            kind: column.clickhouse_type(),
                        });
                    }
                }
                field
            })
            .collect();
        if let Some(key) = &table.partition {
            let sound = table.column(&key.column).and_then(|index| table.columns.get(index));
            if !sound.is_some_and(|column| matches!(column.kind, ColumnType::Time { .. })) {
                problems.push(RouteProblem::NoPartitionTime { column: key.column.clone() });
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            name: name.to_owned(),
            table: id,
            fields,
            time_range: settings.time_range.unwrap_or(TimeRange::ANY),
            required_objects: Vec::new(),
            ignored: Vec::new(),
        })
    }
}

fn source(
    column: &str,
    kind: ColumnType,
    settings: Option<&ColumnSettings>,
    problems: &mut Vec<RouteProblem>,
) -> Supply {
    let keys = settings.map(|settings| settings.keys.as_slice()).unwrap_or_default();
    if !keys.is_empty() {
        let paths = keys.iter().filter_map(|key| {
            let path = Path::parse(key);
            if path.is_none() {
                problems.push(RouteProblem::BadPath { key: key.clone() });
            }
            path
        });
        return Supply::Json(paths.collect());
    }
    let fits = match provenance(column) {
        Some(Supply::Origin) => matches!(kind, ColumnType::Keyword | ColumnType::Text),
        Some(_) => kind == ColumnType::UInt64,
        None => false,
    };
    provenance(column).filter(|_| fits).unwrap_or_else(|| Supply::Json(vec![Path::key(column)]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Column, PartitionKey};

    fn orders() -> Table {
        let column = |name, kind| Column::parse(name, kind).unwrap();
        Table {
            name: "orders".to_owned(),
            columns: vec![
                column("order_id", "String"),
                column("placed_at", "DateTime64(3, 'UTC')"),
                column("price", "Decimal(18, 4)"),
                column("note", "Nullable(String)"),
                column("quantity", "UInt32"),
                column("origin", "LowCardinality(String)"),
                column("version", "UInt64"),
            ],
            sort_key: vec!["order_id".to_owned()],
            partition: PartitionKey::parse("toYYYYMM(placed_at)"),
        }
    }

    #[test]
    fn columns_are_matched_by_name_and_provenance_is_computed() {
        let mut settings =
            RouteSettings { required: vec!["order_id".to_owned()], ..Default::default() };
        let price = ColumnSettings {
            keys: vec!["px".to_owned(), "deal.price".to_owned()],
            excess_digits: Some(ExcessDigits::Reject),
            time: None,
        };
        settings.columns.insert("price".to_owned(), price);
        let route = Route::from_settings("orders", TableId(9), &orders(), &settings).unwrap();
        let required: Vec<_> = route.fields.iter().map(|field| field.required).collect();
        assert_eq!(required, [true, true, true, false, true, false, true]);
        assert_eq!(route.fields[0].from, Supply::Json(vec![Path::key("order_id")]));
        let paths = ["px", "deal.price"].map(|path| Path::parse(path).unwrap());
        assert_eq!(route.fields[2].from, Supply::Json(paths.to_vec()));
        assert_eq!(route.fields[2].excess_digits, ExcessDigits::Reject);
        assert_eq!(route.fields[5].from, Supply::Origin);
        assert_eq!(route.fields[6].from, Supply::Version);
    }

    #[test]
    fn every_setting_that_does_not_fit_is_named() {
        let mut settings =
            RouteSettings { required: vec!["nope".to_owned()], ..Default::default() };
        let wrong = ColumnSettings {
            keys: vec!["a..b".to_owned()],
            excess_digits: Some(ExcessDigits::Round),
            time: Some(TimeForm::Iso),
        };
        settings.columns.insert("note".to_owned(), wrong);
        let problems =
            Route::from_settings("orders", TableId(9), &orders(), &settings).unwrap_err();
        let texts: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(texts.len(), 4, "{texts:#?}");
        assert!(texts[0].contains("no column nope; it has: order_id, placed_at"));
        assert!(texts.iter().any(|text| text.contains("a..b")));
    }
}
