//! The Grafana dashboard, held against the types that Grafana itself is written with.

use std::fs;
use std::process::Command;

use anyhow::Result;

use super::super::{Finding, run_quietly};
use super::{folder, is_there, skipped, tools};
use crate::workspace;

const DASHBOARD: &str = "deploy/grafana/data-bridge.json";

/// A wrong type, or a key that Grafana does not know, is an error of the compiler; what a panel's own
/// options hold is open in Grafana's types too.
pub(super) fn check() -> Result<Finding> {
    if !is_there("node") {
        return Ok(skipped("node is not installed: apt-get install nodejs npm"));
    }
    let modules = match tools::grafana() {
        Ok(modules) => modules,
        Err(error) => return Ok(skipped(&format!("{error:#}"))),
    };
    let text = workspace::read(DASHBOARD.as_ref())?;
    // The one enumeration among what is written; JSON has only its text.
    let text = text.replace("\"mode\": \"absolute\"", "\"mode\": ThresholdsMode.Absolute");
    let folder = folder("grafana")?;
    std::os::unix::fs::symlink(modules.join("node_modules"), folder.join("node_modules"))?;
    let types = "import { Dashboard, ThresholdsMode } from \"@grafana/schema\";";
    let program = format!("{types}\nexport const dashboard: Dashboard = {text};\n");
    fs::write(folder.join("dashboard.ts"), program)?;
    let mut compiler = Command::new("node");
    compiler
        .arg("node_modules/typescript/bin/tsc")
        .args(["--noEmit", "--skipLibCheck", "--strict", "--target", "es2022"])
        .args(["--module", "esnext", "--moduleResolution", "bundler", "dashboard.ts"])
        .current_dir(&folder);
    let panels = text.matches("\"gridPos\"").count();
    Ok(run_quietly(compiler)?.map(|_| format!("{panels} panels")))
}
