//! A table: columns, identity of a row, partition.

use std::fmt;

use super::column::Column;
use crate::units::Partition;

/// A `ReplacingMergeTree(version)` that the bridge writes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name, without the database.
    pub name: String,
    /// The columns that are written, in the order of [cells](crate::block::Cell).
    pub columns: Vec<Column>,
    /// Names of the columns that make a row's identity.
    pub sort_key: Vec<String>,
    /// How ClickHouse cuts the table in parts that never merge; `None`: not at all.
    pub partition: Option<PartitionKey>,
}

impl Table {
    /// The column whose greatest value wins among rows of one identity.
    pub const VERSION: &'static str = "version";

    /// Index of the column with this name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }
}

/// A partition key that is a calendar unit of a time column of the sort key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionKey {
    /// The calendar unit.
    pub unit: PartitionUnit,
    /// A column of type [`Time`](super::ColumnType::Time), never NULL.
    pub column: String,
}

/// Calendar unit of a partition, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartitionUnit {
    /// `toYear`: 2024.
    Year,
    /// `toYYYYMM`: 202401.
    Month,
    /// `toYYYYMMDD`: 20240131.
    Day,
}

impl PartitionKey {
    /// Reads `system.tables.partition_key`, such as `toYYYYMM(timestamp)`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (function, column) = text.trim().strip_suffix(')')?.split_once('(')?;
        let unit =
            PartitionUnit::ALL.into_iter().find(|unit| unit.function() == function.trim())?;
        let column = column.trim();
        let column = column.strip_prefix('`').and_then(|c| c.strip_suffix('`')).unwrap_or(column);
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        (!column.is_empty() && column.chars().all(plain))
            .then(|| Self { unit, column: column.to_owned() })
    }
}

impl fmt::Display for PartitionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.unit.function(), self.column)
    }
}

impl PartitionUnit {
    const ALL: [Self; 3] = [Self::Year, Self::Month, Self::Day];

    fn function(self) -> &'static str {
        match self {
            Self::Year => "toYear",
            Self::Month => "toYYYYMM",
            Self::Day => "toYYYYMMDD",
        }
    }

    /// The partition of an instant and the days it covers, as days since 1970: first, and first
    /// of the next one.
    pub(crate) fn around(self, day: i64) -> (Partition, i64, i64) {
        let (year, month, day_of_month) = civil(day);
        let (from, until) = match self {
            Self::Year => (days(year, 1), days(year + 1, 1)),
            Self::Month if month == 12 => (days(year, 12), days(year + 1, 1)),
            Self::Month => (days(year, month), days(year, month + 1)),
            Self::Day => (day, day + 1),
        };
        let number = match self {
            Self::Year => year,
            Self::Month => year * 100 + month,
            Self::Day => (year * 100 + month) * 100 + day_of_month,
        };
        // Years before 0 lie beyond what DateTime64 holds; the server decides on such rows.
        (Partition(u32::try_from(number).unwrap_or(0)), from, until)
    }
}

/// Days from 1970-01-01 to the first of a month of the proleptic Gregorian calendar.
///
/// Howard Hinnant, "chrono-compatible low-level date algorithms": years begin in March, so that
/// the leap day is the last one.
fn days(year: i64, month: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Year, month and day of month of a day since 1970-01-01; the inverse of [`days`].
fn civil(day: i64) -> (i64, i64, i64) {
    let day = day + 719_468;
    let era = day.div_euclid(146_097);
    let of_era = day.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day_of_year - (153 * march_month + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_civil_agree_with_known_dates() {
        for (day, date) in [
            (0, (1970, 1, 1)),
            (-1, (1969, 12, 31)),
            (19_747, (2024, 1, 25)),
            (19_782, (2024, 2, 29)),
            (19_783, (2024, 3, 1)),
            (-25_567, (1900, 1, 1)),
            (11_016, (2000, 2, 29)),
            (120_529, (2299, 12, 31)),
        ] {
            assert_eq!(civil(day), date);
            let (year, month, of_month) = date;
            assert_eq!(days(year, month) + of_month - 1, day);
        }
    }

    /// Walks every day from 1890 to 2310: partitions follow each other without gap or overlap.
    #[test]
    fn partitions_tile_the_calendar() {
        for unit in PartitionUnit::ALL {
            let mut until = None;
            for day in -29_220..124_000 {
                let (partition, from, next) = unit.around(day);
                assert!((from..next).contains(&day), "{unit:?} {day}: {from}..{next}");
                if until.is_some_and(|(end, _)| end <= day) {
                    assert_eq!(until.map(|(end, _)| end), Some(from));
                    assert!(until.is_some_and(|(_, before)| before < partition));
                } else if let Some(before) = until {
                    assert_eq!(before, (next, partition));
                }
                until = Some((next, partition));
            }
        }
        assert_eq!(PartitionUnit::Month.around(19_782).0, Partition(202_402));
        assert_eq!(PartitionUnit::Year.around(-1).0, Partition(1969));
        assert_eq!(PartitionUnit::Day.around(0).0, Partition(19_700_101));
    }

    #[test]
    fn a_partition_key_is_read_from_the_text_of_system_tables() {
        let key = PartitionKey::parse("toYYYYMM(timestamp)").expect("a key");
        assert_eq!((key.unit, key.column.as_str()), (PartitionUnit::Month, "timestamp"));
        assert_eq!(key.to_string(), "toYYYYMM(timestamp)");
        for refused in
            ["", "timestamp", "toMonday(t)", "toYear(a + b)", "(toYear(a), b)", "toYear()"]
        {
            assert_eq!(PartitionKey::parse(refused), None, "{refused}");
        }
    }
}
