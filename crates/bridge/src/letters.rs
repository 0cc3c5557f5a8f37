//! Dead letters as an operator meets them: found, looked at, replayed.

mod desk;
mod letter;
mod replay;

pub use desk::{Desk, Excerpt, Page, Replayed, Row};
pub use letter::{Letter, LetterId, Whole};
pub use replay::{Outcome, Replayer};

use std::time::Duration;

use data_bridge_core::catalog::{Catalog, Severity};
use data_bridge_core::verdict::Failure;

use crate::sink::clickhouse::{ClickHouse, Given, Question, quoted};
use crate::sink::deliver::patiently;
use crate::sink::tables::{Found, describe, look_at};

/// How long one question about letters may take.
const ANSWER: Duration = Duration::from_mins(2);

/// Why letters cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LettersError {
    /// The table is not as the bridge writes it.
    #[error("{0}")]
    Table(String),
    /// ClickHouse cannot be asked.
    #[error(transparent)]
    Server(#[from] Failure),
    /// ClickHouse answers something else than was asked.
    #[error("ClickHouse's answer cannot be read: {0}")]
    Answer(String),
    /// It took longer than somebody waits.
    #[error("ClickHouse did not answer within {0} s")]
    Late(u64),
}

/// Which letters are meant; what is not set does not restrict.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// One of these routes.
    pub routes: Option<Vec<String>>,
    /// This reason.
    pub reason: Option<String>,
    /// From this partition or stream.
    pub origin: Option<String>,
    /// At this position.
    pub position: Option<u64>,
    /// Received at this time or later, in ms since 1970.
    pub from_ms: Option<i64>,
    /// Received before this time.
    pub to_ms: Option<i64>,
    /// Whether they were replayed.
    pub replayed: Option<bool>,
}

/// Letters of one route and one reason.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Group {
    /// The route; empty where none took the subject.
    pub route: String,
    /// Why they were refused.
    pub reason: String,
    /// How many.
    pub letters: u64,
    /// How many of them were replayed.
    pub replayed: u64,
    /// When the oldest was received, in ms since 1970.
    pub oldest_ms: i64,
    /// When the youngest was.
    pub newest_ms: i64,
}

/// The table `dead_letters`.
#[derive(Clone, Debug)]
pub struct Letters {
    clickhouse: ClickHouse,
    /// The table with its database, quoted.
    target: String,
    /// All columns that an INSERT may name, quoted.
    columns: Vec<String>,
}

impl Letters {
    /// Looks at the table first.
    ///
    /// # Errors
    /// When it is missing or of another shape, or ClickHouse cannot be asked.
    pub async fn open(clickhouse: ClickHouse, catalog: &Catalog) -> Result<Self, LettersError> {
        let table = catalog.table(catalog.dead_letters());
        let name = format!("{}.{}", clickhouse.database(), table.name);
        match patiently(|| look_at(&clickhouse, table)).await? {
            Found::Missing => {
                return Err(LettersError::Table(format!("table {name} does not exist")));
            }
            Found::Table { mismatches } => {
                let error = mismatches.iter().find(|found| found.severity == Severity::Error);
                if let Some(error) = error {
                    return Err(LettersError::Table(format!("{name}: {error}")));
                }
            }
        }
        let live = patiently(|| describe(&clickhouse, &table.name)).await?.unwrap_or_default();
        let written = live.columns.iter().filter(|column| {
            !matches!(column.default_kind.as_str(), "MATERIALIZED" | "ALIAS" | "EPHEMERAL")
        });
        let columns = written.map(|column| quoted(&column.name)).collect();
        let target = format!("{}.{}", quoted(clickhouse.database()), quoted(&table.name));
        Ok(Self { clickhouse, target, columns })
    }

    /// Letters by route and reason, the most frequent first.
    ///
    /// # Errors
    /// When ClickHouse cannot be asked.
    pub async fn groups(&self, filter: &Filter) -> Result<Vec<Group>, LettersError> {
        let (condition, parameters) = filter.condition();
        let statement = format!(
            "SELECT toString(route), toString(reason), toString(count()), \
             toString(countIf(isNotNull(replayed_at))), \
             toString(toUnixTimestamp64Milli(min(received_at))), \
             toString(toUnixTimestamp64Milli(max(received_at))) \
             FROM {} FINAL WHERE {condition} GROUP BY route, reason \
             ORDER BY count() DESC, route, reason FORMAT JSONCompactEachRow",
            self.target
        );
        let answer = self.ask(&statement, &parameters, None).await?;
        letter::lines(&answer, |[route, reason, letters, replayed, oldest, newest]| {
            Ok(Group {
                letters: letter::number(&letters)?,
                replayed: letter::number(&replayed)?,
                oldest_ms: letter::number(&oldest)?,
                newest_ms: letter::number(&newest)?,
                route,
                reason,
            })
        })
    }

    /// The youngest letters first, at most `limit`.
    ///
    /// # Errors
    /// When ClickHouse cannot be asked.
    pub async fn newest(&self, filter: &Filter, limit: u64) -> Result<Vec<Letter>, LettersError> {
        let (condition, parameters) = filter.condition();
        let order = "received_at DESC, origin, origin_position DESC, reason";
        self.list(&condition, &parameters, order, limit).await
    }

    /// Letters in the order of their ids, from behind `after` on; at most `limit`.
    ///
    /// # Errors
    /// When ClickHouse cannot be asked.
    pub async fn page(
        &self,
        filter: &Filter,
        after: Option<&LetterId>,
        limit: u64,
    ) -> Result<Vec<Letter>, LettersError> {
        let (mut condition, mut parameters) = filter.condition();
        if let Some(after) = after {
            condition.push_str(
                " AND (origin, origin_position, received_at, reason) > ({after_origin:String}, \
                 {after_position:UInt64}, fromUnixTimestamp64Milli({after_received:Int64}), \
                 {after_reason:String})",
            );
            parameters.extend([
                ("after_origin", after.origin.clone()),
                ("after_position", after.position.to_string()),
                ("after_received", after.received_ms.to_string()),
                ("after_reason", after.reason.clone()),
            ]);
        }
        let order = "origin, origin_position, received_at, reason";
        self.list(&condition, &parameters, order, limit).await
    }

