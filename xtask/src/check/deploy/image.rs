//! The image's file system, built by the steps of the Dockerfile's last stage on a minimal Debian
//! of the same release, and the program started in it as the image's user.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::super::{Finding, run_quietly};
use super::{deploy, folder, is_there, skipped, tools};
use crate::workspace;

/// What the last stage of a Dockerfile does.
#[derive(Debug, Default, PartialEq)]
struct Stage {
    release: String,
    runs: Vec<String>,
    user: String,
    entry: String,
}

pub(super) fn check() -> Result<Finding> {
    let dockerfile = workspace::read("Dockerfile".as_ref())?;
    let stage = last_stage(&dockerfile)?;
    if !is_there("mmdebstrap") {
        return Ok(skipped("mmdebstrap is not installed: apt-get install mmdebstrap"));
    }
    if !is_root()? {
        return Ok(skipped("a change of root needs root"));
    }
    let base = match tools::debian(&stage.release) {
        Ok(folder) => folder,
        Err(error) => return Ok(skipped(&format!("{error:#}"))),
    };
    let root = folder("image")?.join("root");
    let mut copy = Command::new("cp");
    copy.arg("--archive").arg(&base).arg(&root);
    tools::run(copy)?;
    let finding = build_and_start(&stage, &root);
    fs::remove_dir_all(&root).context("the file system of the image cannot be removed")?;
    finding
}

fn build_and_start(stage: &Stage, root: &Path) -> Result<Finding> {
    // Packages come by the names that this machine knows.
    fs::copy("/etc/resolv.conf", root.join("etc/resolv.conf"))?;
    for step in &stage.runs {
        let mut command = Command::new("chroot");
        command.arg(root).args(["sh", "-ec", step]).env("DEBIAN_FRONTEND", "noninteractive");
        if let Err(text) = run_quietly(command)? {
            return Ok(Err(format!("RUN {step}\n{text}")));
        }
    }
    let mut build =
        workspace::cargo(&["build", "--package", "data-bridge", "--bin", "data-bridge"]);
    build.env("CARGO_TERM_COLOR", "never");
    if let Err(text) = run_quietly(build)? {
        return Ok(Err(text));
    }
    let program = workspace::metadata()?.target.join("debug/data-bridge");
    let mut install = Command::new("install");
    install.args(["-D", "--mode=0755", "--strip"]).arg(&program);
    install.arg(root.join("usr/local/bin").join(&stage.entry));
    tools::run(install)?;
    fs::create_dir_all(root.join("etc/data-bridge"))?;
    let config = "etc/data-bridge/bridge.yaml";
    fs::copy(deploy().join("compose/bridge.yaml"), root.join(config))?;
    for arguments in
        [&["--version"][..], &["config", "show", "--config", "/etc/data-bridge/bridge.yaml"]]
    {
        let mut start = Command::new("chroot");
        start.arg(format!("--userspec={}", stage.user)).arg(root).arg(&stage.entry).args(arguments);
        start.env_clear().envs([
            ("PATH", "/usr/local/bin:/usr/sbin:/usr/bin:/bin"),
            ("HTTP_LISTEN", "0.0.0.0:9401"),
        ]);
        start.envs([("CLICKHOUSE_PASSWORD", "x"), ("DATA_BRIDGE_TOKEN", "x")]);
        let output = start.output().context("chroot does not run")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Ok(Err(format!("{} {arguments:?}: {}\n{said}", stage.entry, output.status)));
        }
    }
    let mut du = Command::new("du");
    let output = du.args(["-sm"]).arg(root).output().context("du does not run")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let size = text.split_whitespace().next().unwrap_or("?");
    Ok(Ok(format!("{size} MB, starts as {}", stage.user)))
}

fn is_root() -> Result<bool> {
    let output = Command::new("id").arg("-u").output().context("id does not run")?;
    Ok(output.stdout == b"0\n")
}

/// Reads the last stage; what it does not know it refuses, rather than build another image.
fn last_stage(dockerfile: &str) -> Result<Stage> {
    let joined = dockerfile.replace("\\\n", " ");
    let mut stage = Stage::default();
    for line in joined.lines().map(str::trim) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "FROM" => {
                let base = rest.split_whitespace().next().unwrap_or_default();
                let release = base.strip_prefix("debian:").unwrap_or_default();
                let release = release.strip_suffix("-slim").unwrap_or(release).to_owned();
                stage = Stage { release, ..Stage::default() };
            }
            "RUN" => stage.runs.push(rest.split_whitespace().collect::<Vec<_>>().join(" ")),
            "USER" => rest.clone_into(&mut stage.user),
            "ENTRYPOINT" => {
                rest.trim_matches(['[', ']', '"', ' ']).clone_into(&mut stage.entry);
            }
            _ => {}
        }
    }
    if stage.release.is_empty() || stage.user.is_empty() || stage.entry.is_empty() {
        bail!(
            "the last stage of the Dockerfile needs FROM debian:…, USER and ENTRYPOINT: {stage:?}"
        );
    }
    Ok(stage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_stage_is_read_and_no_other() {
        let text = "FROM rust AS build\nRUN cargo build\nFROM debian:bookworm-slim\nRUN apt \\\n  x \\\n  && y\n\
                    USER 1:1\nENTRYPOINT [\"data-bridge\"]\n";
        let stage = last_stage(text).unwrap();
        assert_eq!(stage.release, "bookworm");
        assert_eq!(stage.runs, ["apt x && y"]);
        assert_eq!((stage.user.as_str(), stage.entry.as_str()), ("1:1", "data-bridge"));
        assert!(last_stage("FROM scratch\n").is_err());
    }
}
