//! The load of the demo, and its verdict.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use data_bridge_stack::bridge::program;
use data_bridge_stack::process::{Lifetime, Process};
use serde_json::{Deserializer, Value};

use super::tables::Rows;
use super::{Arguments, RATE};
use crate::screen;

/// Planted bad messages; each must become one dead letter.
const BAD_SHARE: &str = "0.01";
/// Messages that are sent a second time; each must be visible once.
const DUPLICATES: &str = "0.02";

/// `data-bridge load --verify`: sends, waits for the rows, compares every value.
pub(super) struct Load {
    process: Process,
}

impl Load {
    pub(super) fn start(
        bridge: &Path,
        config: &Path,
        folder: &Path,
        arguments: &Arguments,
    ) -> Result<Self> {
        let mut command = program(bridge);
        command.arg("load").arg("--config").arg(config);
        command.arg("--messages").arg(arguments.messages.to_string());
        command.arg("--rate").arg(RATE.to_string());
        command.arg("--seed").arg(arguments.seed.to_string());
        command.args(["--bad-share", BAD_SHARE, "--duplicates", DUPLICATES]);
        command.args(["--transport", "both", "--verify", "--json"]);
        let log = folder.join("load/load.log");
        let process = Process::spawn("load", command, &log, Lifetime::WithStarter)?;
        Ok(Self { process })
    }

    /// Waits at most `limit`; whether it has ended.
    pub(super) fn wait_exit(&self, limit: Duration) -> bool {
        self.process.wait_exit(limit).is_some()
    }

    pub(super) fn log_tail(&self) -> String {
        self.process.log_tail()
    }

    fn log(&self) -> Result<String> {
        std::fs::read_to_string(self.process.log())
            .with_context(|| format!("cannot read {}", self.process.log().display()))
    }

    /// How many messages it sent by each way, those sent twice included.
    pub(super) fn sent(&self) -> Result<u64> {
        let text = self.log()?;
        let sent = text.find('{').and_then(|at| {
            let page: Value = Deserializer::from_str(&text[at..]).into_iter().next()?.ok()?;
            page["messages"].as_u64()
        });
        sent.with_context(|| format!("the load does not say what it sent\n{text}"))
    }

    /// Prints the verdict; `true` when it holds.
    pub(super) fn verdict(&self, rows: &Rows) -> Result<bool> {
        let text = self.log()?;
        let Some(verdict) = find(&text) else {
            bail!("the load has no verdict\n{}", self.process.log_tail());
        };
        screen::line("");
        for sample in samples(&verdict) {
            screen::line(&sample);
        }
        for line in lines(&verdict, rows) {
            screen::line(&line);
        }
        let success = self.process.exited().is_some_and(|status| status.success());
        Ok(success && verdict["holds"] == true)
    }
}

/// The first object of the output that is, or holds, a verdict.
fn find(text: &str) -> Option<Value> {
    let begin = text.lines().scan(0, |at, line| {
        let here = *at;
        *at += line.len() + 1;
        Some((here, line))
    });
    begin
        .filter(|(_, line)| line.starts_with('{'))
        .filter_map(|(at, _)| Deserializer::from_str(&text[at..]).into_iter().next()?.ok())
        .find_map(|json: Value| match (&json["holds"], &json["verdict"]) {
            (Value::Bool(_), _) => Some(json),
            (_, verdict @ Value::Object(_)) => Some(verdict.clone()),
            _ => None,
        })
}

/// Some of what is wrong.
fn samples(verdict: &Value) -> Vec<String> {
    let samples = verdict["samples"].as_array().into_iter().flatten().take(10);
    samples
        .map(|sample| {
            let text = |key: &str| sample[key].as_str().unwrap_or("-");
            format!(
                "{} {}: expected {} found {}",
                text("table"),
                text("wrong"),
                text("expected"),
                text("found")
            )
        })
        .collect()
}

fn lines(verdict: &Value, rows: &Rows) -> Vec<String> {
    let (total, letters) = (&verdict["total"], &verdict["dead_letters"]);
    let mut lines = vec![format!(
        "{:<28} {:>9} {:>9} {:>9} {:>10} {:>9} {:>9}",
        "table", "expected", "visible", "missing", "duplicates", "differing", "raw rows"
    )];
    for table in verdict["tables"].as_array().into_iter().flatten().chain([total]) {
        let name = table["table"].as_str().unwrap_or("?");
        let number = |key: &str| table[key].as_u64().unwrap_or(0);
        lines.push(format!(
            "{name:<28} {:>9} {:>9} {:>9} {:>10} {:>9} {:>9}",
            number("expected"),
            number("visible"),
            number("missing"),
            number("duplicates"),
            number("differing"),
            number("raw_rows")
        ));
    }
    let reasons: Vec<String> =
        rows.letters.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
    lines.push(format!("dead letters by reason: {}", reasons.join(", ")));
    lines.push(format!(
        "VERDICT: {}: produced {}, visible {}, duplicates {}, missing {}, dead letters {} = planted {}",
        if verdict["holds"] == true { "EXACT" } else { "WRONG" },
        verdict["produced"],
        total["visible"],
        total["duplicates"],
        total["missing"],
        letters["found"],
        letters["expected"],
    ));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERDICT: &str = r#"{
  "holds": true, "produced": 100, "total": {"table":"total","visible":97,"duplicates":0,"missing":0},
  "tables": [], "dead_letters": {"found": 1, "expected": 1}
}"#;

    #[test]
    fn the_verdict_is_found_among_other_output() {
        let text = format!("sent 100\n{{\"produced\": 1}}\n{VERDICT}\nend\n");
        let verdict = find(&text).unwrap();
        let last = lines(&verdict, &Rows::default()).pop().unwrap();
        assert!(
            last.starts_with("VERDICT: EXACT: produced 100, visible 97, duplicates 0"),
            "{last}"
        );
        let nested = format!("{{\"rate\": 5, \"verdict\": {VERDICT}}}");
        assert_eq!(find(&nested), Some(verdict));
        assert_eq!(find("no verdict"), None);
    }
}
