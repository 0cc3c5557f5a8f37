//! `data-bridge up`: a fleet on this machine.

use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tracing::info;

use super::{Exit, Settings, Stop, state_dir};
use crate::config::{Config, Environment, Instance, Number, Secret};
use crate::hub::{self, Shared};
use crate::supervisor::{
    Ended, Identity, Launch, Options, State, SupervisorError, Target, lock, run,
};

/// Run a fleet on this machine: a supervisor, a hub, and instances that are restarted when they die
///
/// Instance n has the id `<instance.id>-n`, number n and the hub's port + n. The fleet goes on when
/// the supervisor is killed; the next `up` adopts it.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    #[command(flatten)]
    pub(super) settings: Settings,

    /// How many instances [default: as many as there are, else 3]
    #[arg(short = 'n', long, value_name = "N")]
    instances: Option<u32>,

    /// Go on in the background
    #[arg(short, long)]
    detach: bool,

    /// Scale by lag, as autoscale.enabled does
    #[arg(long)]
    auto: bool,

    /// Where the fleet's state and logs lie
    /// By default `$XDG_STATE_HOME/data-bridge/<kafka.group_id>`
    #[arg(long, value_name = "FOLDER")]
    state_dir: Option<PathBuf>,

    /// Says that this is the background process of `--detach`
    #[arg(long, hide = true)]
    background: bool,
}

const HELP: &str = "\
Examples:
  data-bridge up                         three instances; Ctrl-C drains and stops them
  data-bridge up -n 5 -d                 five, in the background
  data-bridge up --auto                  three to five, by lag
  data-bridge status --watch             look at it
  data-bridge scale 5                    change it
  data-bridge down                       stop it

Exit codes:
  0  stopped, all instances drained
  1  failed: a fleet runs already, a port is taken, an instance had to be killed
  2  usage or configuration, a state file of another version";

/// How long a background process may take until its hub answers.
const BACKGROUND_LIMIT: Duration = Duration::from_secs(15);
/// Commands that wait for the supervisor.
const ASKS: usize = 16;

/// Runs the fleet, or has a background process run it.
pub(super) fn execute(
    config: &Config,
    environment: &Environment,
    args: &Args,
) -> anyhow::Result<Exit> {
    if args.instances == Some(0) {
        return Err(Stop::new(
            Exit::Usage,
            "a fleet has at least one instance",
            "`data-bridge down` stops a fleet",
        )
        .into());
    }
    let folder = state_dir::find(args.state_dir.as_deref(), environment, &config.kafka.group_id)?;
    state_dir::create(&folder)?;
    let folder = folder.canonicalize().context("the state folder is gone")?;
    if args.detach && !args.background {
        return detach(config, &folder, args);
    }
    if args.background {
        // Neither a Ctrl-C nor the end of the terminal reaches it.
        rustix::process::setsid().context("cannot leave the terminal's session")?;
    }
    let before = State::read(&folder).map_err(state_dir::unfit)?;
    let Some(_lock) = lock(&folder).context("cannot lock the state folder")? else {
        return Err(already_running(&folder, before.as_ref()).into());
    };
    let instance = Instance { id: "supervisor".to_owned(), number: Number::new(0) };
    crate::telemetry::log::init(&config.log, &instance)?;
    super::runtime()?.block_on(supervise(config, folder, before, args))
}

fn already_running(folder: &Path, state: Option<&State>) -> Stop {
    let pid = state.map(|state| format!(", process {}", state.supervisor.pid));
    Stop::new(
        Exit::Failed,
        format!(
            "a fleet runs already in {}: its supervisor is there{}",
            folder.display(),
            pid.unwrap_or_default()
        ),
        "`data-bridge status` shows it, `scale N` changes it; --state-dir and another hub.listen \
         make a second one",
    )
}

