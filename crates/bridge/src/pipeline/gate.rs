//! Whether each table is as it must be: looked at before the first row, again when ClickHouse says
//! that it is not what we take it for, and until all is well.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use data_bridge_core::catalog::{Catalog, Severity};
use data_bridge_core::units::TableId;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::config::Config;
use crate::sink::clickhouse::ClickHouse;
use crate::sink::tables::{Found, look_at};
use crate::telemetry::pulse::{Pulse, freeze_task};

/// Time between two looks at tables that are not well.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Time between two signs of life while there is nothing to look at.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);
/// Questions that a look at a table asks one after the other, each within the time of an insert.
const QUESTIONS: u32 = 2;

/// Longest time between two turns of [`Gate::watch`] while all of ours is well.
pub(super) fn longest_turn(config: &Config) -> Duration {
    SIGN_OF_LIFE + config.clickhouse.insert_timeout * QUESTIONS
}

/// What is said of a table before the first look.
pub(super) const NOT_LOOKED_AT: &str = "not looked at yet";

/// What is wrong with each table that must not be written now. Shared with the task that looks.
#[derive(Clone, Debug, Default)]
pub(super) struct Gate {
    tables: Arc<Mutex<Tables>>,
    asked: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Tables {
    /// Must not be written, for this reason.
    closed: BTreeMap<TableId, String>,
    /// ClickHouse refused an insert for the table's shape.
    suspected: BTreeSet<TableId>,
    /// Found well although they were refused, and not written since: refused for something that a
    /// look does not show, such as a view whose target is gone.
    well_but_refused: BTreeSet<TableId>,
    /// Found well since the last [`Gate::take_mended`].
    mended: Vec<TableId>,
}

impl Gate {
    /// A gate that is closed for all of these tables.
    pub(super) fn closed_for(tables: &[TableId]) -> Self {
        let gate = Self::default();
        let closed = tables.iter().map(|table| (*table, NOT_LOOKED_AT.to_owned()));
        gate.tables().closed = closed.collect();
        gate
    }

    /// The tables that must not be written, with the reason.
    pub(super) fn closed(&self) -> BTreeMap<TableId, String> {
        self.tables().closed.clone()
    }

    /// ClickHouse refused an insert because the table is not what we take it for: it is looked at.
    pub(super) fn look_again(&self, table: TableId) {
        self.tables().suspected.insert(table);
        self.asked.notify_one();
    }

    /// The table was written: whatever was wrong is over.
    pub(super) fn written(&self, table: TableId) {
        let mut tables = self.tables();
        tables.suspected.remove(&table);
        tables.well_but_refused.remove(&table);
    }

