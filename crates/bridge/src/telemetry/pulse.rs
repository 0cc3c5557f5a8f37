//! Signs of life of our own tasks: whether each has turned lately.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

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

/// A task's own hand on its pulse. Not watched any more once this is dropped.
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
}

impl Default for Pulses {
    fn default() -> Self {
        Self { began: Instant::now(), tasks: Mutex::default() }
    }
}

impl Pulses {
    /// Watches a task that turns at least every `longest` while all is well.
    pub fn watch(&self, name: &'static str, longest: Duration) -> Pulse {
        let task =
            Arc::new(Task { name, began: self.began, longest, turned_ms: AtomicU64::new(0) });
        task.turned();
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.retain(|task| Arc::strong_count(task) > 1);
        tasks.push(Arc::clone(&task));
        Pulse { task }
    }

    /// Tasks that do not turn, and since when.
    #[must_use]
    pub fn stuck(&self) -> Vec<(&'static str, Duration)> {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.retain(|task| Arc::strong_count(task) > 1);
        let still = tasks.iter().map(|task| (task, task.still_for()));
        still
            .filter(|(task, time)| *time > task.longest + STUCK_AFTER)
            .map(|(task, time)| (task.name, time))
            .collect()
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
        let stuck: Vec<_> = pulses.stuck().into_iter().map(|(name, _)| name).collect();
        assert_eq!(stuck, ["busy"]);
        busy.turn();
        assert_eq!(pulses.stuck(), []);
        busy.task.turned_ms.store(0, Ordering::Relaxed);
        drop(busy);
        assert_eq!(pulses.stuck(), []);
    }
}
