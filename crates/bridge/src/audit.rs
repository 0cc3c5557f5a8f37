//! Completeness: are the rows there that the log says must be, with the values it says?
//!
//! Records are decoded as an instance would, and each block of rows is sent to ClickHouse with one
//! question: which of these are not visible as they are here? So the values are compared by the
//! server, column by column, and no text of a message ever becomes part of a statement.

mod finding;
mod question;
mod ttl;

pub use finding::{Difference, Finding, Identity};

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use data_bridge_core::block::Block;
use data_bridge_core::catalog::{Catalog, Severity, Table};
use data_bridge_core::units::TableId;
use data_bridge_core::verdict::Failure;

use crate::sink::clickhouse::{ClickHouse, Given, Question};
use crate::sink::deliver::{Refused, deliver, patiently};
use crate::sink::tables::{Found, describe, look_at};
use finding::Answer;

/// How long the comparison of one block may take. A block of 200,000 rows takes about a second.
const COMPARISON: Duration = Duration::from_mins(5);

/// Why an audit cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// A table cannot be compared.
    #[error("{0}")]
    Table(String),
    /// ClickHouse cannot be asked.
    #[error(transparent)]
    Server(#[from] Failure),
    /// ClickHouse answers something else than was asked.
    #[error("ClickHouse's answer cannot be read: {0}")]
    Answer(String),
}

/// What became of the rows of one block.
#[derive(Debug, Default)]
pub struct Checked {
    /// What is not as it must be.
    pub findings: Vec<Finding>,
    /// Rows that are past the table's TTL, and gone.
    pub expired: u64,
    /// Rows that are not in their table, since they lie among the dead letters.
    pub buried: u64,
    /// Rows of the block to send, so that they are there.
    pub missing: Vec<u32>,
}

/// Compares blocks with tables.
#[derive(Debug)]
pub struct Auditor {
    clickhouse: ClickHouse,
    catalog: Arc<Catalog>,
    /// Per table, its question and the structure of its blocks.
    tables: BTreeMap<TableId, Prepared>,
    /// Tables whose rows tell where they came from.
    sourced: Vec<String>,
}

#[derive(Debug)]
struct Prepared {
    statement: String,
    structure: String,
}

impl Auditor {
    /// Looks at the tables that will be compared, `dead_letters` among them.
    ///
    /// # Errors
    /// When one of them is not as the bridge writes it, or ClickHouse cannot be asked.
    pub async fn new(
        clickhouse: ClickHouse,
        catalog: Arc<Catalog>,
        tables: impl IntoIterator<Item = TableId>,
    ) -> Result<Self, AuditError> {
        let letters = catalog.dead_letters();
        let mut prepared = BTreeMap::new();
        let mut sourced = Vec::new();
        for id in tables.into_iter().chain([letters]) {
            let table = catalog.table(id);
            must_fit(&clickhouse, table).await?;
            let live = patiently(|| describe(&clickhouse, &table.name)).await?;
            let ttl = live.and_then(|live| ttl::expired(&live.engine_full));
            let database = clickhouse.database();
            let statement = if id == letters {
                question::of_letters(database, table)
            } else {
                question::of_rows(database, table, ttl.as_deref())
            };
            if id != letters && question::has_origin(table) {
                sourced.push(table.name.clone());
            }
            prepared.insert(id, Prepared { statement, structure: question::structure(table) });
        }
        sourced.sort();
        sourced.dedup();
        Ok(Self { clickhouse, catalog, tables: prepared, sourced })
    }

    /// Compares the rows of a block.
    ///
    /// # Errors
    /// When ClickHouse cannot be asked.
    pub async fn check(&self, block: &Block) -> Result<Checked, AuditError> {
        let id = block.shelf().table;
        let table = self.catalog.table(id);
        let Some(Prepared { statement, structure }) = self.tables.get(&id) else {
            return Err(AuditError::Table(format!("table {} was not looked at", table.name)));
        };
        let given = Given {
            name: question::EXPECTED,
            structure: structure.clone(),
            format: "Native",
            data: question::numbered(block),
        };
        let answer = self.ask(statement, &given).await?;
        let mut answers = finding::read(&answer, table).map_err(AuditError::Answer)?;
        if id == self.catalog.dead_letters() {
            self.leave_out_rows(&mut answers, &given).await?;
        }
        let mut checked = Checked::default();
        for Answer { row, what } in answers {
            match what {
                finding::What::Expired => checked.expired += 1,
                finding::What::Buried => checked.buried += 1,
                finding::What::Found(finding) => {
                    checked.missing.push(row);
                    checked.findings.push(finding);
                }
            }
        }
        checked.missing.sort_unstable();
        Ok(checked)
    }

    /// Sends rows of a block, with origin, position and version as they are.
    ///
    /// # Errors
    /// When ClickHouse cannot be asked, or refuses the table.
    pub async fn repair(&self, block: &Block, rows: &[u32]) -> Result<Vec<Refused>, AuditError> {
        let table = self.catalog.table(block.shelf().table);
        let mut refused = Vec::new();
        for run in runs(rows) {
            refused.extend(deliver(&self.clickhouse, table, block, run).await?);
        }
        Ok(refused)
    }

    /// A letter that is missing may be a row: its route was another one when it came.
    async fn leave_out_rows(
        &self,
        answers: &mut Vec<Answer>,
        given: &Given,
    ) -> Result<(), AuditError> {
        let is_missing = |answer: &Answer| answer.what.is_missing();
        for table in &self.sourced {
            if !answers.iter().any(is_missing) {
                return Ok(());
            }
            let statement = question::of_origins(self.clickhouse.database(), table);
            let found = self.ask(&statement, given).await?;
            let found: Vec<u32> = found.lines().filter_map(|line| line.parse().ok()).collect();
            answers.retain(|answer| !is_missing(answer) || !found.contains(&answer.row));
        }
        Ok(())
    }

    async fn ask(&self, statement: &str, given: &Given) -> Result<String, Failure> {
        let question =
            Question { statement, parameters: &[], given: Some(given), limit: COMPARISON };
        patiently(|| self.clickhouse.ask(&question)).await
    }
}

/// Refuses a table that a comparison would misread.
async fn must_fit(clickhouse: &ClickHouse, table: &Table) -> Result<(), AuditError> {
    let name = format!("{}.{}", clickhouse.database(), table.name);
    match patiently(|| look_at(clickhouse, table)).await? {
        Found::Missing => Err(AuditError::Table(format!("table {name} does not exist"))),
        Found::Table { mismatches } => {
            let error = mismatches.iter().find(|found| found.severity == Severity::Error);
            error.map_or(Ok(()), |error| Err(AuditError::Table(format!("{name}: {error}"))))
        }
    }
}

/// Rows that follow each other, as ranges; `rows` is sorted.
fn runs(rows: &[u32]) -> Vec<Range<u32>> {
    let mut runs: Vec<Range<u32>> = Vec::new();
    for row in rows {
        match runs.last_mut() {
            Some(last) if last.end == *row => last.end += 1,
            Some(_) | None => runs.push(*row..*row + 1),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_follow_each_other_are_one_run() {
        assert_eq!(runs(&[]), []);
        assert_eq!(runs(&[3, 4, 5, 9, 11, 12]), [3..6, 9..10, 11..13]);
    }
}
