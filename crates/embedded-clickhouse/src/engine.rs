//! The engine: one per process, over one data directory.

use std::ffi::CString;
use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::exception::Exception;
use crate::ffi::{Api, Connection};
use crate::library::{self, LibraryError};
use crate::options::Options;

/// Why the engine does not start.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// No usable library.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// The data directory cannot be made or written.
    #[error("data directory {path} cannot be used")]
    Data {
        /// The directory or the file in it.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// Another process works on it.
    #[error(
        "data directory {0} is in use by another embedded ClickHouse; stop that one, or choose another directory"
    )]
    InUse(String),
    /// One engine per process.
    #[error("this process already runs an embedded ClickHouse; there can be one at a time")]
    SecondInProcess,
    /// The library refused to start on the directory.
    #[error("the engine does not start on {data}{}", .log.as_ref().map_or_else(String::new, |line| format!(": {line}")))]
    Start {
        /// The data directory.
        data: String,
        /// The last line of the engine's own log.
        log: Option<String>,
    },
}

/// Tags of statements begin with it; what a user sets as `log_comment` hardly does.
pub(crate) const TAG_PREFIX: &str = "embedded-http-";

static RUNNING: AtomicBool = AtomicBool::new(false);

/// The running engine; dropping it stops it.
pub(crate) struct Engine {
    api: &'static Api,
    arguments: Vec<CString>,
    /// Held open for life: closing the last connection shuts the engine down.
    first: Option<Mutex<Connection>>,
    /// `SELECT version()`.
    pub(crate) version: String,
    /// The server's time zone.
    pub(crate) timezone: String,
    /// Released after the engine has stopped, being dropped after `first`.
    _lock: File,
}

impl Engine {
    /// Loads the library and starts the engine; blocks, about 0.1 s warm.
    pub(crate) fn start(options: &Options) -> Result<Self, EngineError> {
        let file = library::find_library(options.library.as_deref())?;
        let data = std::path::absolute(&options.data).unwrap_or_else(|_| options.data.clone());
        let broken = |path: &Path| {
            let path = path.display().to_string();
            move |source| EngineError::Data { path, source }
        };
        fs::create_dir_all(&data).map_err(broken(&data))?;
        let lock = lock(&data)?;
        let store = data.join("store");
        fs::create_dir_all(&store).map_err(broken(&store))?;
        let config = data.join("config.xml");
        fs::write(&config, config_text(options, &data)).map_err(broken(&config))?;
        if RUNNING.swap(true, Ordering::AcqRel) {
            return Err(EngineError::SecondInProcess);
        }
        let engine = Self::connect(&file, &data, &config, lock);
        if engine.is_err() {
            RUNNING.store(false, Ordering::Release);
        }
        engine
    }

    fn connect(file: &Path, data: &Path, config: &Path, lock: File) -> Result<Self, EngineError> {
        let api = library::load(file)?;
        let argument = |name: &str, path: &Path| {
            CString::new(format!("--{name}={}", path.display())).map_err(|source| {
                EngineError::Data { path: path.display().to_string(), source: source.into() }
            })
        };
        let arguments = vec![
            c"clickhouse".to_owned(),
            argument("path", &data.join("store"))?,
            argument("config-file", config)?,
            // There is no queue of asynchronous inserts to wait in; settings show what is done.
            c"--async_insert=0".to_owned(),
        ];
        let Some(mut first) = api.connect(&arguments) else {
            let log = last_line(&data.join("engine.log"));
            return Err(EngineError::Start { data: data.display().to_string(), log });
        };
        let answer = first.query(b"SELECT version(), timezone()", "TSV", &[]).map_err(|error| {
            EngineError::Start { data: data.display().to_string(), log: Some(error) }
        })?;
        let answer = String::from_utf8_lossy(answer.bytes()).into_owned();
        let (version, timezone) = answer.trim_end().split_once('\t').unwrap_or((&answer, "UTC"));
        Ok(Self {
            api,
            arguments,
            version: version.to_owned(),
            timezone: timezone.to_owned(),
            first: Some(Mutex::new(first)),
            _lock: lock,
        })
    }

