//! A folder for one test, removed when the test is over.

use std::fs;
use std::path::{Path, PathBuf};
use std::process;

#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

pub(crate) fn folder(name: &str) -> Folder {
    let path = std::env::temp_dir().join(format!("data-bridge-stack-{}-{name}", process::id()));
    fs::create_dir_all(&path).unwrap();
    Folder(path)
}

impl Folder {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}
