//! The test programs that one build made, in the order in which they run.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

/// Fast layers first: what is true, then what tests it, then what runs.
const ORDER: [&str; 7] = [
    "data-bridge-core",
    "data-bridge-lab",
    "xtask",
    "data-bridge-stack",
    "embedded-clickhouse",
    "data-bridge",
    "data-bridge-chaos",
];
/// Their `tests/it` start real servers.
const WITH_SERVERS: [&str; 4] =
    ["data-bridge-stack", "embedded-clickhouse", "data-bridge", "data-bridge-chaos"];

/// One build of everything.
#[derive(Debug, Default)]
pub(super) struct Build {
    pub(super) programs: Vec<Program>,
    /// Name and path of every program that is no test.
    pub(super) binaries: Vec<(String, PathBuf)>,
}

/// A test program.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Program {
    pub(super) package: String,
    /// The folder of the package, where its tests run.
    pub(super) folder: PathBuf,
    pub(super) executable: PathBuf,
    kind: Kind,
    target: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// The tests inside a library.
    Unit,
    /// The tests inside a program.
    Binary,
    /// A file or folder of `tests/`.
    Integration,
}

impl Program {
    pub(super) fn title(&self) -> String {
        let part = match self.kind {
            Kind::Unit => "unit",
            Kind::Binary => "program",
            Kind::Integration => self.target.as_str(),
        };
        format!("{} {part}", self.package)
    }

    pub(super) fn needs_servers(&self) -> bool {
        self.kind == Kind::Integration && WITH_SERVERS.contains(&self.package.as_str())
    }

    fn place(&self) -> (bool, usize, Kind) {
        let package = ORDER.iter().position(|name| *name == self.package);
        (self.needs_servers(), package.unwrap_or(ORDER.len()), self.kind)
    }
}

/// Reads the messages of `cargo test --no-run --message-format=json`.
pub(super) fn parse(messages: &str) -> Result<Build> {
    let mut build = Build::default();
    for line in messages.lines().filter(|line| line.starts_with('{')) {
        let message: Value = serde_json::from_str(line).context("cargo does not speak JSON")?;
        let Some(executable) = message["executable"].as_str() else {
            continue;
        };
        let target = &message["target"];
        let name = target["name"].as_str().unwrap_or_default().to_owned();
        let kind = target["kind"][0].as_str().unwrap_or_default();
        let executable = PathBuf::from(executable);
        if message["profile"]["test"] != true {
            build.binaries.push((name, executable));
            continue;
        }
        let manifest = message["manifest_path"].as_str().unwrap_or_default();
        build.programs.push(Program {
            package: package_name(message["package_id"].as_str().unwrap_or_default()),
            folder: Path::new(manifest).parent().unwrap_or(Path::new("")).to_owned(),
            executable,
            kind: match kind {
                "test" => Kind::Integration,
                "bin" => Kind::Binary,
                _ => Kind::Unit,
            },
            target: name,
        });
    }
    build.programs.sort_by_key(Program::place);
    Ok(build)
}

/// `path+file:///w/crates/core#data-bridge-core@0.1.0` or, when the folder has the package's name,
/// `path+file:///w/xtask#0.1.0`.
fn package_name(id: &str) -> String {
    let (path, fragment) = id.split_once('#').unwrap_or(("", id));
    match fragment.split_once('@') {
        Some((name, _)) => name.to_owned(),
        None => path.rsplit('/').next().unwrap_or(path).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifact(id: &str, kind: &str, name: &str, test: bool) -> String {
        format!(
            r#"{{"reason":"compiler-artifact","package_id":"{id}","manifest_path":"/w/{name}/Cargo.toml",
            "target":{{"kind":["{kind}"],"name":"{name}"}},"profile":{{"test":{test}}},"executable":"/t/{name}-{kind}"}}"#
        )
        .replace('\n', "")
    }

    #[test]
    fn fast_layers_run_before_those_with_servers() {
        let messages = [
            artifact("path+file:///w/crates/bridge#data-bridge@0.1.0", "test", "it", true),
            artifact("path+file:///w/crates/bridge#data-bridge@0.1.0", "lib", "data_bridge", true),
            artifact("path+file:///w/crates/bridge#data-bridge@0.1.0", "bin", "data-bridge", false),
            artifact("path+file:///w/xtask#0.1.0", "bin", "xtask", true),
            artifact("path+file:///w/crates/core#data-bridge-core@0.1.0", "test", "it", true),
            "warning: not JSON".to_owned(),
            r#"{"reason":"build-finished","success":true}"#.to_owned(),
        ];
        let build = parse(&messages.join("\n")).unwrap();
        let titles: Vec<String> = build.programs.iter().map(Program::title).collect();
        assert_eq!(
            titles,
            ["data-bridge-core it", "xtask program", "data-bridge unit", "data-bridge it"]
        );
        let servers: Vec<bool> = build.programs.iter().map(Program::needs_servers).collect();
        assert_eq!(servers, [false, false, false, true]);
        assert_eq!(
            build.binaries,
            [("data-bridge".to_owned(), PathBuf::from("/t/data-bridge-bin"))]
        );
    }
}
