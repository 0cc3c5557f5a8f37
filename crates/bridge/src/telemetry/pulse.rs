//! Signs of life of our own tasks: whether each has turned lately.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Time between two signs of life of a task that waits for others.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

/// A task that has not turned for so long, beyond what it may wait for others, does not turn any more.
const STUCK_AFTER: Duration = Duration::from_secs(30);

/// All tasks that are watched.
#[derive(Debug)]
pub struct Pulses {
    began: Instant,
    tasks: Mutex<Vec<Arc<Task>>>,
}

#[derive(Debug)]
struct Task {
    name: &'static str,
    began: Instant,
    /// Longest time between two turns while all is well.
    longest: Duration,
    /// Milliseconds from `began` to the last turn.
    turned_ms: AtomicU64,
    /// It will never turn again.
    panicked: AtomicBool,
}

impl Task {
    fn turned(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.turned_ms.store(now, Ordering::Relaxed);
    }

    fn still_for(&self) -> Duration {
        let turned = Duration::from_millis(self.turned_ms.load(Ordering::Relaxed));
        self.began.elapsed().saturating_sub(turned)
    }
}

/// A task's own hand on its pulse. Not watched any more once this is dropped, unless a panic drops it.
#[derive(Debug)]
#[must_use = "a task whose pulse is dropped is not watched"]
pub struct Pulse {
    task: Arc<Task>,
}

impl Pulse {
    /// The task turned.
    pub fn turn(&self) {
        self.task.turned();
    }

    /// Waits for others, who may take as long as they like.
    pub async fn rest<T>(&self, wait: impl Future<Output = T>) -> T {
        self.rest_while(|| true, wait).await
    }

    /// Waits for others, who may take as long as they like while `may_rest` says so.
    pub async fn rest_while<T>(
        &self,
        may_rest: impl Fn() -> bool,
        wait: impl Future<Output = T>,
    ) -> T {
        self.rest_and_look(SIGN_OF_LIFE, may_rest, wait).await
    }

    async fn rest_and_look<T>(
        &self,
        every: Duration,
        may_rest: impl Fn() -> bool,
        wait: impl Future<Output = T>,
    ) -> T {
        let mut wait = pin!(wait);
        self.turn();
        loop {
            if let Ok(done) = tokio::time::timeout(every, wait.as_mut()).await {
                self.turn();
                return done;
            }
            if may_rest() {
                self.turn();
            }
        }
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.task.panicked.store(std::thread::panicking(), Ordering::Relaxed);
    }
}

impl Default for Pulses {
    fn default() -> Self {
        Self { began: Instant::now(), tasks: Mutex::default() }
    }
}

impl Pulses {
    /// Watches a task that turns at least every `longest` while all is well.
    pub fn watch(&self, name: &'static str, longest: Duration) -> Pulse {
        let task = Arc::new(Task {
            name,
            began: self.began,
            longest,
            turned_ms: AtomicU64::new(0),
            panicked: AtomicBool::new(false),
        });
        task.turned();
        self.tasks().push(Arc::clone(&task));
        Pulse { task }
    }

    /// Tasks that do not turn, and since when. Several of one name are named once.
    #[must_use]
    pub fn stuck(&self) -> BTreeMap<&'static str, Duration> {
        let mut stuck = BTreeMap::new();
        for task in &*self.tasks() {
            let still_for = task.still_for();
            if still_for > task.longest + STUCK_AFTER {
                let longest = stuck.entry(task.name).or_insert(still_for);
                *longest = still_for.max(*longest);
            }
        }
        stuck
    }

    /// Those that have not ended in order.
    fn tasks(&self) -> MutexGuard<'_, Vec<Arc<Task>>> {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let is_there =
            |task: &Arc<Task>| Arc::strong_count(task) > 1 || task.panicked.load(Ordering::Relaxed);
        tasks.retain(is_there);
        tasks
    }
}

