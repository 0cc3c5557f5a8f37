//! The ClickHouse engine as a shared library, from npm.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::{checksum, tool};
use crate::cache::Cache;

const PACKAGE: &str = "@chdb/lib-linux-x64-gnu@26.7.3-stable.1";
const ARCHIVE: &str = "chdb-lib-linux-x64-gnu-26.7.3-stable.1.tgz";
const SHA256: &str = "c0d32b129e988f2b9a9a31c9141aecf5e1e2453f9a079efc4d36ab8e3f92b2ad";

/// Where `libchdb.so` is, installed if it is not there yet (178 MB to download, 566 MB on disk).
///
/// # Errors
/// When npm or tar is missing, the registry cannot be reached, or the checksum differs.
pub fn libchdb(cache: &Cache) -> Result<PathBuf> {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu")) {
        bail!("the ClickHouse engine is pinned for Linux on x86-64 with glibc only");
    }
    let folder = cache.ensure("libchdb-26.7.3", install)?;
    Ok(folder.join("libchdb.so"))
}

fn install(folder: &Path) -> Result<()> {
    let tar = tool::TAR.command(["-xzf", ARCHIVE, "--strip-components=1", "package/libchdb.so"])?;
    let pack = tool::NPM.command(["pack", "--silent", PACKAGE])?;
    tool::run("ClickHouse engine: downloading (178 MB)", pack, folder)?;
    let archive = folder.join(ARCHIVE);
    checksum::verify_file(&archive, SHA256)?;
    tool::run("ClickHouse engine: unpacking (566 MB)", tar, folder)?;
    fs::remove_file(&archive).context("cannot remove the archive")
}
