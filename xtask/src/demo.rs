//! `cargo xtask demo`: the whole system on real servers, and the proof that nothing got lost.
//!
//! 1. The servers of `stack up`, with folders and ports of their own.
//! 2. `data-bridge init`: tables and topics.
//! 3. Three `data-bridge run` with the ids `demo-1` to `demo-3`.
//! 4. `data-bridge load`: messages of all kinds, with planted bad ones and duplicates.
//! 5. While they flow: a live table on a terminal, plain lines elsewhere. In the middle `demo-2` is
//!    killed with -9 and started again.
//! 6. The verdict, some queries to try, and how to stop; `--keep` leaves everything running.

use anyhow::{Result, bail};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Leave servers and instances running at the end
    #[arg(long)]
    keep: bool,
    /// How many messages
    #[arg(long, default_value_t = 300_000)]
    messages: u64,
}

/// `false` when the verdict is that something is missing, doubled or altered.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    bail!(
        "not there yet ({} messages, keep: {})",
        arguments.messages,
        arguments.keep
    )
}
