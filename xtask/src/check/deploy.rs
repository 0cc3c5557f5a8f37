//! The deployment files, by the tools of those who run them. No container daemon is needed: the
//! image's file system is built by the Dockerfile's own steps in a plain directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{Finding, Step, run_quietly};
use crate::workspace;

mod chart;
mod grafana;
mod image;
mod tools;

/// The quick ones first.
pub(super) const STEPS: [Step; 6] = [
    Step { name: "systemd units", run: units },
    Step { name: "scale script", run: script },
    Step { name: "Grafana's types", run: grafana::check },
    Step { name: "compose, Dockerfile", run: compose },
    Step { name: "Helm chart", run: chart::check },
    Step { name: "image", run: image::check },
];

/// All of it, as git names it.
const FILES: [&str; 3] = ["Dockerfile", ".dockerignore", "deploy"];

/// Whether the last commit touched any of them; also when there is no commit before it.
pub(super) fn has_changed() -> Result<bool> {
    let mut git = Command::new("git");
    git.args(["diff", "--quiet", "HEAD~1", "--"]).args(FILES).current_dir(workspace::root());
    let output = git.output().context("git does not run")?;
    Ok(!output.status.success())
}

fn deploy() -> PathBuf {
    workspace::root().join("deploy")
}

/// What cannot be looked at here: said at home, a failure where everything has to be looked at.
fn skipped(why: &str) -> Finding {
    if std::env::var_os("CI").is_some() {
        Err(why.to_owned())
    } else {
        Ok(format!("SKIPPED: {why}"))
    }
}

fn is_there(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok()
}

/// A folder below `target/`, empty.
fn folder(name: &str) -> Result<PathBuf> {
    let folder = workspace::metadata()?.target.join("deploy").join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// `systemd-analyze` ends with 0 also when it knows a key not: anything that it prints counts.
fn units() -> Result<Finding> {
    if !is_there("systemd-analyze") {
        return Ok(skipped("systemd-analyze is not installed: apt-get install systemd"));
    }
    let folder = folder("systemd")?;
    let mut findings = Vec::new();
    let mut count = 0;
    for entry in fs::read_dir(deploy().join("systemd"))? {
        let path = entry?.path();
        let name = path.file_name().context("a file has a name")?;
        // The program need not be installed to look at its unit.
        let text = fs::read_to_string(&path)?.replace("/usr/local/bin/data-bridge", "/bin/true");
        let copy = folder.join(name);
        fs::write(&copy, text)?;
        let mut command = Command::new("systemd-analyze");
        command.arg("verify").arg(&copy);
        let output = command.output().context("systemd-analyze does not run")?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        findings.extend(said.lines().map(|line| format!("{}: {line}", name.display())));
        count += 1;
    }
    Ok(if findings.is_empty() { Ok(format!("{count} units")) } else { Err(findings.join("\n")) })
}

/// The script, against a hub and a compose that play along.
fn script() -> Result<Finding> {
    for program in ["bash", "jq"] {
        if !is_there(program) {
            return Ok(skipped(&format!("{program} is not installed")));
        }
    }
    let folder = folder("scale")?;
    let asked = folder.join("asked");
    let page = r#"{"totals":{"up":3},"instances":[
        {"instance_id":"a","life":"up","ready":true,"lag":0,"partitions":[{"topic":"tick_archive","partition":0}]},
        {"instance_id":"b","life":"up","ready":true,"lag":7,"partitions":[{"topic":"tick_archive","partition":1}]},
        {"instance_id":"c","life":"left","ready":false,"lag":0,"partitions":[]}]}"#;
    program(&folder.join("curl"), &format!("cat <<'PAGE'\n{page}\nPAGE"))?;
    program(&folder.join("docker"), &format!("echo \"$@\" > {}", asked.display()))?;
    let path = std::env::var("PATH").unwrap_or_default();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(deploy().join("scale_instances.sh"));
        command.args(arguments).env("PATH", format!("{}:{path}", folder.display()));
        command.output().context("scale_instances.sh does not run")
    };
    let mut findings = Vec::new();
    let good = run(&["2", "5"])?;
    let said = String::from_utf8_lossy(&good.stdout).into_owned();
    for word in ["from 3 to 2", "tick_archive 0", "lag       7", "2 of 2 ready"] {
        if !said.contains(word) {
            findings.push(format!("{word:?} is not said: {said}"));
        }
    }
    let asked = fs::read_to_string(&asked).unwrap_or_default();
    if !asked.contains("--scale data-bridge=2") {
        findings.push(format!("docker was asked for: {asked}"));
    }
    for (arguments, code) in
        [(&["0"][..], 2), (&["many"][..], 2), (&[][..], 2), (&["5", "1"][..], 1)]
    {
        let found = run(arguments)?.status.code();
        if found != Some(code) {
            findings
                .push(format!("scale_instances.sh {arguments:?} ends with {found:?}, not {code}"));
        }
    }
    program(&folder.join("curl"), "exit 7")?;
    let found = run(&["3"])?.status.code();
    if found != Some(3) {
        findings.push(format!("without a hub it ends with {found:?}, not 3"));
    }
    Ok(if findings.is_empty() { Ok(String::new()) } else { Err(findings.join("\n")) })
}

fn program(path: &Path, text: &str) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::write(path, format!("#!/bin/sh\n{text}\n"))?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
}

fn compose() -> Result<Finding> {
    let compose = match tools::compose() {
        Ok(program) => program,
        Err(error) => return Ok(skipped(&format!("{error:#}"))),
    };
    let text = workspace::read("deploy/compose.yaml".as_ref())?;
    let read = |path: &Path| {
        let mut command = Command::new(&compose);
        command.arg(path).current_dir(deploy());
        run_quietly(command)
    };
    // The tool knows no environment: as it is, the file must ask for its secrets.
    if read(&deploy().join("compose.yaml"))?.is_ok() {
        return Ok(Err("compose.yaml asks for no secret".to_owned()));
    }
    let page = folder("compose")?.join("compose.yaml");
    fs::write(&page, text.replace(":?set ", ":-"))?;
    if let Err(text) = read(&page)? {
        return Ok(Err(text));
    }
    // Expanded on the host it would be the same for all replicas.
    if text.lines().any(|line| line.trim_start().starts_with("INSTANCE_ID:")) {
        return Ok(Err("compose.yaml sets INSTANCE_ID: the replicas would share it".to_owned()));
    }
    let hadolint = match tools::python() {
        Ok(folder) => folder.join("bin/hadolint"),
        Err(error) => return Ok(skipped(&format!("{error:#}"))),
    };
    let mut command = Command::new(hadolint);
    command.arg("Dockerfile").current_dir(workspace::root());
    run_quietly(command)
}
