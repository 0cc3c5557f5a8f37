//! `init --migrate TABLE`: the statement that copies candles of an older table into ours. It is
//! printed and never run: how long it takes, and when, is for whoever knows both tables.

use data_bridge_core::catalog::{Column, ColumnType, Table};

use crate::sink::clickhouse::quoted;

/// What an older table must have: the key of a candle, its time in milliseconds.
const KEY: [&str; 3] = ["symbol", "timeframe", "timestamp_ms"];

/// A column of the older table: name and type.
pub(super) type Old = (String, String);

/// Copies `old` into our table; the names of `KEY` that `old` lacks when it cannot.
pub(super) fn statement(
    database: &str,
    table: &Table,
    old: &str,
    columns: &[Old],
) -> Result<String, String> {
    let has = |name: &str| columns.iter().find(|(column, _)| column == name);
    let missing: Vec<&str> = KEY.into_iter().filter(|name| has(name).is_none()).collect();
    if !missing.is_empty() {
        return Err(format!("{old} has no column {}", missing.join(", ")));
    }
    let (mut names, mut values, mut left) = (Vec::new(), Vec::new(), Vec::new());
    for column in &table.columns {
        let value = match column.name.as_str() {
            "timestamp" => "fromUnixTimestamp64Milli(toInt64(timestamp_ms), 'UTC')".to_owned(),
            "origin" => "'migrated'".to_owned(),
            // Older than whatever comes through the bridge; twice is once.
            "version" | "origin_position" => "0".to_owned(),
            name => {
                let Some((name, kind)) = has(name) else {
                    left.push(name);
                    continue;
                };
                read_as(column, name, kind)
            }
        };
        names.push(column.name.as_str());
        values.push(value);
    }
    let left = match left.as_slice() {
        [] => String::new(),
        left => format!("-- Not there, left empty: {}.\n", left.join(", ")),
    };
    Ok(format!(
        "-- From {old}; run it when you like, twice is once.\n{left}INSERT INTO {}.{}\n    \
         ({})\nSELECT\n    {}\nFROM {old};\n",
        quoted(database),
        quoted(&table.name),
        names.join(", "),
        values.join(",\n    ")
    ))
}

/// A binary float becomes a decimal by its shortest text, as it was printed once.
fn read_as(column: &Column, name: &str, kind: &str) -> String {
    let (name, wanted) = (quoted(name), column.clickhouse_type());
    let ColumnType::Decimal { scale, .. } = column.kind else {
        return if kind == wanted { name } else { format!("CAST({name} AS {wanted})") };
    };
    if kind.contains("Float") {
        format!("CAST(toString(round({name}, {scale})) AS {wanted})")
    } else {
        format!("CAST({name} AS {wanted})")
    }
}

#[cfg(test)]
mod tests {
    use data_bridge_core::catalog::Catalog;

    use super::*;

    fn of(columns: &[(&str, &str)]) -> Result<String, String> {
        let columns: Vec<Old> =
            columns.iter().map(|(name, kind)| ((*name).into(), (*kind).into())).collect();
        let catalog = Catalog::shipped();
        let table = catalog.tables().iter().find(|table| table.name == "aggregates").unwrap();
        statement("market", table, "old.candles", &columns)
    }

    #[test]
    fn what_the_older_table_lacks_is_said() {
        let said = of(&[("symbol", "String"), ("close", "Float64")]).unwrap_err();
        assert_eq!(said, "old.candles has no column timeframe, timestamp_ms");
        let key = [("symbol", "String"), ("timeframe", "String"), ("timestamp_ms", "Int64")];
        let text = of(&[&key[..], &[("close", "Float64"), ("open", "Decimal(9, 5)")]].concat());
        let text = text.unwrap();
        assert!(text.contains("CAST(toString(round(`close`, 8)) AS Decimal(18, 8))"), "{text}");
        assert!(text.contains("CAST(`open` AS Decimal(18, 8))"), "{text}");
        assert!(text.contains("left empty: high, low"), "{text}");
    }
}
