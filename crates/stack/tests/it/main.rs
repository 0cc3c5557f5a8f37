//! Real servers: started, killed, restarted, and nothing left behind.

use std::path::PathBuf;

mod owner;
mod servers;

/// An empty folder for one test; what a failed test leaves there can be read afterwards.
fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("stack").join(name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).expect("the folder is ours");
    }
    folder
}
