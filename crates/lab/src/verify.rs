//! Verdict V: what is visible in ClickHouse against what a plan must lead to, row by row.

use std::time::{Duration, Instant};

use crate::model::Expected;
use crate::plan::Kind;

mod letters;
mod rows;
mod server;
mod verdict;

pub(crate) use server::http_client;
pub use server::{Server, ServerError};
pub use verdict::{LetterVerdict, Sample, TableVerdict, Verdict, Wrong};

/// How many wrong rows are shown of each table.
const SAMPLES: usize = 10;

/// Compares everything that is visible with what is expected.
///
/// # Errors
/// When ClickHouse cannot be asked, or answers in a way that cannot be read.
pub async fn verify(server: &Server, expected: &Expected) -> Result<Verdict, ServerError> {
    let start = Instant::now();
    let mut samples = Vec::new();
    let mut tables = Vec::new();
    for kind in Kind::ALL {
        tables.push(rows::compare(server, expected, kind, &mut samples).await?);
    }
    let letters = letters::compare(server, expected, &mut samples).await?;
    let produced = expected.plan().messages;
    Ok(Verdict { produced, tables, letters, samples, elapsed: start.elapsed() })
}

/// How far the tables are, by their raw row counts: cheap, and never less than what is visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// Rows of all tables without `FINAL`, dead letters included.
    pub rows: u64,
    /// Rows and dead letters that must be visible in the end.
    pub expected: u64,
}

/// Asks how far the tables are.
///
/// # Errors
/// When ClickHouse cannot be asked.
pub async fn arrived(server: &Server, expected: &Expected) -> Result<Arrived, ServerError> {
    let mut rows = 0;
    for kind in Kind::ALL {
        rows += server.count(kind.table()).await?;
    }
    rows += server.count("dead_letters").await?;
    Ok(Arrived { rows, expected: expected.visible_in_all() + expected.dead_letters() })
}

/// Waits until nothing is missing, or until `deadline`, and returns the last verdict either way.
/// Looks at row counts until they could do, and compares only then. `progress` sees each look.
///
/// # Errors
/// When ClickHouse still cannot be asked at the deadline.
pub async fn wait_until_complete(
    server: &Server,
    expected: &Expected,
    deadline: Duration,
    mut progress: impl FnMut(Arrived),
) -> Result<Verdict, ServerError> {
    let start = Instant::now();
    // A comparison costs as long as it takes; between two of them at least that long passes.
    let mut pause = Duration::from_millis(100);
    loop {
        let late = start.elapsed() >= deadline;
        let enough = match arrived(server, expected).await {
            Ok(arrived) => {
                progress(arrived);
                arrived.rows >= arrived.expected
            }
            Err(error) if late => return Err(error),
            Err(_away) => false,
        };
        if enough || late {
            match verify(server, expected).await {
                Ok(verdict) if verdict.holds() || late => return Ok(verdict),
                Ok(verdict) => pause = pause.max(verdict.elapsed),
                Err(error) if late => return Err(error),
                Err(_away) => {}
            }
        }
        tokio::time::sleep(pause.min(deadline.saturating_sub(start.elapsed()))).await;
    }
}
