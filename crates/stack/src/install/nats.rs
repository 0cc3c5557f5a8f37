//! nats-server, built by Go; Go checks the sources against its public checksum database.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::tool;
use crate::cache::Cache;

const MODULE: &str = "github.com/nats-io/nats-server/v2@v2.15.2";
const VERSION: &str = "nats-server: v2.15.2";

/// Where `nats-server` is, built if it is not there yet (about a minute of CPU).
///
/// # Errors
/// When Go is missing or too old, or the modules cannot be had.
pub fn nats_server(cache: &Cache) -> Result<PathBuf> {
    let folder = cache.ensure("nats-server-2.15.2", install)?;
    Ok(folder.join("nats-server"))
}

fn install(folder: &Path) -> Result<()> {
    let mut go = tool::GO.command(["install", "-trimpath", MODULE])?;
    // A GOFLAGS or a target of the user's would put the program elsewhere or build another.
    go.env("GOBIN", folder).env("GOFLAGS", "").env_remove("GOOS").env_remove("GOARCH");
    tool::run("nats-server: building", go, folder)?;
    let program = folder.join("nats-server");
    let output = Command::new(&program)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{} does not run", program.display()))?;
    let version = String::from_utf8_lossy(&output.stdout);
    if version.trim() != VERSION {
        bail!("{} is {:?}, expected {VERSION:?}", program.display(), version.trim());
    }
    fs::write(folder.join("version"), version.as_bytes()).context("cannot write the version")
}
