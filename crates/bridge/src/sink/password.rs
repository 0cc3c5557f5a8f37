//! The password of ClickHouse, which may be changed while we run.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use data_bridge_core::verdict::Failure;
use tracing::info;

use crate::config::Secret;

/// ClickHouse's codes for an account that is not let in: an unknown user, a wrong password, a missing
/// one, any of these without saying which.
const REFUSALS: [i32; 4] = [192, 193, 194, 516];

/// Whether an answer says that the account was not let in.
pub(super) fn is_about_credentials(status: u16, code: Option<i32>) -> bool {
    code.map_or(status == 401 || status == 407, |code| REFUSALS.contains(&code))
}

/// A secret that is read again from its file once it was refused, before each further request.
#[derive(Debug)]
pub(super) struct Password {
    secret: RwLock<Secret>,
    refused: AtomicBool,
}

impl Password {
    pub(super) fn new(secret: Secret) -> Self {
        Self { secret: RwLock::new(secret), refused: AtomicBool::new(false) }
    }

    /// The password to show.
    ///
    /// # Errors
    /// When it was refused and its file cannot be read.
    pub(super) fn current(&self) -> Result<Secret, Failure> {
        let known = self.secret.read().unwrap_or_else(PoisonError::into_inner).clone();
        if !self.refused.load(Ordering::Relaxed) {
            return Ok(known);
        }
        let Some(fresh) = known.read_again().map_err(Failure::Credentials)? else {
            return Ok(known);
        };
        if fresh != known {
            info!("clickhouse.password has changed in its file: the new one is used");
            *self.secret.write().unwrap_or_else(PoisonError::into_inner) = fresh.clone();
        }
        Ok(fresh)
    }

    /// Notes whether ClickHouse let us in.
    pub(super) fn was_refused(&self, refused: bool) {
        self.refused.store(refused, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_read_again_only_when_it_was_refused() {
        let file =
            std::env::temp_dir().join(format!("data-bridge-password-{}", std::process::id()));
        std::fs::write(&file, "old\n").unwrap();
        let password = Password::new(Secret::from_file("old", file.clone()));
        let shown = || password.current().map(|secret| secret.expose().to_owned());
        std::fs::write(&file, "new\n").unwrap();
        assert_eq!(shown(), Ok("old".to_owned()));
        password.was_refused(true);
        assert_eq!(shown(), Ok("new".to_owned()));
        std::fs::remove_file(&file).unwrap();
        let Err(Failure::Credentials(why)) = shown() else { unreachable!("the file is gone") };
        assert!(why.contains(&file.display().to_string()), "{why}");
        password.was_refused(false);
        assert_eq!(shown(), Ok("new".to_owned()));
    }

    #[test]
    fn only_an_account_that_is_not_let_in_has_the_wrong_password() {
        for code in [192, 193, 194, 516] {
            assert!(is_about_credentials(403, Some(code)), "{code}");
        }
        for code in [497, 60, 252] {
            assert!(!is_about_credentials(403, Some(code)), "{code}");
        }
        assert!(is_about_credentials(401, None) && !is_about_credentials(502, None));
    }
}
