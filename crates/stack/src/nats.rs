//! One nats-server with `JetStream`, on loopback.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::ScopedJoinHandle;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::cache::Cache;
use crate::health;
use crate::install;
use crate::port;
use crate::process::{Lifetime, Process};

/// It answers within milliseconds; a large store is read first.
const START_LIMIT: Duration = Duration::from_secs(30);
const STOP_GRACE: Duration = Duration::from_secs(10);

/// What may differ from server to server.
#[derive(Debug, Clone, Default)]
pub struct NatsOptions {
    /// Where clients connect; any free port if `None`.
    pub port: Option<u16>,
    /// How long it lives.
    pub lifetime: Lifetime,
    /// More arguments, for example `-c FILE`.
    pub arguments: Vec<String>,
}

/// A server. Dropping it ends it.
#[derive(Debug)]
pub struct Nats {
    program: PathBuf,
    folder: PathBuf,
    options: NatsOptions,
    client: u16,
    monitor: u16,
    process: Process,
}

impl Nats {
    /// Starts a server that keeps everything in `folder`, with the streams of an earlier run if
    /// there are any; installs it first if need be.
    ///
    /// # Errors
    /// When the installation fails or the server is not healthy in time: with the end of its log.
    pub fn start(folder: &Path, options: NatsOptions) -> Result<Self> {
        let program = install::nats_server(&Cache::from_env()?)?;
        let folder = std::path::absolute(folder)?;
        let client = options.port.map_or_else(port::free, Ok)?;
        let monitor = port::free()?;
        let process = launch(&program, &folder, &options, client, monitor)?;
        Ok(Self { program, folder, options, client, monitor, process })
    }

    /// Starts `count` servers that are one cluster, each in a folder of its own below `folder`.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn cluster(folder: &Path, count: usize) -> Result<Vec<Self>> {
        let ports = (0..count).map(|_| port::free()).collect::<Result<Vec<_>>>()?;
        let routes = ports.iter().map(|port| format!("\"nats://127.0.0.1:{port}\""));
        let routes = routes.collect::<Vec<_>>().join(", ");
        let start = |index: usize, port: u16| {
            let name = format!("n{}", index + 1);
            let folder = folder.join(&name);
            fs::create_dir_all(&folder)?;
            let config = folder.join("nats.conf");
            let text = format!(
                "server_name: {name}\ncluster {{ name: stack, listen: \"127.0.0.1:{port}\", \
                 routes: [{routes}] }}\n"
            );
            fs::write(&config, text)?;
            let arguments = vec!["-c".to_owned(), config.display().to_string()];
            Self::start(&folder, NatsOptions { arguments, ..NatsOptions::default() })
        };
        // None is healthy before the others are there.
        std::thread::scope(|scope| {
            let start = &start;
            let starting: Vec<_> = ports
                .iter()
                .enumerate()
                .map(|(index, port)| scope.spawn(move || start(index, *port)))
                .collect();
            let ended = |server: ScopedJoinHandle<'_, Result<Self>>| {
                server.join().unwrap_or_else(|_| bail!("a server could not be started"))
            };
            starting.into_iter().map(ended).collect()
        })
    }

    /// `nats://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.client)
    }

    /// Where clients connect.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.client
    }

    /// The port of the monitoring pages (`/varz`, `/jsz`, `/healthz`).
    #[must_use]
    pub fn monitor_port(&self) -> u16 {
        self.monitor
    }

    /// The server's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The process, to freeze it or to read its log.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Ends it as a crash would (SIGKILL).
    ///
    /// # Errors
    /// When it does not die.
    pub fn kill(&self) -> Result<()> {
        self.process.kill().map(drop)
    }

    /// Ends it in order (SIGTERM), at last by force.
    ///
    /// # Errors
    /// When it does not die.
    pub fn stop(&self) -> Result<()> {
        self.process.stop(STOP_GRACE).map(drop)
    }

    /// Ends it if it still runs and starts it again with the same ports and data.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn restart(&mut self) -> Result<()> {
        self.stop()?;
        self.process =
            launch(&self.program, &self.folder, &self.options, self.client, self.monitor)?;
        Ok(())
    }
}

fn launch(
    program: &Path,
    folder: &Path,
    options: &NatsOptions,
    client: u16,
    monitor: u16,
) -> Result<Process> {
    let mut command = Command::new(program);
    command.args(["-a", "127.0.0.1", "-js"]);
    command.arg("-p").arg(client.to_string()).arg("-m").arg(monitor.to_string());
    command.arg("-sd").arg(folder.join("data")).args(&options.arguments);
    let process = Process::spawn("NATS", command, &folder.join("nats.log"), options.lifetime)?;
    let healthy =
        health::wait(&process, START_LIMIT, || health::http_get(monitor, "/healthz").map(drop));
    if let Err(error) = healthy {
        process.kill()?;
        return Err(error);
    }
    Ok(process)
}
