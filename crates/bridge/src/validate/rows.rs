//! What ClickHouse has of the validation's messages, and how its inserts are made slow.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use data_bridge_core::verdict::Failure;

use crate::sink::clickhouse::{ClickHouse, literal, quoted};

/// `ILLEGAL_FINAL`: the table's engine keeps every copy.
const ILLEGAL_FINAL: i32 = 181;
/// Before the names of views that make inserts slow: what an earlier run left is found by it.
const SLOW: &str = "data_bridge_validate_slow_";
/// Longest that one call of ClickHouse's `sleep` may take.
const LONGEST_SLEEP: f64 = 3.0;

/// The rows of one symbol.
#[derive(Clone, Debug)]
pub(super) struct Rows {
    pub(super) clickhouse: ClickHouse,
    pub(super) table: String,
    pub(super) symbol: String,
    pub(super) first_id: u64,
}

/// Rows of a range of messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Visible {
    /// With `FINAL`.
    pub(super) rows: u64,
    /// Different events among them.
    pub(super) events: u64,
}

impl Rows {
    fn target(&self) -> String {
        format!("{}.{}", quoted(self.clickhouse.database()), quoted(&self.table))
    }

    /// What is visible of these messages.
    pub(super) async fn visible(&self, numbers: &Range<u64>) -> Result<Visible, Failure> {
        let from = |mode: &str| {
            format!(
                "SELECT count(), uniqExact(event_id) FROM {}{mode} WHERE symbol = {} AND event_id \
                 >= {} AND event_id < {}",
                self.target(),
                literal(&self.symbol),
                self.first_id + numbers.start,
                self.first_id + numbers.end,
            )
        };
        let answer = match self.clickhouse.query(&from(" FINAL")).await {
            // Every row is visible then.
            Err(Failure::Server { code: ILLEGAL_FINAL, .. }) => {
                self.clickhouse.query(&from("")).await?
            }
            other => other?,
        };
        let mut numbers = answer.split_whitespace().map(|word| word.parse().unwrap_or(0));
        Ok(Visible { rows: numbers.next().unwrap_or(0), events: numbers.next().unwrap_or(0) })
    }

    /// Why copies would stay, when the table's engine keeps them.
    pub(super) async fn keeps_copies(&self) -> Option<String> {
        let query = format!(
            "SELECT engine FROM system.tables WHERE database = {} AND name = {}",
            literal(self.clickhouse.database()),
            literal(&self.table)
        );
        let engine = self.clickhouse.query(&query).await.ok()?;
        let engine = engine.trim();
        let collapses = engine.is_empty()
            || engine.contains("Replacing")
            || matches!(engine, "Distributed" | "SharedMergeTree");
        (!collapses).then(|| {
            format!(
                "{}.{} is a {engine}, which keeps every copy: deduplication needs \
                 ReplacingMergeTree(version), see `data-bridge init --dry-run`",
                self.clickhouse.database(),
                self.table
            )
        })
    }

    /// The newest position of each origin.
    pub(super) async fn fronts(&self) -> Result<BTreeMap<String, u64>, Failure> {
        let query = format!(
            "SELECT origin, max(origin_position) FROM {} WHERE symbol = {} GROUP BY origin",
            self.target(),
            literal(&self.symbol)
        );
        let answer = self.clickhouse.query(&query).await?;
        let read = |line: &str| {
            let (origin, position) = line.split_once('\t')?;
            Some((origin.to_owned(), position.parse().ok()?))
        };
        Ok(answer.lines().filter_map(read).collect())
    }

    /// Makes every insert take `pause` longer, until [`Self::quick`] or `at_most` from now.
    pub(super) async fn slow(&self, pause: Duration, at_most: Duration) -> Result<String, Failure> {
        let view = format!("{SLOW}{}", self.symbol.to_lowercase().replace('.', "_"));
        // Each call sleeps 3 s at most; calls that are alike would be made once.
        let mut sleeps = Vec::new();
        let mut left = pause.as_secs_f64();
        while left > 0.01 {
            let length = left.min(LONGEST_SLEEP - 0.01 * f64::from(index(sleeps.len())));
            sleeps.push(format!("sleep({length:.2}) AS s{}", sleeps.len()));
            left -= length;
        }
        let statement = format!(
            "CREATE MATERIALIZED VIEW {}.{} ENGINE = Null AS SELECT {} FROM (SELECT count() AS c \
             FROM {} WHERE toUnixTimestamp(now()) < {} HAVING c > 0)",
            quoted(self.clickhouse.database()),
            quoted(&view),
            sleeps.join(", "),
            self.target(),
            jiff::Timestamp::now().as_second() + i64::try_from(at_most.as_secs()).unwrap_or(60),
        );
        self.clickhouse.query(&statement).await?;
        Ok(view)
    }

    /// Takes the view away.
    pub(super) async fn quick(&self, view: &str) -> Result<(), Failure> {
        let database = quoted(self.clickhouse.database());
        let statement = format!("DROP TABLE IF EXISTS {database}.{} SYNC", quoted(view));
        self.clickhouse.query(&statement).await.map(drop)
    }

    /// Takes away what a run that was killed has left.
    pub(super) async fn sweep(&self) -> Result<(), Failure> {
        let query = format!(
            "SELECT name FROM system.tables WHERE database = {} AND startsWith(name, {})",
            literal(self.clickhouse.database()),
            literal(SLOW)
        );
        for view in self.clickhouse.query(&query).await?.lines() {
            self.quick(view).await?;
        }
        Ok(())
    }
}

fn index(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(0)
}

/// How long partitions went without a new row.
#[derive(Debug)]
pub(super) struct Gaps {
    fronts: BTreeMap<String, (u64, Instant)>,
    longest: Duration,
}

impl Gaps {
    /// Of these origins, from now on.
    pub(super) fn of(origins: impl Iterator<Item = String>) -> Self {
        let now = Instant::now();
        Self { fronts: origins.map(|origin| (origin, (0, now))).collect(), longest: Duration::ZERO }
    }

    /// Takes what is there now.
    pub(super) fn look(&mut self, fronts: &BTreeMap<String, u64>) {
        let now = Instant::now();
        for (origin, (position, since)) in &mut self.fronts {
            if let Some(front) = fronts.get(origin)
                && front > position
            {
                self.longest = self.longest.max(now.duration_since(*since));
                (*position, *since) = (*front, now);
            }
        }
    }

    /// Forgets what was before.
    pub(super) fn begin(&mut self) {
        let now = Instant::now();
        self.longest = Duration::ZERO;
        for (_, since) in self.fronts.values_mut() {
            *since = now;
        }
    }

    /// The longest time without a row of any one partition, the one that still lasts included.
    pub(super) fn longest(&self) -> Duration {
        let lasting = self.fronts.values().map(|(_, since)| since.elapsed());
        lasting.max().unwrap_or_default().max(self.longest)
    }

    /// Whether each partition had a row since `begin` and within `recently`.
    pub(super) fn all_flow(&self, recently: Duration) -> bool {
        self.fronts.values().all(|(position, since)| *position > 0 && since.elapsed() < recently)
    }
}
