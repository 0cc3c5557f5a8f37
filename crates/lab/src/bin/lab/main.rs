//! What a benchmark runs beside the bridge: it makes the messages, knows what must come of them,
//! and is the peers and limits that are measured on the same topic. `cargo xtask bench` builds and
//! drives it; every command prints one JSON object.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use serde_json::Value;

mod blocks;
mod consume;
mod latency;
mod nats;
mod per_message;
mod produce;

#[derive(Parser)]
#[command(name = "lab", about = "Messages, peers and limits of the benchmark")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Produce the seeded messages and say what must come of them
    Produce(produce::Arguments),
    /// librdkafka reads the topic and nothing is done with it
    Consume(consume::Arguments),
    /// One message at a time, as most would write it; runs until it is killed
    PerMessage(per_message::Arguments),
    /// Write the rows of a table as Native blocks into files
    Blocks(blocks::Dump),
    /// Insert these files as they are
    Feed(blocks::Feed),
    /// Produce at a rate and see when each message can be queried
    Latency(latency::Arguments),
    /// Publish the seeded ticks to a stream and say what must come of them
    NatsPublish(nats::Publish),
    /// A plain pull consumer reads the stream and nothing is done with it
    NatsPull(nats::Pull),
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(page) => {
            // A reader that is gone needs no answer.
            writeln!(std::io::stdout().lock(), "{page}").ok();
            ExitCode::SUCCESS
        }
        Err(error) => {
            writeln!(std::io::stderr().lock(), "error: {error:#}").ok();
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<Value> {
    match command {
        Command::Produce(arguments) => produce::run(&arguments),
        Command::Consume(arguments) => consume::run(&arguments),
        Command::PerMessage(arguments) => runtime()?.block_on(per_message::run(&arguments)),
        Command::Blocks(arguments) => runtime()?.block_on(blocks::dump(&arguments)),
        Command::Feed(arguments) => runtime()?.block_on(blocks::feed(&arguments)),
        Command::Latency(arguments) => latency::run(&arguments),
        Command::NatsPublish(arguments) => nats::publish(&arguments),
        Command::NatsPull(arguments) => runtime()?.block_on(nats::pull(&arguments)),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

/// Processor time of this process so far, in seconds.
fn cpu_seconds() -> f64 {
    data_bridge_lab::process::Process::look(std::process::id())
        .map_or(0.0, |process| process.cpu.as_secs_f64())
}
