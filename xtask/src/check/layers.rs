//! The layer table, held against the manifests and against every path in the sources.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;

use super::Finding;
use super::source::{Token, tokens, without_literals};
use super::table::{CRATES, Crate, Module, Modules};
use crate::workspace::{self, Kind, Package};

/// Where a new crate or module gets its line.
const TABLE: &str = "xtask/src/check/table.rs";

pub(super) fn check() -> Result<Finding> {
    let mut problems = Vec::new();
    let mut files = 0_usize;
    for package in workspace::metadata()?.packages {
        let manifest = package.folder.join("Cargo.toml");
        let Some(layer) = CRATES.iter().find(|layer| layer.package == package.name) else {
            let name = package.name;
            problems.push(format!("{}: {name} is not in {TABLE}", manifest.display()));
            continue;
        };
        check_dependencies(layer, &package, &mut problems)?;
        let Modules::Listed(modules) = layer.modules else {
            continue;
        };
        let sources = package.folder.join("src");
        for path in workspace::rust_files(&sources)? {
            files += 1;
            let text = workspace::read(&path)?;
            let place = place(path.strip_prefix(&sources)?);
            problems.extend(check_file(modules, &path, &place, &text));
        }
    }
    Ok(if problems.is_empty() { Ok(format!("{files} files")) } else { Err(problems.join("\n")) })
}

fn check_dependencies(layer: &Crate, package: &Package, problems: &mut Vec<String>) -> Result<()> {
    let manifest = package.folder.join("Cargo.toml");
    for dependency in package.dependencies.iter().filter(|dependency| dependency.ours) {
        let name = dependency.name.as_str();
        let allowed = layer.uses.contains(&name)
            || (dependency.kind == Kind::Dev && layer.tests_use.contains(&name));
        if !allowed {
            let text = workspace::read(&manifest)?;
            let line = text.lines().position(|line| line.starts_with(name)).map_or(1, |at| at + 1);
            problems.push(format!(
                "{}:{line}: {} uses {name}: {}",
                manifest.display(),
                package.name,
                layer.because
            ));
        }
    }
    Ok(())
}

/// The module path of a file below `src`: `source/kafka.rs` is `[source, kafka]`; the roots of the
/// library and of the program are empty.
fn place(path: &Path) -> Vec<String> {
    let mut place: Vec<String> = path
        .with_extension("")
        .components()
        .map(|part| part.as_os_str().to_string_lossy().into_owned())
        .collect();
    if place == ["lib"] || place == ["main"] {
        place.clear();
    }
    place
}

fn check_file(modules: &[Module], path: &Path, place: &[String], text: &str) -> Vec<String> {
    // The roots name all modules, and `src/bin` holds programs of their own.
    let Some(own) = place.first().filter(|first| *first != "bin") else {
        return Vec::new();
    };
    let Some(module) = modules.iter().find(|module| module.name == own) else {
        return vec![format!("{}:1: module {own} is not in {TABLE}", path.display())];
    };
    let known: BTreeSet<&str> = modules.iter().map(|module| module.name).collect();
    let code = without_literals(text);
    let mut problems: Vec<String> = used_modules(&tokens(&code), place.len())
        .into_iter()
        .filter(|used| known.contains(used.text) && used.text != own.as_str())
        .filter(|used| !module.uses.contains(&used.text))
        .map(|used| {
            let Token { text, line } = used;
            format!("{}:{line}: {own} uses {text}: {}", path.display(), module.because)
        })
        .collect();
    problems.dedup();
    problems
}

/// The first name behind every `crate::`, and behind every `super::` chain that is long enough to
/// reach the root from a module `depth` levels below it.
fn used_modules<'a>(tokens: &[Token<'a>], depth: usize) -> Vec<Token<'a>> {
    let mut used = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let mut next = at + 1;
        let from_root = match tokens[at].text {
            "crate" => is_path(tokens, next),
            "super" => {
                let mut levels = 1;
                while is_path(tokens, next) && text(tokens, next + 1) == "super" {
                    levels += 1;
                    next += 2;
                }
                is_path(tokens, next) && levels >= depth
            }
            _ => false,
        };
        if from_root {
            used.extend(heads(tokens, next + 1));
        }
        at = next;
    }
    used
}

