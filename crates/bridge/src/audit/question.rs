//! The questions that compare a block with its table, and the block as it is sent with them.

use data_bridge_core::block::Block;
use data_bridge_core::catalog::{Column, ColumnType, Table};

use crate::sink::clickhouse::quoted;

/// Name of the table that is sent along: the rows as they must be.
pub(super) const EXPECTED: &str = "expected";
/// A column of it that no table has: the row's index in the block.
const ROW: &str = "__row";
/// Bytes of a value that are shown.
const SHOWN: u32 = 200;

/// States of a row that the answers name.
pub(super) const MISSING: &str = "missing";
pub(super) const DIFFERS: &str = "differs";
pub(super) const EXPIRED: &str = "expired";
pub(super) const BURIED: &str = "buried";

/// Columns that say how a row came, not what it is: an event may come by several ways.
const PROVENANCE: [&str; 3] = ["origin", "origin_position", Table::VERSION];

/// What makes two dead letters the same message. The reason may read otherwise after an upgrade.
const LETTER_KEY: [&str; 3] = ["origin", "origin_position", "received_at"];
/// What must be kept of a message byte for byte.
const LETTER_VALUES: [&str; 3] = ["key", "payload", "headers"];

/// Whether rows tell where they came from.
pub(super) fn has_origin(table: &Table) -> bool {
    table.column("origin").is_some() && table.column("origin_position").is_some()
}

/// The columns of a block that is sent along.
pub(super) fn structure(table: &Table) -> String {
    let columns = table.columns.iter();
    let columns =
        columns.map(|column| format!("{} {}", quoted(&column.name), column.clickhouse_type()));
    let columns: Vec<_> = columns.chain([format!("{ROW} UInt32")]).collect();
    columns.join(", ")
}

/// The block in Native format, with each row's index as a further column.
pub(super) fn numbered(block: &Block) -> Vec<u8> {
    let mut native = Vec::new();
    block.encode(0..block.rows(), &mut native);
    let mut out = Vec::with_capacity(native.len() + 4 * block.rows() as usize + 32);
    // The block begins with its number of columns; below 128 that is one byte, and tables with
    // more take two (LEB128).
    let (columns, behind) = leb128(&native);
    write_leb128(columns + 1, &mut out);
    out.extend_from_slice(&native[behind..]);
    for text in [ROW, "UInt32"] {
        write_leb128(text.len() as u64, &mut out);
        out.extend_from_slice(text.as_bytes());
    }
    for row in 0..block.rows() {
        out.extend_from_slice(&row.to_le_bytes());
    }
    out
}

/// Which rows are not visible as they are sent: index, state, origin, position, identity,
/// differences.
///
/// A row of a newer version stands in for all older ones, whatever its values. A row of an older
/// version will do when the values are the same: the event came by another way.
pub(super) fn of_rows(database: &str, table: &Table, expired: Option<&str>) -> String {
    let key: Vec<&str> = table.sort_key.iter().map(String::as_str).collect();
    let values = table.columns.iter().filter(|column| {
        !key.contains(&column.name.as_str()) && !PROVENANCE.contains(&column.name.as_str())
    });
    let values: Vec<_> = values.collect();
    let version = quoted(Table::VERSION);
    let differs = differs(&values);
    let buried = if has_origin(table) {
        let letters = format!("{}.{}", quoted(database), quoted("dead_letters"));
        format!(
            "(e.origin, e.origin_position) IN (SELECT origin, origin_position FROM {letters} FINAL \
             WHERE isNull(replayed_at) AND (origin, origin_position) IN \
             (SELECT origin, origin_position FROM {EXPECTED}))"
        )
    } else {
        "0".to_owned()
    };
    let state = format!(
        "multiIf(t.__there = 0 AND {buried}, '{BURIED}', t.__there = 0 AND e.__expired, '{EXPIRED}', \
         t.__there = 0, '{MISSING}', t.{version} <= e.{version} AND ({differs}), '{DIFFERS}', '')"
    );
    comparison(
        database,
        table,
        &Comparison {
            key: &key,
            values: &values,
            state: &state,
            expired: expired.unwrap_or("0"),
            join: "LEFT JOIN",
        },
    )
}

/// As [`of_rows`], for messages that must lie among the dead letters.
pub(super) fn of_letters(database: &str, table: &Table) -> String {
    let values = table.columns.iter().filter(|c| LETTER_VALUES.contains(&c.name.as_str()));
    let values: Vec<_> = values.collect();
    let differs = differs(&values);
    let state = format!("multiIf(t.__there = 0, '{MISSING}', {differs}, '{DIFFERS}', '')");
    comparison(
        database,
        table,
        &Comparison {
            key: &LETTER_KEY,
            values: &values,
            state: &state,
            expired: "0",
            // One message may lie there for two reasons; each holds it whole.
            join: "LEFT ANY JOIN",
        },
    )
}

/// Which of the rows that are sent came into this table: their indexes.
pub(super) fn of_origins(database: &str, table: &str) -> String {
    let table = format!("{}.{}", quoted(database), quoted(table));
    format!(
        "SELECT {ROW} FROM {EXPECTED} WHERE (origin, origin_position) IN \
         (SELECT origin, origin_position FROM {table} WHERE (origin, origin_position) IN \
         (SELECT origin, origin_position FROM {EXPECTED})) FORMAT TabSeparated"
    )
}