async fn supervise(
    config: &Config,
    folder: PathBuf,
    before: Option<State>,
    args: &Args,
) -> anyhow::Result<Exit> {
    let registry = folder.join("hub.json");
    let shared =
        Shared::try_new(&config.kafka.group_id, Some(&registry)).map_err(state_dir::unfit)?;
    let listener = hub::listen(config.hub.listen).await.map_err(|error| {
        Stop::new(
            Exit::Failed,
            format!("{:#}", anyhow::Error::from(error)),
            "another program has the port: choose one with --set hub.listen=127.0.0.1:PORT; \
             instance n listens on PORT + n",
        )
    })?;
    let address = listener.local_addr()?;
    let hub_url = format!("http://{}", loopback_if_any(address));
    let token = token().context("cannot make a token")?;
    let autoscale = (args.auto || config.autoscale.enabled).then_some(config.autoscale);
    let options = Options {
        launch: Launch {
            program: std::env::current_exe().context("cannot find this program")?,
            arguments: arguments(&args.settings)?,
            id_base: config.instance.id.clone(),
            ip: config.http.listen.ip(),
            base_port: address.port(),
            hub_url: if config.hub.url.is_empty() {
                hub_url.clone()
            } else {
                // Reports go where the user wants them; our hub looks by itself.
                config.hub.url.clone()
            },
            folder: folder.clone(),
        },
        hub_url: hub_url.clone(),
        folder: folder.clone(),
        instances: args.instances,
        grace: config.shutdown.grace,
        kafka: group(config),
        properties: config.kafka.properties.clone(),
        group_protocol: config.kafka.group_protocol,
        assignor: config.kafka.assignor,
        autoscale,
        token: token.clone(),
        before,
    };
    let (asks, asked) = mpsc::channel(ASKS);
    let hub_options = hub::Options {
        token: config.http.token.clone(),
        state: Some(registry),
        control: Some((asks, Secret::new(token))),
        office: super::hub::office(config),
    };
    let (end_hub, hub_ends) = oneshot::channel::<()>();
    let mut tasks = tokio::task::JoinSet::new();
    let signals = signals(&mut tasks)?;
    info!(hub = hub_url, state = %folder.display(), "supervisor started");
    let served = tokio::task::JoinSet::from_iter([hub::serve(
        listener,
        std::sync::Arc::clone(&shared),
        hub_options,
        async {
            // A sender that is gone means the same.
            hub_ends.await.ok();
        },
    )]);
    let ended = run(options, shared, asked, signals).await;
    end_hub.send(()).ok();
    for result in served.join_all().await {
        result.context("the hub ended badly")?;
    }
    match ended.map_err(refused)? {
        Ended::Down => {
            info!("stopped: all instances drained");
            Ok(Exit::Done)
        }
        Ended::Killed(killed) => Err(Stop::new(
            Exit::Failed,
            format!("{killed} instances did not drain in time and were killed"),
            "nothing is lost: what was not committed is read again; shutdown.grace_ms is the time",
        )
        .into()),
    }
}

/// The exit code and a hint for a fleet that did not start.
fn refused(error: SupervisorError) -> anyhow::Error {
    let (exit, hint) = match &error {
        SupervisorError::Port { .. } => (
            Exit::Failed,
            "another program has the port: choose others with --set hub.listen=127.0.0.1:PORT; \
             instance n listens on PORT + n",
        ),
        SupervisorError::Size(_) => (Exit::Usage, ""),
        SupervisorError::State(_) => (Exit::Failed, "nothing was started"),
    };
    Stop::new(exit, format!("{:#}", anyhow::Error::from(error)), hint).into()
}

/// SIGTERM, SIGINT and the end of the terminal, one word each.
fn signals(tasks: &mut tokio::task::JoinSet<()>) -> anyhow::Result<mpsc::Receiver<()>> {
    let (sender, receiver) = mpsc::channel(4);
    for kind in [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()] {
        let mut signal = signal(kind).context("cannot watch for signals")?;
        let sender = sender.clone();
        tasks.spawn(async move {
            while signal.recv().await.is_some() {
                // More than four in a row say nothing new.
                sender.try_send(()).ok();
            }
        });
    }
    Ok(receiver)
}

fn loopback_if_any(mut address: std::net::SocketAddr) -> std::net::SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip([127, 0, 0, 1].into());
    }
    address
}

