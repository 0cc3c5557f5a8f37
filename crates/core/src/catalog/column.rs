//! A column and its type: what the encoder can write.

use std::fmt;

/// The ClickHouse types that the columnar encoder knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ColumnType {
    /// `LowCardinality(String)`: few different values, sent as a dictionary.
    Keyword,
    /// `String`.
    Text,
    /// `Int8`.
    Int8,
    /// `Int16`.
    Int16,
    /// `Int32`.
    Int32,
    /// `Int64`.
    Int64,
    /// `UInt8`.
    UInt8,
    /// `UInt16`.
    UInt16,
    /// `UInt32`.
    UInt32,
    /// `UInt64`.
    UInt64,
    /// `Float32`.
    Float32,
    /// `Float64`.
    Float64,
    /// `Bool`.
    Bool,
    /// `Decimal(precision, scale)`.
    Decimal {
        /// Decimal digits in all, 1 to 38.
        precision: u8,
        /// Digits after the point, 0 to `precision`.
        scale: u8,
    },
    /// `DateTime64(precision, 'UTC')`: an instant, counted from 1970 in units of 10^-precision s.
    Time {
        /// Digits after the second, 0 to 9.
        precision: u8,
    },
    /// `Map(String, String)`.
    TextMap,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// The type of its values.
    pub kind: ColumnType,
    /// Whether NULL is a value.
    pub nullable: bool,
}

impl Column {
    /// A column without NULL.
    #[must_use]
    pub fn new(name: &str, kind: ColumnType) -> Self {
        Self { name: name.to_owned(), kind, nullable: false }
    }

    /// A column with NULL.
    #[must_use]
    pub fn nullable(name: &str, kind: ColumnType) -> Self {
        Self { name: name.to_owned(), kind, nullable: true }
    }

    /// The type as `system.columns` shows it, such as `Nullable(Decimal(18, 8))`.
    #[must_use]
    pub fn clickhouse_type(&self) -> String {
        match (self.kind, self.nullable) {
            (ColumnType::Keyword, true) => "LowCardinality(Nullable(String))".to_owned(),
            (kind, true) => format!("Nullable({kind})"),
            (kind, false) => kind.to_string(),
        }
    }

    /// The column of a live table, from the texts of `system.columns`.
    ///
    /// # Errors
    /// [`UnknownType`] when the encoder cannot write values of that type.
    pub fn parse(name: &str, type_text: &str) -> Result<Self, UnknownType> {
        let unknown = || UnknownType { column: name.to_owned(), type_text: type_text.to_owned() };
        let text: String = type_text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        if text == "LowCardinality(Nullable(String))" {
            return Ok(Self::nullable(name, ColumnType::Keyword));
        }
        let inner = text.strip_prefix("Nullable(").and_then(|rest| rest.strip_suffix(')'));
        let kind = ColumnType::parse(inner.unwrap_or(&text)).ok_or_else(unknown)?;
        let nullable = inner.is_some();
        // ClickHouse has no such types either; a text like this was not written by a server.
        if nullable && matches!(kind, ColumnType::Keyword | ColumnType::TextMap) {
            return Err(unknown());
        }
        Ok(Self { name: name.to_owned(), kind, nullable })
    }
}

impl ColumnType {
    /// Reads a type without `Nullable` and without spaces.
    fn parse(text: &str) -> Option<Self> {
        let arguments = |name: &str| text.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')');
        if let Some(arguments) = arguments("Decimal") {
            let (precision, scale) = arguments.split_once(',')?;
            let (precision, scale) = (number(precision)?, number(scale)?);
            return ((1..=38).contains(&precision) && scale <= precision)
                .then_some(Self::Decimal { precision, scale });
        }
        if let Some(arguments) = arguments("DateTime64") {
            let precision = number(arguments.strip_suffix(",'UTC'")?)?;
            return (precision <= 9).then_some(Self::Time { precision });
        }
        Some(match text {
            "LowCardinality(String)" => Self::Keyword,
            "String" => Self::Text,
            "Int8" => Self::Int8,
            "Int16" => Self::Int16,
            "Int32" => Self::Int32,
            "Int64" => Self::Int64,
            "UInt8" => Self::UInt8,
            "UInt16" => Self::UInt16,
            "UInt32" => Self::UInt32,
            "UInt64" => Self::UInt64,
            "Float32" => Self::Float32,
            "Float64" => Self::Float64,
            "Bool" => Self::Bool,
            "Map(String,String)" => Self::TextMap,
            _ => return None,
        })
    }
}

/// A number of one or two digits, without sign.
fn number(text: &str) -> Option<u8> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keyword => f.write_str("LowCardinality(String)"),
            Self::Text => f.write_str("String"),
            Self::Decimal { precision, scale } => write!(f, "Decimal({precision}, {scale})"),
            Self::Time { precision } => write!(f, "DateTime64({precision}, 'UTC')"),
            Self::TextMap => f.write_str("Map(String, String)"),
            Self::Int8
            | Self::Int16
            | Self::Int32
            | Self::Int64
            | Self::UInt8
            | Self::UInt16
            | Self::UInt32
            | Self::UInt64
            | Self::Float32
            | Self::Float64
            | Self::Bool => write!(f, "{self:?}"),
        }
    }
}

/// A column has a type that the encoder cannot write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "column {column} has type {type_text}, which cannot be written; known are String, \
     LowCardinality(String), Int8 to Int64, UInt8 to UInt64, Float32, Float64, Bool, \
     Decimal(P, S) up to 38 digits, DateTime64(P, 'UTC'), these within Nullable, and \
     Map(String, String)"
)]
pub struct UnknownType {
    /// The column.
    pub column: String,
    /// Its type, as the server named it.
    pub type_text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_as_they_stand_in_system_columns() {
        for text in [
            "LowCardinality(String)",
            "LowCardinality(Nullable(String))",
            "String",
            "Nullable(String)",
            "Int8",
            "Nullable(Int16)",
            "Int32",
            "Int64",
            "UInt8",
            "UInt16",
            "UInt32",
            "Nullable(UInt64)",
            "Float32",
            "Nullable(Float64)",
            "Bool",
            "Decimal(18, 8)",
            "Nullable(Decimal(38, 0))",
            "Decimal(1, 1)",
            "DateTime64(3, 'UTC')",
            "Nullable(DateTime64(9, 'UTC'))",
            "Map(String, String)",
        ] {
            let column = Column::parse("c", text).expect("is known");
            assert_eq!(column.clickhouse_type(), text);
        }
        let dense = Column::parse("c", "DateTime64(3,'UTC')").expect("spaces do not matter");
        assert_eq!(dense.clickhouse_type(), "DateTime64(3, 'UTC')");
    }

    #[test]
    fn other_types_are_refused_by_name() {
        for text in [
            "",
            "UUID",
            "int8",
            "Date",
            "DateTime",
            "DateTime64(3)",
            "DateTime64(3, 'Europe/Berlin')",
            "DateTime64(10, 'UTC')",
            "Decimal(39, 8)",
            "Decimal(8, 9)",
            "Decimal(0, 0)",
            "Decimal(18)",
            "Decimal(+8, 2)",
            "Array(String)",
            "LowCardinality(UInt8)",
            "Nullable(LowCardinality(String))",
            "Nullable(Map(String, String))",
            "Nullable(Nullable(Int8))",
            "Map(String, UInt8)",
            "Int128",
            "UInt256",
            "Decimal(, 2)",
        ] {
            let refused = Column::parse("price", text).expect_err("is not known");
            let text = format!("column price has type {text}, which cannot be written");
            assert!(refused.to_string().starts_with(&text), "{refused}");
        }
    }
}