struct Comparison<'a> {
    key: &'a [&'a str],
    values: &'a [&'a Column],
    state: &'a str,
    expired: &'a str,
    join: &'a str,
}

fn comparison(database: &str, table: &Table, of: &Comparison<'_>) -> String {
    let target = format!("{}.{}", quoted(database), quoted(&table.name));
    let keys: Vec<_> = of.key.iter().map(|name| quoted(name)).collect();
    let list = keys.join(", ");
    let on: Vec<_> = keys.iter().map(|key| format!("e.{key} = t.{key}")).collect();
    let identity: Vec<_> = keys.iter().map(|key| format!("toString(e.{key})")).collect();
    let (origin, position) = if has_origin(table) {
        ("toString(e.origin)", "toString(e.origin_position)")
    } else {
        ("''", "''")
    };
    // So that partitions without a row of the block are not read at all.
    let bounds = match table.partition.as_ref().map(|key| quoted(&key.column)) {
        Some(time) => format!(
            " AND {time} >= (SELECT min({time}) FROM {EXPECTED}) \
             AND {time} <= (SELECT max({time}) FROM {EXPECTED})"
        ),
        None => String::new(),
    };
    let differences: Vec<_> = of
        .values
        .iter()
        .map(|column| {
            let name = quoted(&column.name);
            let literal = crate::sink::clickhouse::literal(&column.name);
            let (e, t) = (shown(&format!("e.{name}")), shown(&format!("t.{name}")));
            format!("[toString({}), {literal}, {e}, {t}]", differ(column))
        })
        .collect();
    let differences = if differences.is_empty() {
        "CAST([], 'Array(Array(String))')".to_owned()
    } else {
        format!("arrayFilter(d -> d[1] = '1', [{}])", differences.join(", "))
    };
    let state = of.state;
    format!(
        "SELECT e.{ROW}, {state} AS __state, {origin}, {position}, [{identity}], \
         if(__state = '{DIFFERS}', {differences}, CAST([], 'Array(Array(String))')) \
         FROM (SELECT *, {expired} AS __expired FROM {EXPECTED}) AS e \
         {join} (SELECT *, 1 AS __there FROM {target} FINAL WHERE ({list}) IN \
         (SELECT {list} FROM {EXPECTED}){bounds}) AS t ON {on} \
         WHERE __state != '' ORDER BY e.{ROW} \
         SETTINGS do_not_merge_across_partitions_select_final = 1, join_use_nulls = 0, \
         output_format_json_validate_utf8 = 1, output_format_json_quote_64bit_integers = 1 \
         FORMAT JSONCompactEachRow",
        identity = identity.join(", "),
        expired = of.expired,
        join = of.join,
        on = on.join(" AND "),
    )
}

/// Whether any of these columns differs between the two sides.
fn differs(values: &[&Column]) -> String {
    if values.is_empty() {
        return "0".to_owned();
    }
    values.iter().map(|column| differ(column)).collect::<Vec<_>>().join(" OR ")
}

/// Whether a column differs: NULL equals NULL.
fn differ(column: &Column) -> String {
    let name = quoted(&column.name);
    if column.kind == ColumnType::TextMap {
        return format!("(toString(e.{name}) != toString(t.{name}))");
    }
    if column.nullable {
        return format!("ifNull(e.{name} != t.{name}, isNull(e.{name}) != isNull(t.{name}))");
    }
    format!("(e.{name} != t.{name})")
}

/// A value for people: its beginning.
fn shown(value: &str) -> String {
    format!("ifNull(substring(toString({value}), 1, {SHOWN}), 'NULL')")
}

/// A number of 7 bits per byte, and where it ends.
fn leb128(bytes: &[u8]) -> (u64, usize) {
    let mut value = 0;
    for (index, byte) in bytes.iter().enumerate() {
        value |= u64::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            return (value, index + 1);
        }
    }
    (value, bytes.len())
}

fn write_leb128(mut value: u64, out: &mut Vec<u8>) {
    loop {
        let byte = u8::try_from(value & 0x7F).unwrap_or_default();
        value >>= 7;
        if value == 0 {
            return out.push(byte);
        }
        out.push(byte | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use data_bridge_core::catalog::Catalog;

    use super::*;

    #[test]
    fn every_value_column_of_every_table_is_compared() {
        let catalog = Catalog::shipped();
        for table in catalog.tables() {
            if table.name == Catalog::DEAD_LETTERS {
                continue;
            }
            let question = of_rows("market", table, None);
            for column in &table.columns {
                let is_value = !table.sort_key.contains(&column.name)
                    && !PROVENANCE.contains(&column.name.as_str());
                let compared = question.contains(&format!("e.`{0}` != t.`{0}`", column.name));
                assert_eq!(compared, is_value, "{}.{}", table.name, column.name);
            }
        }
    }

    #[test]
    fn numbers_of_any_length_are_read_back() {
        for value in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX)] {
            let mut bytes = Vec::new();
            write_leb128(value, &mut bytes);
            assert_eq!(leb128(&bytes), (value, bytes.len()));
        }
    }
}