fn arguments(settings: &Settings) -> anyhow::Result<Vec<String>> {
    let mut arguments = Vec::new();
    if let Some(path) = &settings.config {
        let path = path.canonicalize().context("the configuration file is gone")?;
        arguments.extend(["--config".to_owned(), path.display().to_string()]);
    }
    for (key, value) in &settings.set {
        arguments.extend(["--set".to_owned(), format!("{key}={value}")]);
    }
    Ok(arguments)
}

fn group(config: &Config) -> Target {
    let kafka = &config.kafka;
    Target {
        brokers: if kafka.enabled { kafka.brokers.clone() } else { String::new() },
        group_id: kafka.group_id.clone(),
        session_ms: u64::try_from(kafka.session_timeout.as_millis()).unwrap_or(u64::MAX),
    }
}

/// 128 random bits as text.
fn token() -> std::io::Result<String> {
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

/// Starts this command again without a terminal, and waits until its hub answers.
fn detach(config: &Config, folder: &Path, args: &Args) -> anyhow::Result<Exit> {
    let path = folder.join("supervisor.log");
    let mut log = OpenOptions::new()
        .create(true)
        .append(true)
        .read(true)
        .open(&path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    let began = log.seek(SeekFrom::End(0))?;
    let mut command = Command::new(std::env::current_exe().context("cannot find this program")?);
    command.arg("up").args(arguments(&args.settings)?).arg("--background");
    command.arg("--state-dir").arg(folder);
    if let Some(instances) = args.instances {
        command.args(["--instances", &instances.to_string()]);
    }
    if args.auto {
        command.arg("--auto");
    }
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log.try_clone()?);
    let mut child = command.spawn().context("cannot start the background process")?;
    match wait_until_up(folder, &mut child)? {
        Background::Up(state) => {
            let mut out = std::io::stdout().lock();
            let members = state.members.len();
            writeln!(out, "fleet of {members} instances, process {}", state.supervisor.pid)?;
            writeln!(out, "hub {}, logs in {}", state.hub_url, folder.display())?;
            Ok(Exit::Done)
        }
        Background::Ended(code) => {
            // It has said why, in its log: said again here as it is.
            let mut said = String::new();
            log.seek(SeekFrom::Start(began))?;
            log.read_to_string(&mut said)?;
            std::io::stderr().lock().write_all(said.as_bytes())?;
            Ok(match code {
                Some(2) => Exit::Usage,
                Some(3) => Exit::Unreachable,
                Some(_) | None => Exit::Failed,
            })
        }
        Background::Slow => Err(Stop::new(
            Exit::Failed,
            format!(
                "the supervisor, process {}, did not start within {} s",
                child.id(),
                BACKGROUND_LIMIT.as_secs()
            ),
            format!("see {}; hub.listen is {}", path.display(), config.hub.listen),
        )
        .into()),
    }
}

enum Background {
    Up(State),
    Ended(Option<i32>),
    Slow,
}

fn wait_until_up(folder: &Path, child: &mut Child) -> anyhow::Result<Background> {
    let runtime = super::runtime()?;
    let client = hub::Client::new(Secret::default());
    let began = Instant::now();
    runtime.block_on(async {
        while began.elapsed() < BACKGROUND_LIMIT {
            if let Some(status) = child.try_wait()? {
                return Ok(Background::Ended(status.code()));
            }
            let state = State::read(folder).ok().flatten();
            let ours = |state: &State| {
                let wanted = usize::try_from(state.target).unwrap_or(usize::MAX);
                state.supervisor.pid == child.id()
                    && state.members.len() == wanted
                    && state.members.iter().all(is_started)
            };
            if let Some(state) = state.filter(ours) {
                let health = format!("{}/healthz", state.hub_url);
                if client.answers(&health, Duration::from_secs(1)).await {
                    return Ok(Background::Up(state));
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(Background::Slow)
    })
}

fn is_started(member: &crate::supervisor::Recorded) -> bool {
    member.process.as_ref().is_some_and(Identity::is_running)
}
