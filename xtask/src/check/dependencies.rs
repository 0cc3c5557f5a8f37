//! Every dependency of a manifest occurs in the sources of its package.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::Result;

use super::Finding;
use super::source::{tokens, without_literals};
use crate::workspace::{self, Kind, Package};

pub(super) fn check() -> Result<Finding> {
    let mut checked = 0;
    let mut unused = Vec::new();
    for package in workspace::metadata()?.packages {
        for kind in [Kind::Normal, Kind::Dev, Kind::Build] {
            if !package.dependencies.iter().any(|dependency| dependency.kind == kind) {
                continue;
            }
            let names = names_of(&package, kind)?;
            for dependency in package.dependencies.iter().filter(|found| found.kind == kind) {
                checked += 1;
                if !names.contains(&dependency.identifier) {
                    let manifest = package.folder.join("Cargo.toml");
                    unused.push(format!(
                        "{}: {} occurs in none of {}",
                        manifest.display(),
                        dependency.name,
                        folders(kind).join(", ")
                    ));
                }
            }
        }
    }
    let seen = format!("{checked} dependencies");
    Ok(if unused.is_empty() { Ok(seen) } else { Err(unused.join("\n")) })
}

/// Where a dependency of this kind can be used.
fn folders(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Normal => &["src"],
        Kind::Dev => &["src", "tests", "benches", "examples"],
        Kind::Build => &["build.rs"],
    }
}

fn names_of(package: &Package, kind: Kind) -> Result<BTreeSet<String>> {
    let mut files: Vec<PathBuf> = Vec::new();
    for folder in folders(kind) {
        let path = package.folder.join(folder);
        if workspace::root().join(&path).is_file() {
            files.push(path);
        } else {
            files.extend(workspace::rust_files(&path)?);
        }
    }
    let mut names = BTreeSet::new();
    for file in files {
        names.extend(names_in(&workspace::read(&file)?));
    }
    Ok(names)
}

fn names_in(text: &str) -> BTreeSet<String> {
    let code = without_literals(text);
    tokens(&code).iter().map(|token| token.text.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_a_comment_is_no_use() {
        let names = names_in("// serde\nuse jiff::Timestamp;\n#[tokio::test]\nfn f() {}");
        assert!(names.contains("jiff") && names.contains("tokio"));
        assert!(!names.contains("serde"));
    }
}
