//! Sessions: connections kept between requests by `session_id`.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::exception::Exception;
use crate::ffi::Connection;
use crate::http::request::SessionRequest;

/// All sessions of the server.
#[derive(Default)]
pub(crate) struct Sessions {
    by_id: Mutex<HashMap<String, State>>,
}

enum State {
    Busy,
    Idle { connection: Connection, until: Instant },
}

impl Sessions {
    /// Takes the session for one statement; `None` for the connection of a new one. Give it back
    /// by [`Sessions::give_back`] or [`Sessions::end`].
    ///
    /// # Errors
    /// `SESSION_IS_LOCKED` while another request uses it, `SESSION_NOT_FOUND` when it must exist
    /// and does not.
    pub(crate) fn take(
        &self,
        request: &SessionRequest,
        now: Instant,
    ) -> Result<Option<Connection>, Exception> {
        let mut by_id = self.lock();
        match by_id.get(&request.id) {
            Some(State::Busy) => {
                let message = format!("Session {} is locked by a concurrent client", request.id);
                return Err(Exception::new(373, "SESSION_IS_LOCKED", &message));
            }
            Some(State::Idle { until, .. }) if *until > now => {}
            Some(State::Idle { .. }) | None if request.check => {
                by_id.remove(&request.id);
                let message = format!("Session {} not found", request.id);
                return Err(Exception::new(372, "SESSION_NOT_FOUND", &message));
            }
            Some(State::Idle { .. }) => {
                by_id.remove(&request.id);
            }
            None => {}
        }
        match by_id.insert(request.id.clone(), State::Busy) {
            Some(State::Idle { connection, .. }) => Ok(Some(connection)),
            Some(State::Busy) | None => Ok(None),
        }
    }

    /// Keeps the session for the next request.
    pub(crate) fn give_back(&self, id: &str, connection: Connection, timeout: Duration) {
        let until = Instant::now() + timeout;
        self.lock().insert(id.to_owned(), State::Idle { connection, until });
    }

    /// Forgets the session.
    pub(crate) fn end(&self, id: &str) {
        self.lock().remove(id);
    }

    /// Closes the sessions whose time is over; blocks a moment for each.
    pub(crate) fn sweep(&self, now: Instant) {
        self.lock().retain(|_, state| match state {
            State::Busy => true,
            State::Idle { until, .. } => *until > now,
        });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, State>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
