//! Rows by chance, and the texts by which the engine shows their raw values.

use std::fmt::Write as _;

use data_bridge_core::block::Cell;
use data_bridge_core::catalog::{Column, ColumnType, Table};

pub(super) type Row = Vec<Value>;

/// A value from which both the cell and the expected text are made.
pub(super) enum Value {
    Null,
    Bytes(Vec<u8>),
    Int(i64),
    UInt(u64),
    Scaled(i128),
    Float(f64),
    Map(Vec<(Vec<u8>, Vec<u8>)>),
}

impl Value {
    fn entries(&self) -> Vec<(&[u8], &[u8])> {
        match self {
            Self::Map(entries) => entries.iter().map(|(k, v)| (&k[..], &v[..])).collect(),
            _ => Vec::new(),
        }
    }
}

/// `SplitMix64`: the same numbers everywhere.
pub(super) struct Random(pub(super) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// Limits and zero more often than chance would have them.
    fn between(&mut self, least: i128, most: i128) -> i128 {
        match self.below(5) {
            0 => least,
            1 => most,
            2 => 0,
            _ => {
                let bits = i128::from(self.next()) << 63 | i128::from(self.next() >> 1);
                least + bits % (most - least)
            }
        }
    }

    fn int(&mut self, least: impl Into<i64>, most: impl Into<i64>) -> Value {
        let (least, most): (i64, i64) = (least.into(), most.into());
        let int = self.between(least.into(), most.into());
        Value::Int(int.try_into().expect("within the limits"))
    }

    fn uint(&mut self, most: impl Into<u64>) -> Value {
        let most: u64 = most.into();
        Value::UInt(self.between(0, most.into()).try_into().expect("within the limits"))
    }

    /// Lengths on both sides of where the length itself takes a byte more.
    fn text(&mut self) -> Vec<u8> {
        let length = match self.below(6) {
            0 => 0,
            1 => 126 + self.below(4),
            2 => 16_382 + self.below(4),
            _ => self.below(20),
        };
        (0..length).map(|_| self.next().to_le_bytes()[0]).collect()
    }
}

/// Rows in a few partitions; no two have the same time, so that none replaces another.
pub(super) fn random_rows(table: &Table, count: usize, random: &mut Random) -> Vec<Row> {
    let partition = table.partition.as_ref().expect("the tables here have partitions");
    // 1970, around leap day 2024, 1969.
    let starts = [0, 1_706_198_400_123, 1_709_164_740_000, -86_400_000];
    let minutes = (0_i64..).map(|minute| minute * 60_000);
    let times = minutes.flat_map(|minute| starts.map(|start| start + minute));
    times
        .take(count)
        .map(|time_ms| {
            let value = |column: &Column| {
                if column.name == partition.column {
                    Value::Int(time_ms)
                } else {
                    random_value(column, random)
                }
            };
            table.columns.iter().map(value).collect()
        })
        .collect()
}

fn random_value(column: &Column, random: &mut Random) -> Value {
    if column.nullable && random.below(3) == 0 {
        return Value::Null;
    }
    match column.kind {
        ColumnType::Keyword => match random.below(8) {
            0 => Value::Bytes(Vec::new()),
            kind => Value::Bytes(format!("word {}", kind * random.below(40)).into_bytes()),
        },
        ColumnType::Text => Value::Bytes(random.text()),
        ColumnType::TextMap => {
            Value::Map((0..random.below(4)).map(|_| (random.text(), random.text())).collect())
        }
        ColumnType::Bool => random.uint(1_u8),
        ColumnType::Int8 => random.int(i8::MIN, i8::MAX),
        ColumnType::Int16 => random.int(i16::MIN, i16::MAX),
        ColumnType::Int32 => random.int(i32::MIN, i32::MAX),
        ColumnType::Int64 => random.int(i64::MIN, i64::MAX),
        ColumnType::UInt8 => random.uint(u8::MAX),
        ColumnType::UInt16 => random.uint(u16::MAX),
        ColumnType::UInt32 => random.uint(u32::MAX),
        ColumnType::UInt64 => random.uint(u64::MAX),
        // Each a value of a Float32; none a NaN, which is not one but many.
        ColumnType::Float32 | ColumnType::Float64 => {
            let exponent = i32::try_from(random.below(40)).expect("is small") - 20;
            let mantissa = i32::try_from(random.below(1 << 20)).expect("is small") - (1 << 19);
            Value::Float(f64::from(mantissa) * 2_f64.powi(exponent))
        }
        ColumnType::Decimal { precision, .. } => {
            let most = 10_i128.pow(precision.into()) - 1;
            let value = random.between(0, most);
            Value::Scaled(if random.below(2) == 0 { value } else { -value })
        }
        // 1900-01-01 to 2262-04-11, where nine digits after the second end.
        ColumnType::Time { precision } => {
            let second = 10_i64.pow(precision.into());
            random.int(-2_208_988_800 * second, 9_223_372_036 * second)
        }
    }
}

