//! Messages of subjects that no route takes: dead letters, all of them.

use crate::arena::Arena;
use crate::block::Blocks;
use crate::catalog::Catalog;

use super::{DeadLetter, Reason, Tally, bury};

/// Buries every message of a chunk. `catalog` is the one of `blocks`, `now_ms` the time of day in ms
/// since 1970.
pub fn bury_unrouted(
    arena: &Arena,
    origin: &str,
    now_ms: i64,
    catalog: &Catalog,
    blocks: &mut Blocks,
    tally: &mut Tally,
) {
    let mut error = String::new();
    for record in arena.records() {
        error.clear();
        error.push_str("no route takes the subject `");
        error.push_str(record.subject.unwrap_or_default());
        error.push_str("`: its words must fit a pattern of nats.subjects, and none may be empty");
        let letter = DeadLetter {
            record,
            origin,
            route: "",
            reason: Reason::NoRoute,
            error: &error,
            clickhouse_code: 0,
            attempts: 1,
            first_failed_ms: now_ms,
            last_failed_ms: now_ms,
        };
        tally.add_dead(Reason::NoRoute, bury(&letter, catalog, blocks));
    }
}
