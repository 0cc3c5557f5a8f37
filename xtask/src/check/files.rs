//! No large file in the repository; long source files are named.

use std::fs;

use anyhow::Result;

use super::Finding;
use crate::workspace;

/// Whoever clones the repository carries its files for ever: data is generated or installed.
const LARGEST_BYTES: u64 = 1 << 20;
/// A longer file needs a reason that one can say in a sentence.
const LONG_LINES: usize = 500;

pub(super) fn check() -> Result<Finding> {
    let Some(files) = workspace::tracked_files()? else {
        return Ok(Ok("not a checkout, nothing to look at".to_owned()));
    };
    let mut large = Vec::new();
    let mut long = Vec::new();
    for path in &files {
        let absolute = workspace::root().join(path);
        // Tracked and deleted: git shows it until the next commit.
        let Ok(found) = fs::symlink_metadata(&absolute) else {
            continue;
        };
        if found.len() > LARGEST_BYTES {
            large.push(format!(
                "{}: {} bytes, at most {LARGEST_BYTES}",
                path.display(),
                found.len()
            ));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let lines = workspace::read(path)?.lines().count();
            if lines > LONG_LINES {
                long.push(format!("{} ({lines})", path.display()));
            }
        }
    }
    if !large.is_empty() {
        return Ok(Err(large.join("\n")));
    }
    Ok(Ok(match long.as_slice() {
        [] => format!("{} files", files.len()),
        long => {
            format!("{} files; longer than {LONG_LINES} lines: {}", files.len(), long.join(", "))
        }
    }))
}