/// Between two looks at whether a frozen thread or task may go on.
#[cfg(feature = "fail-points")]
const THAW: Duration = Duration::from_millis(50);

/// Whether a file of this name lies in the folder that `DATA_BRIDGE_FREEZE` names: how tests stop a
/// thread or a task. Always false in a program that people use.
#[cfg(feature = "fail-points")]
fn is_frozen(name: &str) -> bool {
    std::env::var_os("DATA_BRIDGE_FREEZE")
        .is_some_and(|folder| std::path::Path::new(&folder).join(name).exists())
}

/// Holds the thread that comes by while it is frozen.
#[cfg(feature = "fail-points")]
pub fn freeze_thread(name: &str) {
    while is_frozen(name) {
        std::thread::park_timeout(THAW);
    }
}

/// Holds the task that comes by while it is frozen.
#[cfg(feature = "fail-points")]
pub async fn freeze_task(name: &str) {
    while is_frozen(name) {
        tokio::time::sleep(THAW).await;
    }
}

/// Does nothing: only tests freeze threads.
#[cfg(not(feature = "fail-points"))]
pub fn freeze_thread(_: &str) {}

/// Does nothing: only tests freeze tasks.
#[cfg(not(feature = "fail-points"))]
pub fn freeze_task(_: &str) -> std::future::Ready<()> {
    std::future::ready(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_stuck_when_it_has_not_turned_beyond_its_longest_wait_and_gone_with_its_pulse() {
        let long_ago = Instant::now().checked_sub(Duration::from_secs(100)).unwrap();
        let pulses = Pulses { began: long_ago, tasks: Mutex::default() };
        let patient = pulses.watch("patient", Duration::from_secs(80));
        let busy = pulses.watch("busy", Duration::from_secs(5));
        for pulse in [&patient, &busy] {
            pulse.task.turned_ms.store(0, Ordering::Relaxed);
        }
        assert_eq!(names(&pulses), ["busy"]);
        busy.turn();
        assert_eq!(names(&pulses), [""; 0]);
        busy.task.turned_ms.store(0, Ordering::Relaxed);
        drop(busy);
        assert_eq!(names(&pulses), [""; 0]);
    }

    #[test]
    fn a_task_that_panicked_is_stuck_for_good() {
        let long_ago = Instant::now().checked_sub(Duration::from_secs(100)).unwrap();
        let pulses = Pulses { began: long_ago, tasks: Mutex::default() };
        let pulse = pulses.watch("clumsy", Duration::ZERO);
        let task = std::thread::spawn(move || {
            pulse.task.turned_ms.store(0, Ordering::Relaxed);
            assert!(pulse.task.turned_ms.load(Ordering::Relaxed) > 0, "a panic of the test");
        });
        assert!(task.join().is_err());
        assert_eq!(names(&pulses), ["clumsy"]);
    }

    #[tokio::test]
    async fn who_waits_for_others_turns_for_as_long_as_he_may() {
        let long_ago = Instant::now().checked_sub(Duration::from_secs(100)).unwrap();
        let pulses = Pulses { began: long_ago, tasks: Mutex::default() };
        for (may_rest, stuck) in [(true, vec![]), (false, vec!["idle"])] {
            let pulse = pulses.watch("idle", Duration::ZERO);
            let (looked, look) = tokio::sync::oneshot::channel();
            let looked = Mutex::new(Some(looked));
            let may_rest = || {
                if let Some(looked) = looked.lock().unwrap().take() {
                    pulse.task.turned_ms.store(0, Ordering::Relaxed);
                    looked.send(()).unwrap();
                }
                may_rest
            };
            let rest =
                pulse.rest_and_look(Duration::from_millis(1), may_rest, std::future::pending());
            tokio::select! {
                biased;
                () = rest => {}
                looked = look => looked.unwrap(),
            }
            assert_eq!(names(&pulses), stuck);
        }
    }

    fn names(pulses: &Pulses) -> Vec<&'static str> {
        pulses.stuck().into_keys().collect()
    }
}
