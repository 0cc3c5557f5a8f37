//! `cargo xtask check`: everything that can be said about the code without running it.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::{prerequisites, screen, workspace};

pub(crate) mod alerts;
mod claims;
mod dependencies;
mod deploy;
mod duplicates;
mod files;
mod layers;
mod licences;
mod links;
mod source;
mod table;

/// What a step found: `Ok` carries a remark worth a line, `Err` all findings.
type Finding = Result<String, String>;

#[derive(Debug, Default, clap::Args)]
pub(crate) struct Arguments {
    /// The deployment files instead: Dockerfile, compose, Helm chart, systemd units
    #[arg(long)]
    deploy: bool,
    /// With --deploy: only when the last commit changed one of them
    #[arg(long, requires = "deploy")]
    if_changed: bool,
}

struct Step {
    name: &'static str,
    run: fn() -> Result<Finding>,
}

/// The quick ones first.
const STEPS: [Step; 12] = [
    Step { name: "system libraries", run: || Ok(found(prerequisites::check())) },
    Step { name: "format", run: || cargo(&["fmt", "--all", "--check"], &[]) },
    Step { name: "layers", run: layers::check },
    Step { name: "unused dependencies", run: dependencies::check },
    Step { name: "licences", run: licences::check },
    Step { name: "duplicate packages", run: duplicates::check },
    Step { name: "file sizes", run: files::check },
    Step { name: "links", run: links::check },
    Step { name: "tests named", run: claims::check },
    Step { name: "alert rules", run: alerts::check },
    Step {
        name: "clippy",
        run: || cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"], &[]),
    },
    Step { name: "documentation", run: documentation },
];

/// Runs every step, however many fail; `false` when one did.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    if !arguments.deploy {
        return run_all(&STEPS);
    }
    if arguments.if_changed && !deploy::has_changed()? {
        screen::line("check: the last commit changed no deployment file");
        return Ok(true);
    }
    run_all(&deploy::STEPS)
}

fn run_all(steps: &[Step]) -> Result<bool> {
    let begun = Instant::now();
    let mut failed = Vec::new();
    for step in steps {
        let started = Instant::now();
        let finding = (step.run)().with_context(|| step.name)?;
        let took = seconds(started.elapsed());
        match finding {
            Ok(remark) => {
                screen::line(&format!("check  {:<20} ok  {took:>7}  {remark}", step.name));
            }
            Err(text) => {
                screen::line(&format!("check  {:<20} FAILED {took:>4}", step.name));
                screen::line(&indent(&text));
                failed.push(step.name);
            }
        }
    }
    let took = seconds(begun.elapsed());
    if failed.is_empty() {
        screen::line(&format!("check: all {} steps ok, {took}", steps.len()));
    } else {
        screen::line(&format!("check: FAILED: {}; {took}", failed.join(", ")));
    }
    Ok(failed.is_empty())
}

fn found(result: Result<()>) -> Finding {
    result.map(|()| String::new()).map_err(|error| format!("{error:#}"))
}

/// With private items: this is an application, its documentation is for those who work on it.
fn documentation() -> Result<Finding> {
    let arguments = ["doc", "--workspace", "--no-deps", "--document-private-items"];
    cargo(&arguments, &[("RUSTDOCFLAGS", "-D warnings")])
}

fn cargo(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Finding> {
    let mut command = workspace::cargo(arguments);
    command.envs(variables.iter().copied());
    run_quietly(command)
}

fn run_quietly(mut command: Command) -> Result<Finding> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{} does not run", command.get_program().display()))?;
    if output.status.success() {
        return Ok(Ok(String::new()));
    }
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    // What compiled well is of no interest beside what did not.
    let errors = String::from_utf8_lossy(&output.stderr);
    for line in errors.lines().filter(|line| !is_progress(line)) {
        text.push_str(line);
        text.push('\n');
    }
    Ok(Err(text))
}

fn is_progress(line: &str) -> bool {
    let first = line.split_whitespace().next().unwrap_or_default();
    line.starts_with(' ')
        && matches!(first, "Compiling" | "Checking" | "Documenting" | "Downloaded" | "Finished")
}

fn indent(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| format!("    {line}")).collect();
    lines.join("\n")
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_command_shows_both_outputs_without_progress() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo diff; echo '   Compiling libc v0.2' >&2; echo bad >&2; exit 1"]);
        assert_eq!(run_quietly(command).unwrap(), Err("diff\nbad\n".to_owned()));
        assert_eq!(run_quietly(Command::new("true")).unwrap(), Ok(String::new()));
    }
}
