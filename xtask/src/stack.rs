//! `cargo xtask stack`: Kafka, NATS and ClickHouse on this machine, independent of any terminal.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use data_bridge_stack::clickhouse::{ClickHouse, ClickHouseOptions};
use data_bridge_stack::kafka::{Kafka, KafkaOptions};
use data_bridge_stack::nats::{Nats, NatsOptions};
use data_bridge_stack::port;
use data_bridge_stack::process::{self, Lifetime, Process};

use crate::{prerequisites, screen, workspace};

mod state;

use state::{Server, Stack};

/// The servers, in the order in which they start, with the ports that their clients expect.
const SERVERS: [(&str, u16); 3] = [("kafka", 9092), ("nats", 4222), ("clickhouse", 8123)];
/// The folder of the demo among those of the servers.
pub(crate) const DEMO: &str = "demo";
/// An instance drains within its own limit of 25 s; a broker closes its logs in a second or two.
const STOP_GRACE: Duration = Duration::from_secs(30);

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum Action {
    /// Start what does not run yet, and print the addresses
    Up {
        /// As they ship, to measure with: the bridge optimised, the broker fully compiled by Java
        #[arg(long)]
        release: bool,
    },
    /// Show what runs
    Status,
    /// Stop what `up` has started; the data stays
    Down,
    /// Stop it and delete its data
    Clean,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let folder = folder()?;
    match arguments.action {
        Action::Up { release } => {
            let stack = up(&folder, &bridge_binary(release)?, release)?;
            show(&stack, "stop them with: cargo xtask stack down");
            screen::line(&format!("use them with:  {}", variables(&stack)));
        }
        Action::Status => show(&Stack::read(&folder)?, "start them with: cargo xtask stack up"),
        Action::Down => down(&folder)?,
        Action::Clean => {
            down(&folder)?;
            if folder.exists() {
                fs::remove_dir_all(&folder)
                    .with_context(|| format!("cannot remove {}", folder.display()))?;
                screen::line(&format!("removed {}", folder.display()));
            }
        }
    }
    Ok(())
}

/// Where servers keep their data.
pub(crate) fn folder() -> Result<PathBuf> {
    Ok(workspace::metadata()?.target.join("stack"))
}

/// The program `data-bridge`, built if need be.
pub(crate) fn bridge_binary(release: bool) -> Result<PathBuf> {
    prerequisites::check()?;
    // All programs of the workspace at once: one selection of features, so nothing is built twice.
    let mut build = workspace::cargo(&["build", "--workspace", "--bins"]);
    if release {
        build.arg("--release");
    }
    if !build.status().context("cargo does not run")?.success() {
        bail!("the bridge does not compile");
    }
    let profile = if release { "release" } else { "debug" };
    Ok(workspace::metadata()?.target.join(profile).join("data-bridge"))
}

/// Starts every server that does not run; leaves alone what does.
fn up(folder: &Path, bridge: &Path, optimised: bool) -> Result<Stack> {
    let _lock = lock(folder)?;
    let mut stack = Stack::read(folder)?;
    for (name, usual_port) in SERVERS {
        if stack.server(name).is_some_and(Server::runs) {
            continue;
        }
        let place = folder.join(name);
        // A start that was interrupted may have left one that no state knows of.
        end_recorded(&place)?;
        let port = free_port(&stack, name, usual_port)?;
        let server = start(name, &place, port, bridge, optimised)?;
        screen::line(&format!("{name}: started on 127.0.0.1:{port}"));
        stack.set(server);
        stack.write(folder)?;
    }
    Ok(stack)
}

/// Stops everything that was started from `folder`, the demo's part included, and nothing else;
/// the data stays.
fn down(folder: &Path) -> Result<()> {
    if !folder.exists() {
        screen::line("nothing runs");
        return Ok(());
    }
    let _lock = lock(folder)?;
    if end_all(&folder.join(DEMO))? + end_all(folder)? == 0 {
        screen::line("nothing runs");
    }
    Ok(())
}

