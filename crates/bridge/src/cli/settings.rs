//! `--config` and `--set`, and the configuration they lead to.

use std::path::{Path, PathBuf};

use super::exit::{Exit, Stop};
use super::report;
use crate::config::{Config, Environment, File, Loaded, Override};

/// The file that is read when none is named and it is there.
const DEFAULT_FILE: &str = "bridge.yaml";

/// Where the configuration comes from.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Settings {
    /// Configuration file [default: bridge.yaml, when there is one]
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Sets one key, stronger than file and environment; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub set: Vec<(String, String)>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .map(|(key, value)| (key.trim().to_owned(), value.to_owned()))
        .ok_or_else(|| "write KEY=VALUE, such as kafka.brokers=localhost:9092".to_owned())
}

impl Settings {
    /// Reads and checks the configuration.
    ///
    /// # Errors
    /// A named file that cannot be read, and [`Problems`](crate::config::Problems).
    pub fn load(&self, environment: &Environment) -> anyhow::Result<Loaded> {
        let text = self.read()?;
        let path = self.path();
        let overrides = self
            .set
            .iter()
            .map(|(key, value)| Override { flag: "--set", key, value })
            .collect::<Vec<_>>();
        let file = text.as_deref().map(|text| File { path, text });
        Ok(Config::load(file, environment, &overrides)?)
    }

    /// As `load`, with warnings on standard error.
    ///
    /// # Errors
    /// As `load`.
    pub fn load_aloud(&self, environment: &Environment) -> anyhow::Result<Loaded> {
        let loaded = self.load(environment)?;
        report::warnings(&loaded.warnings);
        Ok(loaded)
    }

    fn path(&self) -> &Path {
        self.config.as_deref().unwrap_or(Path::new(DEFAULT_FILE))
    }

    /// The file's text; `None` when none is named and the default is not there.
    fn read(&self) -> Result<Option<String>, Stop> {
        let path = self.path();
        let error = match std::fs::read_to_string(path) {
            Ok(text) => return Ok(Some(text)),
            Err(error) => error,
        };
        if self.config.is_none() && error.kind() == std::io::ErrorKind::NotFound {
            return Ok(None);
        }
        let hint = match error.kind() {
            std::io::ErrorKind::InvalidData => "save the file as UTF-8",
            std::io::ErrorKind::NotFound => {
                "name a file that is there, or leave --config out for the defaults"
            }
            _ => "the file must be readable",
        };
        Err(Stop::new(Exit::Usage, format!("cannot read {}: {error}", path.display()), hint))
    }
}
