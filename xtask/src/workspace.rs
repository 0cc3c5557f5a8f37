//! What cargo and git know about this workspace.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// The folder of the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace")
}

/// The cargo that started us, in the folder of the workspace, as a person would start it: build
/// scripts that look at the variables which cargo has set for us would run again.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = data_bridge_stack::bridge::program(Path::new(&cargo));
    command.args(arguments).current_dir(root());
    command
}

/// A package of the workspace.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// Its folder, relative to the workspace.
    pub(crate) folder: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
}

/// A line of `[dependencies]`, `[dev-dependencies]` or `[build-dependencies]`.
#[derive(Debug)]
pub(crate) struct Dependency {
    /// The package.
    pub(crate) name: String,
    /// Its name in the source text.
    pub(crate) identifier: String,
    pub(crate) kind: Kind,
    /// Whether it lies in this workspace.
    pub(crate) ours: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Normal,
    Dev,
    Build,
}

/// `cargo metadata` without the packages of others.
#[derive(Debug)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    /// Where cargo builds.
    pub(crate) target: PathBuf,
}

pub(crate) fn metadata() -> Result<Metadata> {
    let mut command = cargo(&["metadata", "--no-deps", "--format-version", "1"]);
    let output = command.output().context("cargo does not run")?;
    if !output.status.success() {
        bail!("cargo metadata failed:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    parse(&output.stdout, root())
}

fn parse(json: &[u8], root: &Path) -> Result<Metadata> {
    let json: Value = serde_json::from_slice(json).context("cargo metadata is not JSON")?;
    let packages = array(&json["packages"]).map(|package| parse_package(package, root)).collect();
    Ok(Metadata { packages, target: PathBuf::from(text(&json["target_directory"])) })
}

fn parse_package(package: &Value, root: &Path) -> Package {
    let folder = Path::new(text(&package["manifest_path"])).parent().unwrap_or(root);
    let dependencies = array(&package["dependencies"]).map(|dependency| {
        let name = text(&dependency["name"]);
        let used_as = dependency["rename"].as_str().unwrap_or(name);
        Dependency {
            name: name.to_owned(),
            identifier: used_as.replace('-', "_"),
            kind: match dependency["kind"].as_str() {
                Some("dev") => Kind::Dev,
                Some("build") => Kind::Build,
                Some(_) | None => Kind::Normal,
            },
            ours: dependency["path"].is_string(),
        }
    });
    Package {
        name: text(&package["name"]).to_owned(),
        folder: folder.strip_prefix(root).unwrap_or(folder).to_owned(),
        dependencies: dependencies.collect(),
    }
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// All files that git tracks, relative to the workspace; `None` outside a checkout.
pub(crate) fn tracked_files() -> Result<Option<Vec<PathBuf>>> {
    if !root().join(".git").exists() {
        return Ok(None);
    }
    let mut git = Command::new("git");
    let Output { status, stdout, stderr } =
        git.args(["ls-files", "-z"]).current_dir(root()).output().context("git does not run")?;
    if !status.success() {
        bail!("git ls-files failed: {}", String::from_utf8_lossy(&stderr));
    }
    let names = String::from_utf8_lossy(&stdout);
    Ok(Some(names.split_terminator('\0').map(PathBuf::from).collect()))
}

/// All Rust files below `folder` (relative to the workspace), sorted; none if it does not exist.
pub(crate) fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let absolute = root().join(&folder);
        if !absolute.is_dir() {
            continue;
        }
        for entry in fs::read_dir(&absolute).with_context(|| absolute.display().to_string())? {
            let entry = entry?;
            let path = folder.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The text of a file of the workspace.
pub(crate) fn read(path: &Path) -> Result<String> {
    let path = root().join(path);
    fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_keep_their_kind_and_their_name_in_the_source() {
        let json = br#"{"target_directory":"/w/target","packages":[{"name":"a","manifest_path":"/w/crates/a/Cargo.toml",
            "dependencies":[{"name":"serde-saphyr","rename":null,"kind":null},
                            {"name":"rand","rename":"old-rand","kind":"dev"},
                            {"name":"b","rename":null,"kind":null,"path":"/w/crates/b"}]}]}"#;
        let metadata = parse(json, Path::new("/w")).unwrap();
        assert_eq!(metadata.target, Path::new("/w/target"));
        let package = &metadata.packages[0];
        assert_eq!(package.folder, Path::new("crates/a"));
        let seen: Vec<_> =
            package.dependencies.iter().map(|d| (d.identifier.as_str(), d.kind, d.ours)).collect();
        assert_eq!(
            seen,
            [
                ("serde_saphyr", Kind::Normal, false),
                ("old_rand", Kind::Dev, false),
                ("b", Kind::Normal, true)
            ]
        );
    }
}
