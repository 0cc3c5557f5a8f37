//! Runs servers in the foreground: `data-bridge-stack kafka nats` prints the address and the pid of
//! each and keeps them until it ends itself, by Ctrl-C or however else.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;

use anyhow::{Result, bail};
use data_bridge_stack::kafka::{Kafka, KafkaOptions};
use data_bridge_stack::nats::{Nats, NatsOptions};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            writeln!(io::stderr().lock(), "error: {error:#}").ok();
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let Some(folder) = arguments.next().map(PathBuf::from) else {
        bail!("usage: data-bridge-stack FOLDER kafka|nats ...");
    };
    let mut brokers = Vec::new();
    let mut servers = Vec::new();
    for name in arguments {
        let place = folder.join(&name);
        match name.to_str() {
            Some("kafka") => {
                let kafka = Kafka::start(&place, KafkaOptions::default())?;
                say("kafka", &kafka.bootstrap(), kafka.pid())?;
                brokers.push(kafka);
            }
            Some("nats") => {
                let nats = Nats::start(&place, NatsOptions::default())?;
                say("nats", &nats.url(), nats.pid())?;
                servers.push(nats);
            }
            _ => bail!("{} is neither kafka nor nats", name.display()),
        }
    }
    loop {
        // Whatever ends this process ends the servers.
        thread::park();
    }
}

fn say(name: &str, address: &str, pid: u32) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{name} {address} {pid}")?;
    out.flush()
}
