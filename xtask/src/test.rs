//! `cargo xtask test`: one build, then every test program, from the quickest layer to the slowest.

use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use data_bridge_stack::cache::Cache;
use data_bridge_stack::install;
use data_bridge_stack::process::{Lifetime, Process};

use crate::{prerequisites, screen, workspace};

mod outcome;
mod program;

use outcome::Outcome;
use program::{Build, Program};

/// A test program that runs longer than this hangs.
const LIMIT: Duration = Duration::from_mins(20);
/// How often a running program says that it still runs.
const SIGN_OF_LIFE: Duration = Duration::from_mins(1);

#[derive(Debug, Default, clap::Args)]
pub(crate) struct Arguments {
    /// Leave out the tests that need Kafka, NATS or ClickHouse
    #[arg(long)]
    fast: bool,
    /// Handed to every test program: a part of a test's name, `--nocapture`, ...
    #[arg(last = true)]
    rest: Vec<String>,
}

/// `false` when a test failed.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    let begun = Instant::now();
    prerequisites::check()?;
    if !arguments.fast {
        install_servers()?;
    }

    let started = Instant::now();
    let build = build()?;
    screen::line(&format!("test   build {:>38}", seconds(started.elapsed())));

    let mut total = Outcome::default();
    let mut failed = Vec::new();
    let logs = workspace::metadata()?.target.join("test-logs");
    let programs =
        build.programs.iter().filter(|program| !arguments.fast || !program.needs_servers());
    for program in programs {
        let command = command(program, &build, &arguments.rest);
        let outcome = run_program(&program.title(), command, &logs)?;
        if !outcome.passed() {
            failed.push(program.title());
        }
        total.add(&outcome);
    }
    let outcome = run_program("documentation", documentation(&arguments.rest), &logs)?;
    if !outcome.passed() {
        failed.push("documentation".to_owned());
    }
    total.add(&outcome);

    let took = seconds(begun.elapsed());
    screen::line(&format!("test: {}, {took}", total.counts()));
    if !failed.is_empty() {
        screen::line(&format!("test: FAILED: {}", failed.join(", ")));
    } else if total.is_empty() && !arguments.rest.is_empty() {
        bail!("no test fits {}", arguments.rest.join(" "));
    }
    Ok(failed.is_empty())
}

fn install_servers() -> Result<()> {
    let missing = install::missing_tools();
    let cache = Cache::from_env()?;
    // What is installed already needs no tool but Java.
    let installed = install::kafka(&cache)
        .map(drop)
        .and_then(|()| install::nats_server(&cache).map(drop))
        .and_then(|()| install::libchdb(&cache).map(drop));
    if let Err(error) = installed {
        for tool in missing {
            screen::error(&tool.advice());
        }
        return Err(error.context("`cargo xtask test --fast` leaves out the tests with servers"));
    }
    Ok(())
}

fn build() -> Result<Build> {
    let mut cargo = workspace::cargo(&["test", "--workspace", "--no-run"]);
    cargo.args(["--features", "data-bridge/fail-points"]);
    cargo.arg("--message-format=json-render-diagnostics");
    // The compiler's progress and errors go straight to the reader.
    let output = cargo
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cargo does not run")?;
    if !output.status.success() {
        bail!("the tests do not compile");
    }
    program::parse(&String::from_utf8_lossy(&output.stdout))
}

fn command(program: &Program, build: &Build, rest: &[String]) -> Command {
    let mut command = Command::new(&program.executable);
    command.args(rest).current_dir(&program.folder);
    // As `cargo test` does, for tests that look at run time.
    command.env("CARGO_MANIFEST_DIR", &program.folder).env("CARGO_PKG_NAME", &program.package);
    for (name, executable) in &build.binaries {
        command.env(format!("CARGO_BIN_EXE_{name}"), executable);
    }
    command
}

fn documentation(rest: &[String]) -> Command {
    let mut cargo = workspace::cargo(&["test", "--workspace", "--doc", "--quiet", "--"]);
    cargo.args(rest);
    cargo
}

fn run_program(title: &str, command: Command, logs: &Path) -> Result<Outcome> {
    let started = Instant::now();
    let log = logs.join(format!("{}.log", title.replace(['/', ' '], "-")));
    if log.exists() {
        std::fs::remove_file(&log)?;
    }
    let process = Process::spawn(title, command, &log, Lifetime::WithStarter)?;
    let status = wait(&process, started)?;
    let output = std::fs::read(&log).with_context(|| format!("cannot read {}", log.display()))?;
    let output = String::from_utf8_lossy(&output);
    let outcome = Outcome::parse(&output, status.is_some_and(|status| status.success()));
    let took = seconds(started.elapsed());
    let verdict = if outcome.passed() { "ok" } else { "FAILED" };
    // A program without tests, or of which the filter leaves none, is not worth a line.
    if !outcome.is_empty() || !outcome.passed() {
        let counts = outcome.counts();
        screen::line(&format!("test   {title:<34} {took:>9}  {verdict:<6} {counts}"));
    }
    if !outcome.passed() {
        if status.is_none() {
            screen::line(&format!("    no end after {} s: killed", LIMIT.as_secs()));
        }
        screen::line(Outcome::failures(&output));
    }
    Ok(outcome)
}

/// `None` when it had to be killed.
fn wait(process: &Process, started: Instant) -> Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = process.wait_exit(SIGN_OF_LIFE) {
            return Ok(Some(status));
        }
        let elapsed = started.elapsed();
        if elapsed > LIMIT {
            process.kill()?;
            return Ok(None);
        }
        screen::line(&format!(
            "test   {:<34} {:>9}  still running, output in {}",
            process.name(),
            seconds(elapsed),
            process.log().display()
        ));
    }
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
