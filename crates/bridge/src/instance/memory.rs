//! Memory that a backlog took goes back to the system when the backlog is gone.

use std::sync::Arc;
use std::time::Duration;

use crate::telemetry::board::Board;

/// How often is looked.
const EVERY: Duration = Duration::from_secs(1);
/// Less than this is no backlog, in bytes.
const MUCH: u64 = 32 << 20;
/// A backlog is gone when a tenth of it is held,
const SHARE: u64 = 10;
/// at so many looks in a row: one that comes and goes needs its memory again.
const LOOKS: u32 = 5;

/// Looks at what is held until its task is ended.
pub(super) async fn give_back(board: Arc<Board>) {
    let mut gone = Gone::default();
    loop {
        tokio::time::sleep(EVERY).await;
        if gone.look(board.status().buffered_bytes) {
            // It goes through all that is free: some ms for each 100 MiB.
            tokio::task::spawn_blocking(give_back_all).await.ok();
        }
    }
}

/// Whether a backlog is gone.
#[derive(Debug, Default)]
struct Gone {
    most: u64,
    looks: u32,
}

impl Gone {
    /// Takes note of the bytes that are held; true once after a backlog.
    fn look(&mut self, held: u64) -> bool {
        self.most = self.most.max(held);
        let is_gone = self.most >= MUCH && held <= self.most / SHARE;
        self.looks = if is_gone { self.looks + 1 } else { 0 };
        let now = self.looks >= LOOKS;
        if now {
            *self = Self::default();
        }
        now
    }
}

/// glibc keeps what is freed below something that is in use, in every arena of its own;
/// `malloc_trim(3)` gives it back.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "a function of the C library")]
fn give_back_all() {
    unsafe extern "C" {
        fn malloc_trim(pad: usize) -> std::ffi::c_int;
    }
    // SAFETY: it takes any number and may be called at any time by any thread.
    unsafe { malloc_trim(0) };
}

/// Other allocators give back what they do not need by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn give_back_all() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backlog_is_gone_once_and_only_after_some_quiet_looks() {
        let mut gone = Gone::default();
        let mut looks = |held: &[u64]| held.iter().map(|held| gone.look(*held)).collect::<Vec<_>>();
        // Nothing that is worth it.
        assert!(!looks(&[MUCH - 1, 0, 0, 0, 0, 0, 0, 0]).contains(&true));
        // It drips on, then it is gone.
        assert!(!looks(&[MUCH * 8, MUCH, 0, 0, 0, 0, MUCH, 0, 0, 0, 0]).contains(&true));
        assert_eq!(looks(&[0, 0, 0, 0, 0, 0]), [true, false, false, false, false, false]);
        // The next one.
        assert!(!looks(&[MUCH * 2, 0, 0, 0, 0]).contains(&true));
        assert_eq!(looks(&[0]), [true]);
    }
}
