//! `data-bridge completions`: completions for shells.

use std::io::Write;

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Cli, Exit};

/// Print completions for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    /// The shell
    shell: Shell,
}

const HELP: &str = "\
Examples:
  data-bridge completions bash > /etc/bash_completion.d/data-bridge
  data-bridge completions zsh > ~/.zfunc/_data-bridge
  data-bridge completions fish > ~/.config/fish/completions/data-bridge.fish

Exit codes:
  0  printed
  2  usage";

/// Prints the completions.
pub(super) fn execute(args: &Args) -> anyhow::Result<Exit> {
    // Into memory first: a closed pipe is then an error and no panic.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "data-bridge", &mut script);
    std::io::stdout().lock().write_all(&script)?;
    Ok(Exit::Done)
}
