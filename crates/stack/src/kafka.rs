//! One Kafka broker that is its own controller (`KRaft`), on loopback.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::cache::Cache;
use crate::health;
use crate::install::{self, KafkaHome};
use crate::port;
use crate::process::{Lifetime, Process};

mod handshake;
mod properties;

use properties::Listeners;

/// 2 s on a quiet machine; CI machines with a cold disk and busy neighbours need the rest.
const START_LIMIT: Duration = Duration::from_mins(2);
/// A broker that closes its logs in order takes one or two seconds.
const STOP_GRACE: Duration = Duration::from_secs(20);

/// What may differ from broker to broker.
#[derive(Debug, Clone, Default)]
pub struct KafkaOptions {
    /// Where clients connect; any free port if `None`.
    pub port: Option<u16>,
    /// More ways to the broker than the plain one, each with a listener of its own. Clients that
    /// come by one are told to come back by it.
    pub ways: Vec<Way>,
    /// Lines of `server.properties`, stronger than ours.
    pub properties: Vec<(String, String)>,
    /// Full optimisation by Java: slower to start, faster once warm. For benchmarks.
    pub optimised: bool,
    /// Heap in MB; 384 if `None`.
    pub heap_mb: Option<u32>,
    /// How long it lives.
    pub lifetime: Lifetime,
    /// More options for Java.
    pub java: Vec<String>,
}

/// A way to a broker, through a proxy or under a protocol of its own. Way number n is the listener
/// `WAYn`; in property names `listener.name.wayn.`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    /// Where the broker listens.
    pub behind: u16,
    /// The port that clients are told: that of the proxy, or `behind` once more.
    pub seen: u16,
    /// `PLAINTEXT`, `SSL` or `SASL_SSL`; what these need besides stands in
    /// [`KafkaOptions::properties`].
    pub protocol: &'static str,
}

/// A broker. Dropping it ends it.
#[derive(Debug)]
pub struct Kafka {
    home: KafkaHome,
    folder: PathBuf,
    options: KafkaOptions,
    listeners: Listeners,
    process: Process,
}

impl Kafka {
    /// Starts a broker that keeps everything in `folder`, with the data of an earlier run if there
    /// is any; installs Kafka first if need be. Topics are not created by mere use, nothing
    /// expires, and records may be as old as they like.
    ///
    /// # Errors
    /// When the installation fails or the broker does not answer in time: with the end of its log.
    pub fn start(folder: &Path, options: KafkaOptions) -> Result<Self> {
        let home = install::kafka(&Cache::from_env()?)?;
        Self::start_from(&home, folder, options)
    }

    pub(crate) fn start_from(
        home: &KafkaHome,
        folder: &Path,
        options: KafkaOptions,
    ) -> Result<Self> {
        let folder = std::path::absolute(folder)?;
        let listeners = Listeners {
            client: options.port.map_or_else(port::free, Ok)?,
            controller: port::free()?,
            ways: options.ways.clone(),
        };
        let process = launch(home, &folder, &options, &listeners)?;
        Ok(Self { home: home.clone(), folder, options, listeners, process })
    }

    /// For `bootstrap.servers`.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port())
    }

    /// Where clients connect.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.listeners.client
    }

    /// The broker's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The process, to freeze it or to read its log.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// The installation, to run Kafka's own tools against the broker.
    #[must_use]
    pub fn home(&self) -> &KafkaHome {
        &self.home
    }

    /// Ends it as a crash of the broker would (SIGKILL).
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
        self.process = launch(&self.home, &self.folder, &self.options, &self.listeners)?;
        Ok(())
    }
}

fn launch(
    home: &KafkaHome,
    folder: &Path,
    options: &KafkaOptions,
    listeners: &Listeners,
) -> Result<Process> {
    let data = folder.join("data");
    format_once(home, &data)?;
    let properties = folder.join("server.properties");
    fs::write(&properties, properties::text(listeners, &data, &options.properties))
        .with_context(|| format!("cannot write {}", properties.display()))?;

    let mut java = home.command();
    java.arg(format!("-Xmx{}m", options.heap_mb.unwrap_or(384)));
    java.args(["-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.showDateTime=true"]);
    java.arg("-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSX");
    if !options.optimised {
        java.arg("-XX:TieredStopAtLevel=1");
    }
    if let Some(archive) = &home.archive {
        // An archive that does not fit is ignored by Java, with a warning in the log.
        java.arg(format!("-XX:SharedArchiveFile={}", archive.display()));
    }
    java.args(&options.java).arg("kafka.Kafka").arg(&properties).current_dir(folder);

    let log = folder.join("kafka.log");
    let process = Process::spawn("Kafka", java, &log, options.lifetime)?;
    if let Err(error) =
        health::wait(&process, START_LIMIT, || handshake::metadata(listeners.client))
    {
        process.kill()?;
        return Err(error);
    }
    Ok(process)
}

/// Makes `data` a storage of a new cluster unless it is one already, as `StorageTool format` does.
fn format_once(home: &KafkaHome, data: &Path) -> Result<()> {
    let meta = data.join("meta.properties");
    if meta.exists() {
        return Ok(());
    }
    fs::create_dir_all(data).with_context(|| format!("cannot create {}", data.display()))?;
    fs::copy(&home.bootstrap_checkpoint, data.join("bootstrap.checkpoint"))
        .context("cannot copy the formatted storage")?;
    let text = format!(
        "version=1\nnode.id=1\ncluster.id={}\ndirectory.id={}\n",
        properties::random_id()?,
        properties::random_id()?
    );
    // Written last: with this file the storage counts as formatted.
    fs::write(&meta, text).with_context(|| format!("cannot write {}", meta.display()))
}
