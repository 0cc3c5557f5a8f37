//! One thread that starts all children of this process and lives as long as it.
//!
//! The kernel's "end with the parent" means the *thread* that forked. A test that runs in a thread
//! of its own would otherwise take a server that others share with it when it ends.

use std::io;
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::mpsc::{self, SyncSender};
use std::thread;

struct Request {
    command: Command,
    answer: SyncSender<io::Result<Child>>,
}

/// Starts `command` on the spawning thread.
pub(super) fn spawn(command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<SyncSender<Request>> = OnceLock::new();
    let gone = || io::Error::other("the spawning thread is gone");
    let requests = SPAWNER.get_or_init(start);
    // One request, one answer.
    let (answer, answered) = mpsc::sync_channel(1);
    requests.send(Request { command, answer }).map_err(|_closed| gone())?;
    answered.recv().map_err(|_closed| gone())?
}

fn start() -> SyncSender<Request> {
    // Callers wait for their answer, so a queue would hold nothing.
    let (sender, requests) = mpsc::sync_channel::<Request>(0);
    thread::Builder::new()
        .name("spawner".to_owned())
        .spawn(move || {
            for Request { mut command, answer } in requests {
                // The caller waits for it; if it is gone, the child is nobody's and ends with us.
                answer.send(command.spawn()).ok();
            }
        })
        .expect("the system has room for one more thread");
    sender
}
