//! Columns by their type.

use super::reader::Reader;
use super::{BadNative, Value};

/// Reads `height` values of the type that ClickHouse calls `kind`.
pub(super) fn read_column(
    reader: &mut Reader<'_>,
    kind: &str,
    height: usize,
) -> Result<Vec<Value>, BadNative> {
    if let Some(inner) = inside(kind, "LowCardinality") {
        return low_cardinality(reader, inner, height);
    }
    if let Some(inner) = inside(kind, "Nullable") {
        let nulls = reader.take(height)?;
        let values = read_column(reader, inner, height)?;
        let pairs = values.into_iter().zip(nulls);
        return Ok(pairs
            .map(|(value, null)| if *null == 0 { value } else { Value::Null })
            .collect());
    }
    if let Some(inner) = inside(kind, "Map") {
        let Some((key, value)) = inner.split_once(',') else {
            return Err(reader.bad(format!("type {kind}")));
        };
        return map(reader, key.trim(), value.trim(), height);
    }
    let mut values = Vec::with_capacity(height.min(1 << 20));
    for _ in 0..height {
        values.push(scalar(reader, kind)?);
    }
    Ok(values)
}

/// The text between the parentheses of `name(…)`.
fn inside<'a>(kind: &'a str, name: &str) -> Option<&'a str> {
    kind.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')')
}

fn scalar(reader: &mut Reader<'_>, kind: &str) -> Result<Value, BadNative> {
    let unsigned = |reader: &mut Reader<'_>, width| {
        let number = reader.unsigned(width)?;
        Ok(Value::Whole(i128::try_from(number).expect("at most eight bytes")))
    };
    match kind {
        "String" => {
            let length = reader.size()?;
            Ok(Value::Text(reader.take(length)?.to_vec()))
        }
        "UInt8" | "Bool" => unsigned(reader, 1),
        "UInt16" | "Date" => unsigned(reader, 2),
        "UInt32" | "DateTime" => unsigned(reader, 4),
        "UInt64" => unsigned(reader, 8),
        "Int8" => reader.signed(1).map(Value::Whole),
        "Int16" => reader.signed(2).map(Value::Whole),
        "Int32" | "Date32" => reader.signed(4).map(Value::Whole),
        "Int64" => reader.signed(8).map(Value::Whole),
        "Float32" => {
            let bytes = reader.take(4)?.try_into().expect("four bytes");
            Ok(Value::Float(f64::from(f32::from_le_bytes(bytes))))
        }
        "Float64" => {
            let bytes = reader.take(8)?.try_into().expect("eight bytes");
            Ok(Value::Float(f64::from_le_bytes(bytes)))
        }
        _ if inside(kind, "DateTime64").is_some() => reader.signed(8).map(Value::Whole),
        _ if inside(kind, "DateTime").is_some() => unsigned(reader, 4),
        _ => {
            let Some((precision, scale)) = inside(kind, "Decimal").and_then(decimal) else {
                return Err(reader.bad(format!("type {kind}")));
            };
            let width = match precision {
                1..=9 => 4,
                10..=18 => 8,
                19..=38 => 16,
                _ => return Err(reader.bad(format!("type {kind}"))),
            };
            Ok(Value::Decimal { scaled: reader.signed(width)?, scale })
        }
    }
}

fn decimal(inner: &str) -> Option<(u32, u32)> {
    let (precision, scale) = inner.split_once(',')?;
    Some((precision.trim().parse().ok()?, scale.trim().parse().ok()?))
}

/// A dictionary and indexes into it.
fn low_cardinality(
    reader: &mut Reader<'_>,
    inner: &str,
    height: usize,
) -> Result<Vec<Value>, BadNative> {
    const VERSION: u128 = 1;
    const HAS_OWN_KEYS: u128 = 1 << 9;
    if reader.unsigned(8)? != VERSION {
        return Err(reader.bad("a dictionary of another version than 1"));
    }
    if height == 0 {
        return Ok(Vec::new());
    }
    let flags = reader.unsigned(8)?;
    if flags & HAS_OWN_KEYS == 0 {
        return Err(reader.bad("a dictionary without keys of its own"));
    }
    let width = match flags & 0xFF {
        0 => 1,
        1 => 2,
        2 => 4,
        3 => 8,
        other => return Err(reader.bad(format!("indexes of type {other}"))),
    };
    let count = reader.wide_size()?;
    // The first key of a nullable dictionary stands for NULL.
    let (inner, nullable) = match inside(inner, "Nullable") {
        Some(inner) => (inner, true),
        None => (inner, false),
    };
    let keys = read_column(reader, inner, count)?;
    if reader.wide_size()? != height {
        return Err(reader.bad("not one index per row"));
    }
    let mut values = Vec::with_capacity(height.min(1 << 20));
    for _ in 0..height {
        let index = reader.unsigned(width)?;
        let key = usize::try_from(index).ok().and_then(|index| keys.get(index));
        let Some(key) = key else {
            return Err(reader.bad("an index beyond the dictionary"));
        };
        values.push(if nullable && index == 0 { Value::Null } else { key.clone() });
    }
    Ok(values)
}

/// Ends of the rows, then all keys, then all values.
fn map(
    reader: &mut Reader<'_>,
    key: &str,
    value: &str,
    height: usize,
) -> Result<Vec<Value>, BadNative> {
    let mut ends = Vec::with_capacity(height.min(1 << 20));
    for _ in 0..height {
        ends.push(reader.wide_size()?);
    }
    let total = ends.last().copied().unwrap_or(0);
    let keys = read_column(reader, key, total)?;
    let values = read_column(reader, value, total)?;
    let mut pairs = keys.into_iter().zip(values);
    let mut start = 0;
    let mut maps = Vec::with_capacity(height.min(1 << 20));
    for end in ends {
        let Some(length) = end.checked_sub(start) else {
            return Err(reader.bad("rows of a map that end before they begin"));
        };
        maps.push(Value::Map(pairs.by_ref().take(length).collect()));
        start = end;
    }
    Ok(maps)
}