/// Calls with the cells of a row.
pub(super) fn with_cells<T>(row: &[Value], call: impl FnOnce(&[Cell<'_>]) -> T) -> T {
    let maps: Vec<Vec<(&[u8], &[u8])>> = row.iter().map(Value::entries).collect();
    let cells: Vec<Cell<'_>> = row
        .iter()
        .zip(&maps)
        .map(|(value, map)| match value {
            Value::Null => Cell::Null,
            Value::Bytes(bytes) => Cell::Bytes(bytes),
            Value::Int(value) => Cell::Int(*value),
            Value::UInt(value) => Cell::UInt(*value),
            Value::Scaled(value) => Cell::scaled(*value),
            Value::Float(value) => Cell::Float(*value),
            Value::Map(_) => Cell::Map(map),
        })
        .collect();
    call(&cells)
}

/// An expression that shows the raw value, so that no formatting of the engine's stands between.
pub(super) fn question(column: &Column) -> String {
    let name = &column.name;
    match column.kind {
        ColumnType::Keyword | ColumnType::Text => format!("hex({name})"),
        ColumnType::TextMap => format!(
            "arrayStringConcat(arrayMap((k, v) -> concat(hex(k), ':', hex(v), ','), \
             mapKeys({name}), mapValues({name})))"
        ),
        ColumnType::Decimal { precision: ..=9, .. } => format!("reinterpretAsInt32({name})"),
        ColumnType::Decimal { precision: ..=18, .. } | ColumnType::Time { .. } => {
            format!("reinterpretAsInt64({name})")
        }
        ColumnType::Decimal { .. } => format!("reinterpretAsInt128({name})"),
        ColumnType::Float32 => format!("reinterpretAsUInt64(toFloat64({name}))"),
        ColumnType::Float64 => format!("reinterpretAsUInt64({name})"),
        ColumnType::Bool => format!("toUInt8({name})"),
        ColumnType::Int8
        | ColumnType::Int16
        | ColumnType::Int32
        | ColumnType::Int64
        | ColumnType::UInt8
        | ColumnType::UInt16
        | ColumnType::UInt32
        | ColumnType::UInt64 => name.clone(),
    }
}

/// What the engine must answer to [`question`].
pub(super) fn answer(column: &Column, value: &Value) -> String {
    match value {
        Value::Null => "\\N".to_owned(),
        Value::Bytes(bytes) => hex(bytes),
        Value::Int(value) => value.to_string(),
        Value::UInt(value) => value.to_string(),
        Value::Scaled(value) => value.to_string(),
        Value::Float(value) => value.to_bits().to_string(),
        Value::Map(entries) => {
            assert_eq!(column.kind, ColumnType::TextMap);
            let entry =
                |(key, value): &(Vec<u8>, Vec<u8>)| [&hex(key), ":", &hex(value), ","].concat();
            entries.iter().map(entry).collect()
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        write!(text, "{byte:02X}").expect("a String takes all");
    }
    text
}
