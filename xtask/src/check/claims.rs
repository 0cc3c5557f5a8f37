//! What a table of the documentation says to hold a promise, or to go red when it is broken, is there: a
//! test, or a file of tests.

use std::path::Path;

use anyhow::Result;

use super::Finding;
use crate::workspace;

/// Pages with such tables.
const PAGES: [&str; 3] = ["README.md", "ARCHITECTURE.md", "docs/testing.md"];
/// Their last columns.
const COLUMNS: [&str; 2] = ["held by", "red"];

pub(super) fn check() -> Result<Finding> {
    let Some(files) = workspace::tracked_files()? else {
        return Ok(Ok("not a checkout, nothing to look at".to_owned()));
    };
    let mut places = Vec::new();
    let sources = files.iter().filter(|path| path.extension().is_some_and(|end| end == "rs"));
    for path in sources.filter(|path| workspace::root().join(path).exists()) {
        places.push(Place::new(path, &workspace::read(path)?));
    }
    let (mut count, mut missing) = (0, Vec::new());
    for page in PAGES {
        for name in names(&workspace::read(Path::new(page))?) {
            count += 1;
            if !places.iter().any(|place| place.has(&name)) {
                missing.push(format!("{page}: there is no test {name}"));
            }
        }
    }
    Ok(if missing.is_empty() {
        Ok(format!("{count} tests named"))
    } else {
        Err(missing.join("\n"))
    })
}

/// A file of code: the words of its path, and its functions.
struct Place {
    words: Vec<String>,
    functions: Vec<String>,
}

impl Place {
    fn new(path: &Path, code: &str) -> Self {
        let path = path.with_extension("");
        let words = path.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        let functions = code.split("fn ").skip(1).map(|rest| {
            rest.chars().take_while(|sign| sign.is_alphanumeric() || *sign == '_').collect()
        });
        Self { words, functions: functions.collect() }
    }

    /// Whether `room::name` lies here, where the name is that of a file or of a function.
    fn has(&self, name: &str) -> bool {
        let mut words = name.split("::").collect::<Vec<_>>();
        let last = words.pop().unwrap_or_default();
        let known = |word: &str| self.words.iter().any(|own| own == word);
        words.into_iter().all(known)
            && (known(last) || self.functions.iter().any(|own| fits(own, last)))
    }
}

/// Whether a name is `short` written out: `…` stands for what was left out.
fn fits(name: &str, short: &str) -> bool {
    let Some((first, short)) = short.split_once('…') else { return name == short };
    let Some(name) = name.strip_prefix(first) else { return false };
    (0..=name.len()).filter_map(|at| name.get(at..)).any(|rest| fits(rest, short))
}

/// Names in code spans of the last column of such tables. What is no name of Rust is none of a test:
/// files, keys, options.
fn names(page: &str) -> Vec<String> {
    let is_name = |text: &&str| {
        let is_sign = |sign: char| sign.is_alphanumeric() || "_:…".contains(sign);
        !text.is_empty() && text.chars().all(is_sign)
    };
    let (mut names, mut wanted) = (Vec::new(), false);
    let mut before = "";
    for line in page.lines() {
        let cell = line.trim_end().trim_end_matches('|').rsplit('|').next().unwrap_or_default();
        if !before.starts_with('|') {
            wanted = COLUMNS.contains(&cell.trim());
        }
        if line.starts_with('|') && wanted {
            let spans = cell.split('`').skip(1).step_by(2);
            names.extend(spans.filter(is_name).map(str::to_owned));
        }
        before = line;
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_from_the_last_column_of_such_tables_alone() {
        let page = "| break | red |\n|---|---|\n| `a` | `b::c` and `d_…` by `--e` |\n\n\
                    | page | for |\n|---|---|\n| x | `f` |\n\n| held by |\n|---|\n| `g.rs`, `h` |\n`i`";
        assert_eq!(names(page), ["b::c", "d_…", "h"]);
    }

    #[test]
    fn a_name_is_that_of_a_file_or_of_a_function_in_its_room() {
        let code = "#[test]\nfn nothing_is_lost() {}\nasync fn other<T>() {}";
        let place = Place::new(Path::new("crates/a/tests/it/stop.rs"), code);
        for name in ["stop", "stop::nothing_is_lost", "a::stop::other", "it::nothing_…", "…_lost"]
        {
            assert!(place.has(name), "{name}");
        }
        for name in ["sto", "stop::nothing", "start::nothing_is_lost", "stop::no…_found", "b::stop"]
        {
            assert!(!place.has(name), "{name}");
        }
    }
}
