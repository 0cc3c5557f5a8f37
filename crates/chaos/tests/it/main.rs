//! The short form of chaos, and what the program says to wrong usage.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The bridge beside this test: built by `cargo xtask test`, or by `cargo build --workspace`.
fn bridge() -> PathBuf {
    if let Some(path) = std::env::var_os("CARGO_BIN_EXE_data-bridge") {
        return path.into();
    }
    let beside = Path::new(env!("CARGO_BIN_EXE_data-bridge-chaos")).with_file_name("data-bridge");
    assert!(beside.exists(), "build it first: cargo build --workspace --bins");
    beside
}

fn chaos(folder: &str) -> (Command, PathBuf) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(folder);
    let mut command = Command::new(env!("CARGO_BIN_EXE_data-bridge-chaos"));
    command.arg("--bridge").arg(bridge()).arg("--folder").arg(&folder);
    (command, folder)
}

/// Every kind of fault once or so, each few seconds, and then every row as it must be.
#[test]
fn under_every_kind_of_fault_nothing_is_lost_and_nothing_is_doubled() {
    let (mut command, folder) = chaos("chaos");
    command.args(["--minutes", "3", "--seed", "7", "--every", "4", "--rate", "1000"]);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{}\n{said}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    let log = std::fs::read_to_string(folder.join("events.jsonl")).unwrap();
    let events = |event: &str| log.matches(&format!("\"event\":\"{event}\"")).count();
    assert!(events("fault") >= 24, "{} faults", events("fault"));
    assert_eq!((events("run"), events("verdict"), events("wrong")), (1, 1, 0), "{said}");
}

#[test]
fn an_event_log_without_a_run_is_refused() {
    let (mut command, _) = chaos("chaos-no-log");
    let output = command.args(["--replay", "Cargo.toml"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("Cargo.toml is no event log"), "{said}");
}
