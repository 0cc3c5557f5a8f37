//! Whether each table is as it must be: looked at before the first row, and until all is well.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use data_bridge_core::catalog::{Catalog, Severity};
use data_bridge_core::units::TableId;
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::sink::clickhouse::ClickHouse;
use crate::sink::tables::{Found, look_at};

/// Time between two looks at tables that are not well.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What is wrong with a table before anybody has looked.
pub(super) const NOT_LOOKED_AT: &str = "not looked at yet";

/// What is wrong with each table that must not be written now. Shared with the task that looks.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    closed: Arc<Mutex<BTreeMap<TableId, String>>>,
}

impl Gate {
    /// A gate that is closed for all of these tables.
    pub(super) fn closed_for(tables: &[TableId]) -> Self {
        let closed = tables.iter().map(|table| (*table, NOT_LOOKED_AT.to_owned())).collect();
        Self { closed: Arc::new(Mutex::new(closed)) }
    }

    /// The tables that must not be written, with the reason.
    pub(super) fn closed(&self) -> BTreeMap<TableId, String> {
        self.closed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, table: TableId, reason: Option<String>) {
        let mut closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        match reason {
            Some(reason) => closed.insert(table, reason),
            None => closed.remove(&table),
        };
    }

    /// Looks at the closed tables again and again until none is left; `opened` is called when one
    /// opens.
    pub(super) async fn watch(
        self,
        clickhouse: ClickHouse,
        catalog: Arc<Catalog>,
        opened: impl Fn() + Send,
    ) {
        loop {
            // All at once: an instance that takes over begins as soon as the slowest answer is
            // there, however many tables there are.
            let mut looks = JoinSet::new();
            let mut said = BTreeSet::new();
            for (table, before) in self.closed() {
                let (clickhouse, catalog) = (clickhouse.clone(), Arc::clone(&catalog));
                looks.spawn(async move {
                    let reason = look(&clickhouse, &catalog, table).await;
                    (table, before, reason)
                });
            }
            while let Some(looked) = looks.join_next().await {
                let Ok((table, before, reason)) = looked else {
                    // It panicked, or the runtime ends: the table stays closed.
                    continue;
                };
                match &reason {
                    // What is wrong with all of them is said once.
                    Some(reason) if *reason != before && said.insert(reason.clone()) => {
                        warn!(%reason, "not writable");
                    }
                    Some(_) => {}
                    None => info!(table = catalog.table(table).name, "table as it must be"),
                }
                let opens = reason.is_none();
                self.set(table, reason);
                if opens {
                    opened();
                }
            }
            if self.closed().is_empty() {
                return;
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
        Ok(Found::Missing) => Some(format!(
            "table {database}.{name} does not exist on {}: run `data-bridge init`",
            clickhouse.url()
        )),
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
