//! Packages that are compiled in twice, in two versions: each has a reason, or is mended.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};

use super::Finding;
use crate::workspace;

const NKEYS: &str = "the keys of async-nats (nkeys, ed25519-dalek) stay with the older RustCrypto";
const MACROS: &str = "macros of our dependencies are on their way from syn 2 to 3";

/// Who holds on to another version.
const KNOWN: [(&str, &str); 12] = [
    ("base64", "async-nats stays with 0.22"),
    ("block-buffer", NKEYS),
    ("const-oid", NKEYS),
    ("cpufeatures", NKEYS),
    ("crypto-common", NKEYS),
    ("digest", NKEYS),
    ("getrandom", "nkeys and ring stay with 0.2"),
    ("rand", NKEYS),
    ("rand_core", NKEYS),
    ("sha2", NKEYS),
    ("syn", MACROS),
    ("synstructure", MACROS),
];

pub(super) fn check() -> Result<Finding> {
    let arguments = ["tree", "--workspace", "--duplicates", "--depth", "0", "--prefix", "none"];
    let mut command = workspace::cargo(&arguments);
    command.args(["--edges", "normal,build", "--locked", "--target", "x86_64-unknown-linux-gnu"]);
    let output = command.output().context("cargo does not run")?;
    if !output.status.success() {
        bail!("cargo tree failed:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(judge(&String::from_utf8_lossy(&output.stdout), &KNOWN))
}

fn judge(tree: &str, known: &[(&str, &str)]) -> Finding {
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for line in tree.lines() {
        let mut words = line.split_whitespace();
        if let (Some(name), Some(version)) = (words.next(), words.next()) {
            versions.entry(name).or_default().insert(version);
        }
    }
    // One version in two sets of features counts as a duplicate there, not here.
    versions.retain(|_, versions| versions.len() > 1);
    let is_known = |name: &str| known.iter().any(|(known, _)| *known == name);
    let unknown = versions.iter().filter(|(name, _)| !is_known(name)).map(|(name, versions)| {
        let versions = versions.iter().copied().collect::<Vec<_>>().join(", ");
        format!("{name}: {versions}: `cargo tree -i {name}@VERSION` shows who asks for each")
    });
    let over = known.iter().filter(|(name, _)| !versions.contains_key(name)).map(|(name, why)| {
        format!("{name} is no longer there twice ({why}): remove it from the list")
    });
    let findings = unknown.chain(over).collect::<Vec<_>>();
    let seen = format!("{} with a reason", versions.len());
    if findings.is_empty() { Ok(seen) } else { Err(findings.join("\n")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_duplicate_and_a_reason_that_is_over_are_findings() {
        let tree = "rand v0.8.8\nrand v0.10.4 (*)\n\nhashbrown v0.17.1\nhashbrown v0.17.1\n";
        assert_eq!(judge(tree, &[("rand", "why")]), Ok("1 with a reason".into()));
        assert!(judge(tree, &[]).unwrap_err().starts_with("rand: v0.10.4, v0.8.8"));
        let over = judge(tree, &[("rand", "why"), ("syn", "once")]).unwrap_err();
        assert_eq!(over, "syn is no longer there twice (once): remove it from the list");
    }
}
