//! The hub of the demo: the page on which its instances can be watched.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use data_bridge_stack::bridge::program;
use data_bridge_stack::process::{Lifetime, Process};

/// It has nothing to drain.
const STOP_GRACE: Duration = Duration::from_secs(5);

pub(super) struct Hub {
    process: Process,
}

impl Hub {
    /// Starts it where the configuration says.
    pub(super) fn start(
        bridge: &Path,
        config: &Path,
        folder: &Path,
        lifetime: Lifetime,
    ) -> Result<Self> {
        let folder = folder.join("hub");
        let mut command = program(bridge);
        command.arg("hub").arg("--config").arg(config).arg("--state-dir").arg(folder.join("state"));
        Ok(Self { process: Process::spawn("hub", command, &folder.join("hub.log"), lifetime)? })
    }

    /// Ends it. Returns what went wrong.
    pub(super) fn stop(&self) -> Result<Option<String>> {
        let status = self.process.stop(STOP_GRACE)?;
        Ok((!status.success()).then(|| format!("the hub ended with {status}")))
    }
}