fn is_path(tokens: &[Token<'_>], at: usize) -> bool {
    text(tokens, at) == "::"
}

fn text<'a>(tokens: &[Token<'a>], at: usize) -> &'a str {
    tokens.get(at).map_or("", |token| token.text)
}

/// `a::b` has the head `a`, `{a::{b, c}, d}` has `a` and `d`.
fn heads<'a>(tokens: &[Token<'a>], at: usize) -> Vec<Token<'a>> {
    let Some(first) = tokens.get(at) else {
        return Vec::new();
    };
    if first.text != "{" {
        return vec![*first];
    }
    let mut heads = Vec::new();
    let mut depth = 0_usize;
    let mut begins = false;
    for token in &tokens[at..] {
        match token.text {
            "{" => {
                depth += 1;
                begins = depth == 1;
            }
            "}" => {
                depth -= 1;
                if depth == 0 {
                    break;
                }
            }
            "," => begins = depth == 1,
            _ if begins => {
                heads.push(*token);
                begins = false;
            }
            _ => {}
        }
    }
    heads
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODULES: &[Module] = &[
        Module { name: "config", uses: &[], because: "first" },
        Module { name: "source", uses: &["config"], because: "never the sink" },
        Module { name: "sink", uses: &["config"], because: "never the source" },
    ];

    fn problems(path: &str, text: &str) -> Vec<String> {
        check_file(MODULES, Path::new(path), &place(Path::new(path)), text)
    }

    #[test]
    fn a_forbidden_use_is_named_with_its_line_and_rule() {
        let text = "use crate::config::Kafka;\n\nfn f() -> crate::sink::Writer {}\n";
        assert_eq!(problems("source.rs", text), ["source.rs:3: source uses sink: never the sink"]);
    }

    #[test]
    fn every_spelling_of_a_forbidden_use_is_found() {
        for text in [
            "use crate::sink;",
            "use crate::{config::{Kafka, sink}, sink::Writer};",
            "use crate::{\n    config,\n    sink,\n};",
            "pub(crate) use crate :: sink as other;",
            "use super::super::sink::Writer;",
            "use super::super::{config, sink};",
            "let x = $crate::sink::x!();",
        ] {
            let found = problems("source/kafka.rs", text);
            assert_eq!(found.len(), 1, "{text}: {found:?}");
        }
    }

    #[test]
    fn what_only_looks_like_a_use_is_left_alone() {
        for text in [
            "// crate::sink",
            "/// [`crate::sink::Writer`]\nfn f() {}",
            "let s = \"crate::sink\";",
            "use super::sink;", // source::sink
            "use crate::source::sink;",
            "use crate::config::{sink, Kafka};",
            "use other::sink;",
            "pub(crate) mod sink {}",
        ] {
            assert_eq!(problems("source/kafka.rs", text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn a_module_without_a_line_in_the_table_is_refused() {
        assert_eq!(
            problems("helper/x.rs", ""),
            [format!("helper/x.rs:1: module helper is not in {TABLE}")]
        );
        assert_eq!(problems("lib.rs", "pub use crate::sink;"), Vec::<String>::new());
        assert_eq!(problems("main.rs", "use crate::sink;"), Vec::<String>::new());
    }

    #[test]
    fn the_table_speaks_only_of_crates_and_modules_that_it_lists() {
        let packages: BTreeSet<&str> = CRATES.iter().map(|layer| layer.package).collect();
        for layer in &CRATES {
            for used in layer.uses.iter().chain(layer.tests_use) {
                assert!(packages.contains(used), "{used}");
            }
            let Modules::Listed(modules) = layer.modules else {
                continue;
            };
            let names: BTreeSet<&str> = modules.iter().map(|module| module.name).collect();
            for used in modules.iter().flat_map(|module| module.uses) {
                assert!(names.contains(used), "{used}");
            }
        }
    }
}
