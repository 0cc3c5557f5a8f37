//! The alert rules: Prometheus reads them, their tests pass, what they name exists. And the queries of
//! the Grafana dashboard, which Prometheus reads too.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Finding, run_quietly};
use crate::workspace;

const FOLDER: &str = "deploy/prometheus";
const INSTALL: &str = "promtool is not installed: apt-get install prometheus";

pub(super) fn check() -> Result<Finding> {
    let read = |path: String| workspace::read(path.as_ref());
    let rules = read(format!("{FOLDER}/rules.yaml"))?;
    let mut findings = unknown_metrics(&rules, &read("docs/metrics.md".to_owned())?);
    findings.extend(missing_runbooks(&rules, &read("docs/operations.md".to_owned())?));
    if !findings.is_empty() {
        return Ok(Err(findings.join("\n")));
    }
    if Command::new("promtool").arg("--version").output().is_err() {
        // Continuous integration installs it; at home the rest of the check is worth having.
        let must = std::env::var_os("CI").is_some();
        return Ok(if must { Err(INSTALL.to_owned()) } else { Ok(format!("untested: {INSTALL}")) });
    }
    for arguments in [["check", "rules", "rules.yaml"], ["test", "rules", "rules_test.yaml"]] {
        let mut command = Command::new("promtool");
        command.args(arguments).current_dir(workspace::root().join(FOLDER));
        if let Err(text) = run_quietly(command)? {
            return Ok(Err(text));
        }
    }
    let queries = queries(&read("deploy/grafana/data-bridge.json".to_owned())?)?;
    let path = workspace::root().join("target/grafana-queries.yaml");
    fs::create_dir_all(path.parent().context("a file lies in a folder")?)?;
    fs::write(&path, as_rules(&queries))?;
    let mut command = Command::new("promtool");
    command.args(["check", "rules"]).arg(&path);
    if let Err(text) = run_quietly(command)? {
        return Ok(Err(format!("queries of deploy/grafana/data-bridge.json: {text}")));
    }
    let alerts = rules.matches("- alert:").count();
    Ok(Ok(format!("{alerts} alerts, {} queries of Grafana", queries.len())))
}

/// All that the panels ask for, with values in the place of Grafana's variables.
fn queries(dashboard: &str) -> Result<Vec<String>> {
    let dashboard: Value = serde_json::from_str(dashboard).context("the dashboard is no JSON")?;
    let panels = dashboard["panels"].as_array().context("the dashboard has no panels")?;
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let queries = targets.filter_map(|target| target["expr"].as_str());
    Ok(queries.map(|query| query.replace("$__rate_interval", "1m").replace('$', "any_")).collect())
}

/// Rules that record each query: the form in which promtool reads it.
fn as_rules(queries: &[String]) -> String {
    let mut rules = "groups:\n- name: grafana\n  rules:\n".to_owned();
    for (number, query) in queries.iter().enumerate() {
        // JSON is YAML.
        let query = Value::from(query.as_str());
        writeln!(rules, "  - {{ record: query_{number}, expr: {query} }}")
            .expect("a string takes all");
    }
    rules
}

/// Metrics of ours that no instance exposes.
pub(crate) fn unknown_metrics(rules: &str, reference: &str) -> Vec<String> {
    let words = rules.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'));
    let mut unknown: Vec<String> = words
        .filter(|word| word.starts_with("data_bridge_"))
        .filter(|word| {
            let stem = ["_bucket", "_count", "_sum"].iter().find_map(|end| word.strip_suffix(end));
            let is_known = |name: &str| reference.contains(&format!("`{name}`"));
            !is_known(word) && !stem.is_some_and(is_known)
        })
        .map(|word| format!("{FOLDER}/rules.yaml: {word} is not in docs/metrics.md"))
        .collect();
    unknown.dedup();
    unknown
}

/// Alerts whose link leads nowhere.
fn missing_runbooks(rules: &str, operations: &str) -> Vec<String> {
    let headings: Vec<String> = operations
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .map(|heading| heading.trim().to_lowercase())
        .collect();
    let links = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("runbook_url: docs/operations.md#"));
    links
        .filter(|anchor| !headings.iter().any(|heading| heading == anchor))
        .map(|anchor| format!("docs/operations.md has no heading for #{anchor}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_that_nobody_exposes_is_named() {
        let reference = "| `data_bridge_ready` | gauge |\n| `data_bridge_x_seconds` | histogram |";
        let rules = "expr: data_bridge_ready == 0 and data_bridge_x_seconds_bucket > data_bridge_y";
        let found = unknown_metrics(rules, reference);
        assert_eq!(
            found,
            ["deploy/prometheus/rules.yaml: data_bridge_y is not in docs/metrics.md"]
        );
    }

    #[test]
    fn each_query_of_a_panel_becomes_a_rule() {
        let page =
            r#"{"panels":[{"targets":[{"expr":"rate(a{job=\"$job\"}[$__rate_interval])"}]},{}]}"#;
        let queries = queries(page).unwrap();
        assert_eq!(queries, [r#"rate(a{job="any_job"}[1m])"#]);
        assert!(as_rules(&queries).contains(r#"expr: "rate(a{job=\"any_job\"}[1m])" }"#));
    }

    #[test]
    fn a_link_without_its_heading_is_named() {
        let rules = "  runbook_url: docs/operations.md#a\n  runbook_url: docs/operations.md#b\n";
        let found = missing_runbooks(rules, "### A\n");
        assert_eq!(found, ["docs/operations.md has no heading for #b"]);
    }
}