    /// Messages of letters, byte for byte.
    ///
    /// # Errors
    /// When ClickHouse cannot be asked.
    pub async fn whole(&self, ids: &[LetterId]) -> Result<Vec<Whole>, LettersError> {
        let statement = format!(
            "SELECT {}, hex(key), hex(payload), arrayMap(name -> hex(name), mapKeys(headers)), \
             arrayMap(value -> hex(value), mapValues(headers)) FROM {} FINAL WHERE {} \
             ORDER BY origin, origin_position, received_at, reason FORMAT JSONCompactEachRow",
            letter::FIELDS,
            self.target,
            letter::AMONG_WANTED,
        );
        let answer = self.ask(&statement, &[], Some(&letter::wanted(ids))).await?;
        answer.lines().map(Whole::read).collect::<Result<_, _>>().map_err(LettersError::Answer)
    }

    /// Says of letters that they were replayed: a newer version of each row. Their bytes stay as
    /// they are, since ClickHouse itself copies them.
    ///
    /// # Errors
    /// When ClickHouse cannot be asked.
    pub async fn mark_replayed(&self, ids: &[LetterId], at_ms: i64) -> Result<(), LettersError> {
        if ids.is_empty() {
            return Ok(());
        }
        let statement = format!(
            "INSERT INTO {target} ({columns}) SELECT {values} FROM {target} FINAL WHERE {} \
             SETTINGS max_partitions_per_insert_block = 0",
            letter::AMONG_WANTED,
            target = self.target,
            columns = self.columns.join(", "),
            values = self.columns.iter().map(|name| next(name)).collect::<Vec<_>>().join(", "),
        );
        let at = [("replayed_at", at_ms.to_string())];
        self.ask(&statement, &at, Some(&letter::wanted(ids))).await?;
        Ok(())
    }

    async fn list(
        &self,
        condition: &str,
        parameters: &[(&str, String)],
        order: &str,
        limit: u64,
    ) -> Result<Vec<Letter>, LettersError> {
        let statement = format!(
            "SELECT {} FROM {} FINAL WHERE {condition} ORDER BY {order} LIMIT {limit} \
             FORMAT JSONCompactEachRow",
            letter::FIELDS,
            self.target
        );
        let answer = self.ask(&statement, parameters, None).await?;
        letter::lines(&answer, Letter::read)
    }

    async fn ask(
        &self,
        statement: &str,
        parameters: &[(&str, String)],
        given: Option<&Given>,
    ) -> Result<String, Failure> {
        let question = Question { statement, parameters, given, limit: ANSWER };
        patiently(|| self.clickhouse.ask(&question)).await
    }
}

/// What a column of a replayed letter's next version holds.
fn next(column: &str) -> String {
    match column {
        "`version`" => "`version` + 1".to_owned(),
        "`replayed_at`" => "fromUnixTimestamp64Milli({replayed_at:Int64})".to_owned(),
        other => other.to_owned(),
    }
}

impl Filter {
    /// The condition, and the values it speaks of.
    fn condition(&self) -> (String, Vec<(&'static str, String)>) {
        let mut conditions = vec!["1".to_owned()];
        let mut parameters = Vec::new();
        if let Some(routes) = &self.routes {
            // Names go as values: a route may be called anything.
            conditions.push("has(splitByChar('\\0', {routes:String}), toString(route))".to_owned());
            parameters.push(("routes", routes.join("\0")));
        }
        let mut add = |condition: &str, name, value: Option<String>| {
            if let Some(value) = value {
                conditions.push(condition.to_owned());
                parameters.push((name, value));
            }
        };
        add("reason = {reason:String}", "reason", self.reason.clone());
        add("origin = {origin:String}", "origin", self.origin.clone());
        let position = self.position.map(|position| position.to_string());
        add("origin_position = {position:UInt64}", "position", position);
        let from = self.from_ms.map(|ms| ms.to_string());
        add("received_at >= fromUnixTimestamp64Milli({from:Int64})", "from", from);
        let to = self.to_ms.map(|ms| ms.to_string());
        add("received_at < fromUnixTimestamp64Milli({to:Int64})", "to", to);
        match self.replayed {
            Some(true) => conditions.push("isNotNull(replayed_at)".to_owned()),
            Some(false) => conditions.push("isNull(replayed_at)".to_owned()),
            None => {}
        }
        (conditions.join(" AND "), parameters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_of_a_filter_becomes_part_of_the_statement() {
        let hostile = "x' OR 1 --";
        let filter = Filter {
            routes: Some(vec![hostile.to_owned()]),
            reason: Some(hostile.to_owned()),
            origin: Some(hostile.to_owned()),
            position: Some(7),
            from_ms: Some(1),
            to_ms: Some(2),
            replayed: Some(false),
        };
        let (condition, parameters) = filter.condition();
        assert!(!condition.contains(hostile), "{condition}");
        assert_eq!(parameters.len(), 6);
        assert!(Filter::default().condition().1.is_empty());
    }

    #[test]
    fn a_replayed_letter_is_newer_than_its_first_version_and_keeps_the_rest() {
        assert_eq!(next("`version`"), "`version` + 1");
        assert!(next("`replayed_at`").contains("{replayed_at:Int64}"));
        assert_eq!(next("`payload`"), "`payload`");
    }
}
