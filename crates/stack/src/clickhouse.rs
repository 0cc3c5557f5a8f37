//! The embedded ClickHouse: `data-bridge clickhouse` as a server of its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::cache::Cache;
use crate::health;
use crate::install;
use crate::port;
use crate::process::{Lifetime, Process};

/// 0.1 s warm; the first start reads a library of 566 MB from disk, a recovery many parts.
const START_LIMIT: Duration = Duration::from_secs(90);
const STOP_GRACE: Duration = Duration::from_secs(20);

/// What may differ from server to server.
#[derive(Debug, Clone, Default)]
pub struct ClickHouseOptions {
    /// Where clients connect; any free port if `None`.
    pub port: Option<u16>,
    /// How long it lives.
    pub lifetime: Lifetime,
    /// More arguments of `data-bridge clickhouse`.
    pub arguments: Vec<String>,
}

/// A server. Dropping it ends it.
#[derive(Debug)]
pub struct ClickHouse {
    binary: PathBuf,
    library: PathBuf,
    folder: PathBuf,
    options: ClickHouseOptions,
    port: u16,
    process: Process,
}

impl ClickHouse {
    /// Starts `binary clickhouse` (the program `data-bridge`) with its data in `folder`; installs
    /// the engine first if need be. `$DATA_BRIDGE_LIBCHDB` names another library.
    ///
    /// # Errors
    /// When the installation fails or the server is not up in time: with the end of its log.
    pub fn start(binary: &Path, folder: &Path, options: ClickHouseOptions) -> Result<Self> {
        let library = match std::env::var_os("DATA_BRIDGE_LIBCHDB") {
            Some(path) => PathBuf::from(path),
            None => install::libchdb(&Cache::from_env()?)?,
        };
        Self::start_with_library(binary, library, folder, options)
    }

    fn start_with_library(
        binary: &Path,
        library: PathBuf,
        folder: &Path,
        options: ClickHouseOptions,
    ) -> Result<Self> {
        let binary = std::path::absolute(binary)?;
        let folder = std::path::absolute(folder)?;
        let port = options.port.map_or_else(port::free, Ok)?;
        let process = launch(&binary, &library, &folder, &options, port)?;
        Ok(Self { binary, library, folder, options, port, process })
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Where clients connect.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
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

    /// Ends it if it still runs and starts it again with the same port and data.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn restart(&mut self) -> Result<()> {
        self.stop()?;
        self.process = launch(&self.binary, &self.library, &self.folder, &self.options, self.port)?;
        Ok(())
    }
}

fn launch(
    binary: &Path,
    library: &Path,
    folder: &Path,
    options: &ClickHouseOptions,
    port: u16,
) -> Result<Process> {
    let mut command = Command::new(binary);
    command.arg("clickhouse").arg("--path").arg(folder.join("data"));
    command.arg("--listen").arg(format!("127.0.0.1:{port}"));
    command.arg("--library").arg(library).args(&options.arguments);
    // An engine without a config file would take one that lies in the current folder.
    command.current_dir(folder);
    let log = folder.join("clickhouse.log");
    let process = Process::spawn("ClickHouse", command, &log, options.lifetime)?;
    let healthy = health::wait(&process, START_LIMIT, || {
        let answer = health::http_get(port, "/ping")?;
        if answer.trim_end() != "Ok." {
            bail!("GET /ping was answered by {answer:?}");
        }
        Ok(())
    });
    if let Err(error) = healthy {
        process.kill()?;
        return Err(error);
    }
    Ok(process)
}