    /// Tables that were found well since the last call. One that is refused again and again although
    /// it looks well is named once: its batches keep to their back-off.
    pub(super) fn take_mended(&self) -> Vec<TableId> {
        std::mem::take(&mut self.tables().mended)
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tables to be looked at, with what was wrong with each before.
    fn due(&self) -> BTreeMap<TableId, Option<String>> {
        let mut tables = self.tables();
        let suspected: Vec<_> = std::mem::take(&mut tables.suspected).into_iter().collect();
        let closed = tables.closed.iter().map(|(table, reason)| (*table, Some(reason.clone())));
        let mut due: BTreeMap<_, _> = suspected.into_iter().map(|table| (table, None)).collect();
        due.extend(closed);
        due
    }

    fn found(&self, table: TableId, reason: Option<String>) {
        let mut tables = self.tables();
        let was_closed = tables.closed.remove(&table).is_some();
        if let Some(reason) = reason {
            tables.closed.insert(table, reason);
            tables.well_but_refused.remove(&table);
        } else if was_closed || tables.well_but_refused.insert(table) {
            tables.mended.push(table);
        }
    }

    /// Looks at closed and suspected tables again and again, for as long as there are any; `changed`
    /// is called when one was found well, or found in another way than before.
    pub(super) async fn watch(
        self,
        clickhouse: ClickHouse,
        catalog: Arc<Catalog>,
        pulse: Pulse,
        changed: impl Fn() + Send,
    ) {
        loop {
            pulse.turn();
            freeze_task("tables").await;
            let due = self.due();
            if due.is_empty() {
                // Nobody may ask for long: a sign of life all the same.
                drop(tokio::time::timeout(SIGN_OF_LIFE, self.asked.notified()).await);
                continue;
            }
            // All at once: an instance that takes over begins as soon as the slowest answer is
            // there, however many tables there are.
            let mut looks = JoinSet::new();
            let mut said = BTreeSet::new();
            for (table, before) in due {
                let (clickhouse, catalog) = (clickhouse.clone(), Arc::clone(&catalog));
                looks.spawn(async move {
                    let reason = look(&clickhouse, &catalog, table).await;
                    (table, before, reason)
                });
            }
            while let Some(looked) = looks.join_next().await {
                let Ok((table, before, reason)) = looked else {
                    // It panicked, or the runtime ends: the table stays as it was.
                    continue;
                };
                match &reason {
                    // What is wrong with all of them is said once.
                    Some(reason) if before.as_ref() != Some(reason) => {
                        if said.insert(reason.clone()) {
                            warn!(%reason, "not writable");
                        }
                    }
                    Some(_) => {}
                    None => info!(table = catalog.table(table).name, "table as it must be"),
                }
                let is_news = reason.is_none() || before != reason;
                self.found(table, reason);
                if is_news {
                    changed();
                }
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

/// Why the table must not be written; `None` when it can be.
async fn look(clickhouse: &ClickHouse, catalog: &Catalog, id: TableId) -> Option<String> {
    let table = catalog.table(id);
    let (database, name) = (clickhouse.database(), &table.name);
    match look_at(clickhouse, table).await {
        Ok(Found::Missing) => {
            let remedy = if Catalog::ships(name) { "run `data-bridge init`" } else { "create it" };
            let url = clickhouse.url();
            Some(format!("table {database}.{name} does not exist on {url}: {remedy}"))
        }
        Err(failure) => Some(format!("ClickHouse cannot be asked about its tables: {failure}")),
        Ok(Found::Table { mismatches }) => {
            let (errors, warnings): (Vec<_>, Vec<_>) =
                mismatches.iter().partition(|mismatch| mismatch.severity == Severity::Error);
            for warning in warnings {
                warn!(%warning, "table can be written, with a risk");
            }
            let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
            (!errors.is_empty()).then(|| errors.join("; "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICKS: TableId = TableId(0);

    #[test]
    fn a_table_that_looks_well_and_is_refused_is_named_once_until_it_was_written() {
        let gate = Gate::closed_for(&[]);
        for named in [vec![TICKS], vec![]] {
            gate.look_again(TICKS);
            assert_eq!(gate.due(), BTreeMap::from([(TICKS, None)]));
            gate.found(TICKS, None);
            assert_eq!(gate.take_mended(), named);
        }
        gate.written(TICKS);
        gate.look_again(TICKS);
        gate.found(TICKS, None);
        assert_eq!(gate.take_mended(), [TICKS]);
    }

    #[test]
    fn a_table_of_another_shape_is_looked_at_until_it_is_well_and_then_named() {
        let gate = Gate::closed_for(&[]);
        gate.look_again(TICKS);
        assert_eq!(gate.due().len(), 1);
        let reason = Some("bid has type Float64".to_owned());
        gate.found(TICKS, reason.clone());
        assert_eq!(gate.due(), BTreeMap::from([(TICKS, reason)]));
        assert!(gate.take_mended().is_empty() && gate.closed().contains_key(&TICKS));
        gate.found(TICKS, None);
        assert_eq!(gate.take_mended(), [TICKS]);
        assert!(gate.closed().is_empty() && gate.due().is_empty());
    }
}
