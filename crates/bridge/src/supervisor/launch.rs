//! How an instance of a fleet is started.

use std::fs::OpenOptions;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::{Child, Command};

/// A log larger than this is put aside when its instance is started again.
const LARGEST_LOG_BYTES: u64 = 64 << 20;

/// What all instances of a fleet have in common.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The program.
    pub program: PathBuf,
    /// `--config` and `--set`s that the user gave.
    pub arguments: Vec<String>,
    /// Instance n is `<base>-n`.
    pub id_base: String,
    /// Where instances listen.
    pub ip: IpAddr,
    /// Instance n listens on this port + n.
    pub base_port: u16,
    /// Where instances report to.
    pub hub_url: String,
    /// Of logs.
    pub folder: PathBuf,
}

impl Launch {
    pub(super) fn id(&self, number: u32) -> String {
        format!("{}-{number}", self.id_base)
    }

    /// The port of instance `number`; `None` when there are no such ports.
    pub(super) fn port(&self, number: u32) -> Option<u16> {
        self.base_port.checked_add(u16::try_from(number).ok()?)
    }

    /// Where the hub finds an instance.
    pub(super) fn url(&self, port: u16) -> String {
        let ip = if self.ip.is_unspecified() { IpAddr::from([127, 0, 0, 1]) } else { self.ip };
        format!("http://{}", SocketAddr::new(ip, port))
    }

    pub(super) fn log(&self, number: u32) -> PathBuf {
        self.folder.join(format!("instance-{number}.log"))
    }

    /// Whether the port of instance `number` can be listened on now.
    pub(super) fn is_free(&self, port: u16) -> io::Result<()> {
        TcpListener::bind(SocketAddr::new(self.ip, port)).map(drop)
    }

    /// Starts instance `number` with its output appended to its log. It goes on when the
    /// supervisor ends, and a Ctrl-C in the supervisor's terminal does not reach it.
    pub(super) fn start(&self, number: u32, port: u16) -> io::Result<Child> {
        let log = self.log(number);
        put_aside(&log)?;
        let output = OpenOptions::new().create(true).append(true).open(&log)?;
        let listen = SocketAddr::new(self.ip, port);
        let mut command = Command::new(&self.program);
        command.arg("run").args(&self.arguments);
        for set in [
            format!("instance.id={}", self.id(number)),
            format!("instance.number={number}"),
            format!("http.listen={listen}"),
            "http.advertise=".to_owned(),
            format!("hub.url={}", self.hub_url),
            // Its partitions wait for it while it is started again.
            "kafka.static_membership=true".to_owned(),
        ] {
            command.args(["--set", &set]);
        }
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .kill_on_drop(false)
            .spawn()
    }
}

fn put_aside(log: &Path) -> io::Result<()> {
    match std::fs::metadata(log) {
        Ok(found) if found.len() > LARGEST_LOG_BYTES => {
            std::fs::rename(log, log.with_extension("log.1"))
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// The last line of a log that says something, for whoever asks why it ended.
pub(super) fn last_words(log: &Path) -> Option<String> {
    use std::io::{Read, Seek, SeekFrom};
    /// A log line with a long error still fits.
    const TAIL_BYTES: i64 = 4096;
    let mut file = std::fs::File::open(log).ok()?;
    let length = i64::try_from(file.metadata().ok()?.len()).ok()?;
    file.seek(SeekFrom::End(-length.min(TAIL_BYTES))).ok()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let errors = text.lines().rev().find(|line| line.starts_with("error: "));
    let last = text.lines().rev().find(|line| !line.trim().is_empty());
    errors.or(last).map(|line| line.trim_start_matches("error: ").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_are_the_error_if_there_is_one() {
        let folder = std::env::temp_dir().join(format!("last-words-{}", std::process::id()));
        std::fs::write(&folder, "started\nerror: no port\nhint: another one\n\n").unwrap();
        assert_eq!(last_words(&folder).as_deref(), Some("no port"));
        std::fs::write(&folder, "started\nkilled in the middle").unwrap();
        assert_eq!(last_words(&folder).as_deref(), Some("killed in the middle"));
        std::fs::remove_file(&folder).unwrap();
        assert_eq!(last_words(&folder), None);
    }
}