    /// The version of the library, which is not that of the engine inside.
    pub(crate) fn library_version(&self) -> String {
        self.api.version()
    }

    /// A fresh connection (0.1 to 0.4 ms) whose statements carry `tag` as `log_comment`, so that
    /// [`Engine::kill`] finds them.
    pub(crate) fn open(&self, tag: &str) -> Result<Connection, Exception> {
        let mut arguments = self.arguments.clone();
        if let Ok(comment) = CString::new(format!("--log_comment={tag}")) {
            arguments.push(comment);
        }
        self.api.connect(&arguments).ok_or_else(|| {
            Exception::new(1002, "UNKNOWN_EXCEPTION", "the engine gave no connection")
        })
    }

    /// Cancels what runs under `tag`; blocks for about a millisecond.
    pub(crate) fn kill(&self, tag: &str) {
        self.kill_where(&format!("= {}", crate::statement::quoted(tag)));
    }

    /// Cancels all statements.
    pub(crate) fn kill_all(&self) {
        self.kill_where(&format!("LIKE '{TAG_PREFIX}%'"));
    }

    fn kill_where(&self, condition: &str) {
        let Some(first) = &self.first else { return };
        let mut first = first.lock().unwrap_or_else(PoisonError::into_inner);
        let sql = format!("KILL QUERY WHERE Settings['log_comment'] {condition} ASYNC");
        if let Err(error) = first.query(sql.as_bytes(), "Null", &[]) {
            tracing::warn!(%error, "a statement could not be cancelled");
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.first = None;
        RUNNING.store(false, Ordering::Release);
    }
}

/// Takes the lock of the data directory; the system releases it with the process.
fn lock(data: &Path) -> Result<File, EngineError> {
    let path: PathBuf = data.join("lock");
    let broken = |source| EngineError::Data { path: path.display().to_string(), source };
    let mut file =
        File::options().create(true).truncate(false).write(true).open(&path).map_err(broken)?;
    match file.try_lock() {
        Ok(()) => {
            file.set_len(0).map_err(broken)?;
            writeln!(file, "{}", std::process::id()).map_err(broken)?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => Err(EngineError::InUse(data.display().to_string())),
        Err(TryLockError::Error(source)) => Err(broken(source)),
    }
}

/// The engine's configuration: as small as a development machine wants it.
fn config_text(options: &Options, data: &Path) -> String {
    let memory = options.max_memory_bytes;
    let log = xml(&data.join("engine.log").display().to_string());
    // `log-level` and not `logger.level`: that one is ignored, and a trace of every query costs.
    // Pools and caches sized for laptops; a dropped table's data goes after a second, not after minutes.
    // A cluster of this engine alone, as a server's own configuration has it: for `Distributed` tables.
    format!(
        "<clickhouse>
    <log-level>warning</log-level>
    <logger><log>{log}</log><size>10M</size><count>1</count></logger>
    <max_server_memory_usage>{memory}</max_server_memory_usage>
    <mark_cache_size>67108864</mark_cache_size>
    <background_pool_size>2</background_pool_size>
    <background_schedule_pool_size>4</background_schedule_pool_size>
    <database_atomic_delay_before_drop_table_sec>1</database_atomic_delay_before_drop_table_sec>
    <tcp_port>9000</tcp_port>
    <remote_servers><default><shard><replica><host>localhost</host><port>9000</port></replica></shard></default></remote_servers>
</clickhouse>
"
    )
}

fn xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn last_line(log: &Path) -> Option<String> {
    let text = fs::read(log).ok()?;
    let text = String::from_utf8_lossy(&text);
    text.lines().rev().find(|line| !line.trim().is_empty()).map(str::to_owned)
}
