//! `cargo xtask bench`: what the bridge costs, beside its peers and its limits, in one run on one
//! machine. No figure without its rows verified.

use anyhow::Result;

mod contestant;
mod drain;
mod engine;
mod figures;
mod ground;
mod histogram;
mod live;
mod memory;
mod meter;
mod micro;
mod nats;
mod picture;
pub(crate) mod profile;
mod sql;

#[derive(Debug, clap::Args)]
#[command(after_help = HELP, args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    drain: drain::Arguments,
}

const HELP: &str = "\
Examples:
  cargo xtask bench                                     everybody drains the same topic
  cargo xtask bench --messages 1000000 --repeat 1 --only bridge
  cargo xtask bench --json bench.json --picture docs/bench.svg";

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Decode, identity, columns and Native of every kind of message, beside `serde_json`
    #[command(
        after_help = "Examples:\n  cargo xtask bench decode\n  cargo xtask bench decode --only candle --json"
    )]
    Decode(micro::Micro),
    /// Sorting blocks and writing them as Native
    #[command(
        after_help = "Examples:\n  cargo xtask bench encode\n  cargo xtask bench encode --only tick --rounds 11"
    )]
    Encode(micro::Micro),
    /// What a row costs the engine, by rows per insert and by settings
    Engine(engine::Arguments),
    /// From produce to queryable, by rate
    Latency(live::LatencyArguments),
    /// What a message costs as instances and partitions grow
    Scale(live::ScaleArguments),
    /// How long partitions stand still when an instance goes
    Failover(live::FailoverArguments),
    /// A lag far larger than memory, against the limit
    Memory(memory::Arguments),
    /// A stream of JetStream drained, beside plain pull consumers, and a steady rate
    Nats(nats::Arguments),
}

/// `false` when there is no figure, because something did not come out right.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    match &arguments.what {
        None => drain::run(&arguments.drain).map(|()| true),
        Some(What::Decode(micro)) => micro.run("decode"),
        Some(What::Encode(micro)) => micro.run("encode"),
        Some(What::Engine(arguments)) => engine::run(arguments).map(|()| true),
        Some(What::Latency(arguments)) => live::latency(arguments).map(|()| true),
        Some(What::Scale(arguments)) => live::scale(arguments).map(|()| true),
        Some(What::Failover(arguments)) => live::failover(arguments).map(|()| true),
        Some(What::Memory(arguments)) => memory::run(arguments).map(|()| true),
        Some(What::Nats(arguments)) => nats::run(arguments).map(|()| true),
    }
}
