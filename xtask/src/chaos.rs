//! `cargo xtask chaos`: builds the bridge and the program that torments it, and starts it.

use std::ffi::OsString;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{prerequisites, workspace};

#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Arguments {
    /// As they ship: optimised
    #[arg(long)]
    release: bool,
    /// Handed on; `cargo xtask chaos --help` shows them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<OsString>,
}

/// `false` when a promise did not hold.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    prerequisites::check()?;
    let mut build = workspace::cargo(&["build", "--quiet", "--workspace", "--bins"]);
    if arguments.release {
        build.arg("--release");
    }
    if !build.status().context("cargo does not run")?.success() {
        bail!("the bridge does not compile");
    }
    let target = workspace::metadata()?.target;
    let programs = target.join(if arguments.release { "release" } else { "debug" });
    let mut command = Command::new(programs.join("data-bridge-chaos"));
    command.arg("--bridge").arg(programs.join("data-bridge"));
    command.arg("--folder").arg(target.join("chaos")).args(&arguments.rest);
    let status = command.status().context("the chaos program does not run")?;
    Ok(status.success())
}
