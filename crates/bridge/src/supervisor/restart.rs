//! When an instance that ended is started again. No clock: times are given.

use std::time::Duration;

/// One that ran this long has done its work: it is started again at once.
const LONG_ENOUGH: Duration = Duration::from_secs(10);
/// Pauses after the second and later quick ends in a row; the first is started again at once.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];
/// Pause of one that ends again and again: long enough not to disturb the group each time, short
/// enough that it comes back by itself once the cause is gone.
const HOLD: Duration = Duration::from_mins(1);

/// Exit codes after which an attempt at once cannot go better.
const USAGE: i32 = 2;
const FENCED: i32 = 4;

/// What happens after an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Start after this pause, which may be none.
    Start(Duration),
    /// It does not get going: say so, and try again after this long pause.
    Hold(Duration),
}

/// Ends in a row that came quickly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Restarts {
    quick: usize,
}

impl Restarts {
    /// It ended after running for `uptime`, with this exit code when one is known.
    pub(super) fn ended(&mut self, uptime: Duration, code: Option<i32>) -> Next {
        // One that did its work before it was fenced may have met its own late commit; one that is
        // fenced at once has a double.
        let is_fenced = code == Some(FENCED) && uptime < LONG_ENOUGH;
        if is_fenced || code == Some(USAGE) {
            self.quick = PAUSES.len() + 1;
            return Next::Hold(HOLD);
        }
        if uptime >= LONG_ENOUGH {
            self.quick = 0;
            return Next::Start(Duration::ZERO);
        }
        self.quick += 1;
        match self.quick {
            1 => Next::Start(Duration::ZERO),
            quick => PAUSES.get(quick - 2).map_or(Next::Hold(HOLD), |pause| Next::Start(*pause)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_ran_for_a_while_is_started_at_once_however_often_it_dies() {
        let mut restarts = Restarts::default();
        for _ in 0..100 {
            assert_eq!(restarts.ended(LONG_ENOUGH, None), Next::Start(Duration::ZERO));
        }
    }

    #[test]
    fn quick_ends_in_a_row_are_held_and_a_long_run_forgives_them() {
        let mut restarts = Restarts::default();
        let mut pauses = Vec::new();
        let held = loop {
            match restarts.ended(Duration::from_secs(1), Some(1)) {
                Next::Start(pause) => pauses.push(pause),
                Next::Hold(pause) => break pause,
            }
        };
        assert_eq!((pauses.len(), held), (5, HOLD));
        assert!(pauses.is_sorted() && pauses[0].is_zero());
        assert_eq!(restarts.ended(Duration::from_secs(1), Some(1)), Next::Hold(HOLD));
        assert_eq!(restarts.ended(LONG_ENOUGH, None), Next::Start(Duration::ZERO));
        assert_eq!(restarts.ended(Duration::ZERO, None), Next::Start(Duration::ZERO));
    }

    #[test]
    fn what_a_restart_cannot_mend_is_held_at_once() {
        let long = LONG_ENOUGH * 10;
        assert_eq!(Restarts::default().ended(long, Some(USAGE)), Next::Hold(HOLD));
        assert_eq!(Restarts::default().ended(Duration::ZERO, Some(FENCED)), Next::Hold(HOLD));
        let again = Next::Start(Duration::ZERO);
        assert_eq!(Restarts::default().ended(long, Some(FENCED)), again);
    }
}
