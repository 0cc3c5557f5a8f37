//! The query ids of HTTP that are in use.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::exception::Exception;

/// Query ids of the running statements.
#[derive(Default)]
pub(crate) struct Running {
    ids: Mutex<HashSet<String>>,
}

/// Holds a query id until it is dropped.
pub(crate) struct Entered {
    running: Arc<Running>,
    id: String,
}

impl Running {
    /// Takes the id.
    ///
    /// # Errors
    /// `QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING`.
    pub(crate) fn enter(self: &Arc<Self>, id: &str) -> Result<Entered, Exception> {
        if !self.lock().insert(id.to_owned()) {
            let message = format!("Query with id = {id} is already running.");
            return Err(Exception::new(216, "QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING", &message));
        }
        Ok(Entered { running: Arc::clone(self), id: id.to_owned() })
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<String>> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entered {
    /// Refuses a KILL QUERY that names the id of another running request: the engine does not
    /// know it and would kill nothing in silence.
    ///
    /// # Errors
    /// `NOT_IMPLEMENTED`.
    pub(crate) fn refuse_kill_by_id(&self, sql: &[u8]) -> Result<(), Exception> {
        let sql = String::from_utf8_lossy(sql);
        let ids = self.running.lock();
        let named = ids.iter().find(|id| **id != self.id && sql.contains(&format!("'{id}'")));
        named.map_or(Ok(()), |id| {
            let message = format!(
                "the engine knows the query {id} under an id of its own: close the connection of \
                 its client, or take the id from system.processes"
            );
            Err(Exception::new(48, "NOT_IMPLEMENTED", &message))
        })
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.running.lock().remove(&self.id);
    }
}
