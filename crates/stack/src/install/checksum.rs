//! What was downloaded is what was pinned.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

/// SHA-256 of a file in lower-case hexadecimal digits.
pub(super) fn of_file(path: &Path) -> Result<String> {
    let mut file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hexadecimal(&hasher.finalize())),
            Ok(length) => hasher.update(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        }
    }
}

/// The first twelve digits of the SHA-256 of a text: a short name for it.
pub(super) fn short_name(text: &str) -> String {
    let mut name = hexadecimal(&Sha256::digest(text.as_bytes()));
    name.truncate(12);
    name
}

/// Fails unless `file` has the SHA-256 that was pinned.
pub(super) fn verify_file(file: &Path, pinned: &str) -> Result<()> {
    let found = of_file(file)?;
    if found != pinned {
        bail!("{} is not what was pinned: SHA-256 {found}, expected {pinned}", file.display());
    }
    Ok(())
}

/// Fails unless `folder` holds exactly the files of `list` (as `sha256sum` prints it), each with
/// its checksum; names every difference.
pub(super) fn verify_folder(folder: &Path, list: &str) -> Result<()> {
    let mut pinned = parse(list)?;
    let mut problems = Vec::new();
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    for name in names {
        match pinned.remove(name.as_str()) {
            None => problems.push(format!("{name}: not expected")),
            Some(sum) => {
                let found = of_file(&folder.join(&name))?;
                if found != sum {
                    problems.push(format!("{name}: SHA-256 {found}, expected {sum}"));
                }
            }
        }
    }
    problems.extend(pinned.keys().map(|name| format!("{name}: missing")));
    if !problems.is_empty() {
        bail!("what was downloaded is not what was pinned:\n  {}", problems.join("\n  "));
    }
    Ok(())
}

fn parse(list: &str) -> Result<BTreeMap<&str, &str>> {
    list.lines()
        .map(|line| {
            line.split_once("  ")
                .map(|(sum, name)| (name, sum))
                .with_context(|| format!("not a line of sha256sum: {line:?}"))
        })
        .collect()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a String cannot fail");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::scratch;

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn one_wrong_byte_is_refused_with_both_sums() {
        let folder = scratch::folder("sum-file");
        let file = folder.path().join("f");
        fs::write(&file, "abc").unwrap();
        verify_file(&file, ABC).unwrap();
        fs::write(&file, "abd").unwrap();
        let error = verify_file(&file, ABC).unwrap_err().to_string();
        assert!(error.contains(ABC) && error.contains("a52d159f"), "{error}");
    }

    #[test]
    fn every_difference_of_a_folder_is_named() {
        let folder = scratch::folder("sum-folder");
        fs::write(folder.path().join("a.jar"), "abc").unwrap();
        fs::write(folder.path().join("b.jar"), "").unwrap();
        let list = format!("{ABC}  a.jar\n{EMPTY}  b.jar\n");
        verify_folder(folder.path(), &list).unwrap();

        fs::write(folder.path().join("b.jar"), "tampered").unwrap();
        fs::write(folder.path().join("c.jar"), "").unwrap();
        let list = format!("{list}{EMPTY}  d.jar\n");
        let error = verify_folder(folder.path(), &list).unwrap_err().to_string();
        for part in ["b.jar: SHA-256", "c.jar: not expected", "d.jar: missing"] {
            assert!(error.contains(part), "{error}");
        }
        assert!(!error.contains("a.jar"), "{error}");
    }
}