/// Ends every detached process whose log lies in a folder of `folder`; returns how many ran.
pub(crate) fn end_all(folder: &Path) -> Result<u32> {
    let mut places = Vec::new();
    if folder.is_dir() {
        for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
            places.push(entry?.path());
        }
    }
    // Bridges first, so that they can commit to a broker that still runs.
    places.sort_by_key(|place| (is_server(place), place.clone()));
    let mut ended = 0;
    for place in places {
        if end_recorded(&place)? {
            let name = place.file_name().unwrap_or_default().display().to_string();
            screen::line(&format!("{name}: stopped"));
            ended += 1;
        }
    }
    Ok(ended)
}

fn is_server(place: &Path) -> bool {
    SERVERS.iter().any(|(name, _)| place.ends_with(name))
}

/// The port of the last run, then the usual one, then any: addresses stay what they were.
fn free_port(stack: &Stack, name: &str, usual: u16) -> Result<u16> {
    port::free_or(stack.server(name).map_or(usual, |server| server.port))
}

fn start(name: &str, place: &Path, port: u16, bridge: &Path, optimised: bool) -> Result<Server> {
    let lifetime = Lifetime::Detached;
    let port = Some(port);
    match name {
        "kafka" => {
            let options = KafkaOptions { port, lifetime, optimised, ..KafkaOptions::default() };
            let kafka = Kafka::start(place, options)?;
            server(name, kafka.port(), kafka.bootstrap(), kafka.process())
        }
        "nats" => {
            let options = NatsOptions { port, lifetime, ..NatsOptions::default() };
            let nats = Nats::start(place, options)?;
            server(name, nats.port(), nats.url(), nats.process())
        }
        _ => {
            let options = ClickHouseOptions { port, lifetime, ..ClickHouseOptions::default() };
            let clickhouse = ClickHouse::start(bridge, place, options)?;
            server(name, clickhouse.port(), clickhouse.url(), clickhouse.process())
        }
    }
}

fn server(name: &str, port: u16, address: String, process: &Process) -> Result<Server> {
    let pid = process.pid();
    let started = process::start_time(pid)
        .with_context(|| format!("{name} has just ended\n{}", process.log_tail()))?;
    let log = process.log().to_owned();
    Ok(Server { name: name.to_owned(), pid, started, port, address, log })
}

fn end_recorded(place: &Path) -> Result<bool> {
    match process::recorded(place) {
        Some((pid, started)) => process::end_detached(pid, started, STOP_GRACE),
        None => Ok(false),
    }
}

/// Two calls at once would start every server twice.
fn lock(folder: &Path) -> Result<File> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let path = folder.join("lock");
    let file = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
    file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
    Ok(file)
}

fn show(stack: &Stack, hint: &str) {
    screen::line(&row(["server", "state", "address", "pid", "memory", "log"]));
    for (name, _) in SERVERS {
        let Some(server) = stack.server(name) else {
            screen::line(&row([name, "absent", "-", "-", "-", "-"]));
            continue;
        };
        let (state, pid, memory) = if server.runs() {
            ("runs", server.pid.to_string(), memory(server.pid))
        } else {
            ("ended", "-".to_owned(), "-".to_owned())
        };
        let log = server.log.display().to_string();
        screen::line(&row([name, state, &server.address, &pid, &memory, &log]));
    }
    screen::line(hint);
}

/// The addresses as the variables that `data-bridge` reads.
fn variables(stack: &Stack) -> String {
    let names =
        [("kafka", "KAFKA_BROKERS"), ("nats", "NATS_URL"), ("clickhouse", "CLICKHOUSE_URL")];
    let set = names.iter().filter_map(|(name, variable)| {
        stack.server(name).map(|server| format!("{variable}={}", server.address))
    });
    set.collect::<Vec<_>>().join(" ")
}

fn row([server, state, address, pid, memory, log]: [&str; 6]) -> String {
    format!("{server:<11} {state:<7} {address:<24} {pid:>8} {memory:>8}  {log}")
}

/// Resident memory of a process (`proc_pid_status(5)`).
fn memory(pid: u32) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kilobytes = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.map_or_else(|| "-".to_owned(), |kilobytes| format!("{} MB", kilobytes / 1024))
}
