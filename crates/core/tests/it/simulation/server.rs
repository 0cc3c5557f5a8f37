//! The server's side: what it answers to an insert, and whether the insert happened.

use std::time::Duration;

use data_bridge_core::units::TableId;
use data_bridge_core::verdict::{Failure, Verdict};

use super::group::Kind;
use super::instance::Row;

/// A table that is away, forbidden, or short of memory for a while.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    /// None: all tables.
    pub(super) table: Option<TableId>,
    pub(super) code: i32,
    pub(super) until: u64,
}

#[derive(Debug)]
pub(super) struct Server {
    pub(super) letters: TableId,
    pub(super) faults: Vec<Fault>,
    /// How often an answer is lost, or an insert fails for no reason.
    pub(super) unrest: f64,
    /// Slowest insert, µs.
    pub(super) slowest: u64,
}

/// How an insert ended.
pub(super) struct Answer {
    pub(super) happened: bool,
    pub(super) failure: Option<Failure>,
}

pub(super) fn refused(code: i32) -> Failure {
    Failure::Server { code, name: String::new(), message: String::from("refused"), row: None }
}

const NOTHING_WRONG: Answer = Answer { happened: true, failure: None };

impl Server {
    pub(super) fn insert(
        &mut self,
        table: TableId,
        rows: &[Row],
        now: u64,
        rng: &mut fastrand::Rng,
    ) -> Answer {
        self.faults.retain(|fault| fault.until > now);
        for fault in &self.faults {
            if fault.table.is_some_and(|of| of != table) {
                continue;
            }
            let failure = match fault.code {
                0 => Failure::Connect(String::from("refused")),
                // Memory suffices for a few rows.
                241 if rows.len() <= 3 => continue,
                code => refused(code),
            };
            return Answer { happened: false, failure: Some(failure) };
        }
        if table != self.letters && rows.iter().any(|row| row.kind == Kind::Bad) {
            let code = *rng.choice(&[6, 407, 469, 395]).unwrap_or(&6);
            return Answer { happened: false, failure: Some(refused(code)) };
        }
        if rng.f64() < self.unrest {
            let happened = rng.bool();
            let failure = match rng.u8(..4) {
                0 => Failure::Cut(String::from("reset")),
                1 => Failure::TimedOut(Duration::from_secs(30)),
                2 => refused(319),
                _ => {
                    return Answer { happened: false, failure: Some(refused(252)) };
                }
            };
            return Answer { happened, failure: Some(failure) };
        }
        NOTHING_WRONG
    }
}

/// Whether this failure says something about the rows, and so counts as an insert of the search.
pub(super) fn is_about_rows(failure: &Failure) -> bool {
    failure.verdict() == Verdict::Isolate
}
