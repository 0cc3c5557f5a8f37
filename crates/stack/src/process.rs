//! A process of ours: its log, its end, and the promise that it does not outlive its starter.

use std::fs::{self, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

mod proc;
#[cfg(test)]
pub(crate) mod scratch;
mod spawner;

pub use proc::{is_running, start_time};

/// Beside the log of a detached process: its pid and its start time.
const PID_FILE: &str = "pid";
/// How much of a log an error message shows.
const TAIL_LINES: usize = 25;
/// A line of Java can be long; this many bytes hold the lines above.
const TAIL_BYTES: u64 = 16 * 1024;
/// The kernel ends a killed process at once; only one in uninterruptible I/O takes longer.
const KILL_LIMIT: Duration = Duration::from_secs(30);

/// How long a process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lifetime {
    /// Ends when its handle is dropped or when the process that started it ends, even by kill -9.
    #[default]
    WithStarter,
    /// Goes on in a session of its own until somebody ends it by its pid, which is found in
    /// [`recorded`].
    Detached,
}

/// A running or ended child process whose output goes to a log file.
#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    pid: u32,
    lifetime: Lifetime,
    life: Arc<Life>,
}

#[derive(Debug)]
struct Life {
    ended: Mutex<Option<ExitStatus>>,
    changed: Condvar,
}

impl Process {
    /// Starts `command` with no standard input and with both outputs appended to `log`.
    ///
    /// # Errors
    /// When the log cannot be opened or the program cannot be started.
    pub fn spawn(name: &str, mut command: Command, log: &Path, lifetime: Lifetime) -> Result<Self> {
        // Before the start, since it may be the current folder of the program, too.
        if let Some(folder) = log.parent() {
            fs::create_dir_all(folder)
                .with_context(|| format!("cannot create {}", folder.display()))?;
        }
        let output = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("cannot open the log {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        match lifetime {
            Lifetime::WithStarter => {
                command.process_group(0);
                proc::end_with_starter(&mut command);
            }
            Lifetime::Detached => proc::own_session(&mut command),
        }
        let program = command.get_program().display().to_string();
        let child = spawner::spawn(command)
            .with_context(|| format!("cannot start {name}: {program} does not run"))?;
        let pid = child.id();
        if lifetime == Lifetime::Detached {
            // At once, so that whoever interrupts the start can still find what was started.
            record(log, pid)?;
        }
        let life = Arc::new(Life { ended: Mutex::new(None), changed: Condvar::new() });
        let watched = Arc::clone(&life);
        thread::Builder::new()
            .name(format!("wait-{name}"))
            .spawn(move || watched.watch(child))
            .context("cannot start a thread")?;
        Ok(Self { name: name.to_owned(), log: log.to_owned(), pid, lifetime, life })
    }

    /// The name given at start.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The process id; of no use to others once [`Self::exited`] is `Some`.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The file that holds the output of this and of earlier runs.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// How it ended, or `None` while it runs.
    #[must_use]
    pub fn exited(&self) -> Option<ExitStatus> {
        *self.life.ended()
    }

    /// Whether SIGKILL has ended it.
    #[must_use]
    pub fn is_killed(&self) -> bool {
        self.exited().is_some_and(|status| status.signal() == Some(libc::SIGKILL))
    }

    /// Waits at most `limit` for the end.
    #[must_use]
    pub fn wait_exit(&self, limit: Duration) -> Option<ExitStatus> {
        let ended = self.life.ended();
        let (ended, _) = self
            .life
            .changed
            .wait_timeout_while(ended, limit, |ended| ended.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        *ended
    }

    /// Kills the process and all that it started (SIGKILL) and waits until it is gone.
    ///
    /// # Errors
    /// When it does not go away.
    pub fn kill(&self) -> Result<ExitStatus> {
        self.signal_group(libc::SIGKILL);
        match self.wait_exit(KILL_LIMIT) {
            Some(status) => Ok(status),
            None => bail!("{} (pid {}) does not die", self.name, self.pid),
        }
    }

    /// Asks the process to end (SIGTERM); kills it when it has not ended after `grace`.
    ///
    /// # Errors
    /// When it does not even die.
    pub fn stop(&self, grace: Duration) -> Result<ExitStatus> {
        self.signal(libc::SIGTERM);
        match self.wait_exit(grace) {
            Some(status) => Ok(status),
            None => self.kill(),
        }
    }

    /// Stops the process where it stands (SIGSTOP), as a machine that hangs would.
    pub fn freeze(&self) {
        self.signal(libc::SIGSTOP);
    }

    /// Lets a frozen process go on (SIGCONT).
    pub fn thaw(&self) {
        self.signal(libc::SIGCONT);
    }

    /// Asks the process to end (SIGTERM) and returns at once.
    pub fn terminate(&self) {
        self.signal(libc::SIGTERM);
    }

    /// Interrupts the process (SIGINT), as Ctrl-C does, and returns at once.
    pub fn interrupt(&self) {
        self.signal(libc::SIGINT);
    }

    /// The last lines of the log under its path, for an error message.
    #[must_use]
    pub fn log_tail(&self) -> String {
        tail(&self.log)
    }

    fn signal(&self, signal: libc::c_int) {
        // The lock keeps the pid ours: it is released only after the status was taken.
        let ended = self.life.ended();
        if ended.is_none() {
            proc::signal(self.pid, signal);
        }
    }

    fn signal_group(&self, signal: libc::c_int) {
        let ended = self.life.ended();
        if ended.is_none() {
            proc::signal_group(self.pid, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.lifetime == Lifetime::WithStarter && self.exited().is_none() {
            // A drop has nobody to tell; the kernel still ends it together with this process.
            self.kill().ok();
        }
    }
}

impl Life {
    fn ended(&self) -> MutexGuard<'_, Option<ExitStatus>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(&self, mut child: Child) {
        proc::wait_without_reaping(child.id());
        let mut ended = self.ended();
        // What it started and left behind goes with it; its pid is still held by the dead parent.
        proc::signal_group(child.id(), libc::SIGKILL);
        *ended = child.wait().ok().or(Some(ExitStatus::default()));
        self.changed.notify_all();
    }
}

/// Ends a detached process of an earlier run: SIGTERM, after `grace` SIGKILL. `false` when the pid
/// no longer belongs to the process that started at `started` (clock ticks since boot).
///
/// # Errors
/// When it does not die.
pub fn end_detached(pid: u32, started: u64, grace: Duration) -> Result<bool> {
    if !is_running(pid, started) {
        return Ok(false);
    }
    for (signal, limit) in [(libc::SIGTERM, grace), (libc::SIGKILL, KILL_LIMIT)] {
        proc::signal_group(pid, signal);
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            if !is_running(pid, started) {
                return Ok(true);
            }
            // Not our child, so nothing wakes us at its end.
            thread::park_timeout(Duration::from_millis(20));
        }
    }
    bail!("pid {pid} does not die")
}

/// Pid and start time of the last detached process whose log lies in `folder`; it may have ended.
#[must_use]
pub fn recorded(folder: &Path) -> Option<(u32, u64)> {
    let text = fs::read_to_string(folder.join(PID_FILE)).ok()?;
    let (pid, started) = text.trim().split_once(' ')?;
    Some((pid.parse().ok()?, started.parse().ok()?))
}

fn record(log: &Path, pid: u32) -> Result<()> {
    // A process that has already ended has no start time and leaves nothing to find.
    if let Some(started) = start_time(pid) {
        let file = log.with_file_name(PID_FILE);
        fs::write(&file, format!("{pid} {started}\n"))
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

/// The last lines of a log under its path.
pub(crate) fn tail(log: &Path) -> String {
    let text = read_end(log).unwrap_or_else(|error| format!("(not readable: {error})"));
    let lines: Vec<&str> = text.lines().collect();
    let shown = &lines[lines.len().saturating_sub(TAIL_LINES)..];
    format!("--- end of {} ---\n{}", log.display(), shown.join("\n"))
}

fn read_end(log: &Path) -> std::io::Result<String> {
    let mut file = fs::File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    fn spawn(name: &str, script: &str) -> (scratch::Folder, Process) {
        let folder = scratch::folder(name);
        let log = folder.path().join("log");
        let process = Process::spawn(name, shell(script), &log, Lifetime::WithStarter).unwrap();
        (folder, process)
    }

    #[test]
    fn the_end_is_seen_and_the_output_is_kept() {
        let (_folder, process) = spawn("ends", "echo out; echo err >&2; exit 3");
        let status = process.wait_exit(Duration::from_secs(10)).unwrap();
        assert_eq!(status.code(), Some(3));
        let tail = process.log_tail();
        assert!(tail.contains("out\nerr"), "{tail}");
        assert!(tail.contains(&process.log().display().to_string()), "{tail}");
    }

    #[test]
    fn dropping_ends_the_process_and_its_children() {
        let (folder, process) = spawn("drops", "sleep 600 & echo $!; wait");
        let deadline = Instant::now() + Duration::from_secs(10);
        let child: u32 = loop {
            let text = fs::read_to_string(folder.path().join("log")).unwrap();
            if let Ok(pid) = text.trim().parse() {
                break pid;
            }
            assert!(Instant::now() < deadline, "no pid in the log");
        };
        let pid = process.pid();
        assert!(start_time(pid).is_some());
        drop(process);
        assert_eq!(start_time(pid), None);
        while start_time(child).is_some() {
            assert!(Instant::now() < deadline, "the child lives on");
        }
    }

    #[test]
    fn a_process_that_ignores_sigterm_is_killed_after_the_grace() {
        let (folder, process) =
            spawn("stubborn", "trap '' TERM; echo ready; while :; do sleep 1; done");
        let deadline = Instant::now() + Duration::from_secs(10);
        while fs::read_to_string(folder.path().join("log")).unwrap() != "ready\n" {
            assert!(Instant::now() < deadline, "not ready");
        }
        let status = process.stop(Duration::from_millis(100)).unwrap();
        assert_eq!(status.signal(), Some(libc::SIGKILL));
        assert!(process.is_killed());
    }

    #[test]
    fn a_process_outlives_the_thread_that_started_it() {
        let (_folder, process) = thread::spawn(|| spawn("thread", "sleep 600")).join().unwrap();
        assert_eq!(process.wait_exit(Duration::from_millis(300)), None);
    }

    #[test]
    fn a_detached_process_ends_only_if_pid_and_start_time_fit() {
        let folder = scratch::folder("detached");
        let log = folder.path().join("log");
        let process =
            Process::spawn("detached", shell("sleep 600"), &log, Lifetime::Detached).unwrap();
        let pid = process.pid();
        let started = start_time(pid).unwrap();
        drop(process);
        assert_eq!(recorded(folder.path()), Some((pid, started)));
        // A leader of a session of its own: no terminal of ours reaches it (proc_pid_stat(5)).
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let session = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(3).unwrap();
        assert_eq!(session, pid.to_string());
        assert!(is_running(pid, started));
        assert!(!end_detached(pid, started + 1, Duration::from_secs(1)).unwrap());
        assert!(is_running(pid, started));
        assert!(end_detached(pid, started, Duration::from_secs(10)).unwrap());
        assert!(!is_running(pid, started));
    }

    #[test]
    fn a_program_that_does_not_exist_is_named() {
        let folder = scratch::folder("absent");
        let command = Command::new("/no/such/program");
        let error = Process::spawn("x", command, &folder.path().join("log"), Lifetime::Detached);
        assert!(format!("{:#}", error.unwrap_err()).contains("/no/such/program"));
    }
}
