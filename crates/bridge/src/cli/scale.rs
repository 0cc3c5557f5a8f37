//! `data-bridge scale`, `restart`, `down`: what is asked of a running fleet.

use std::io::Write;
use std::time::{Duration, Instant};

use super::fleet::{Found, Which};
use super::{Exit, Stop};
use crate::config::{Config, Environment};
use crate::hub::{Command, Fleet, Life};
use crate::supervisor::{Leaver, State, lock};

/// Change how many instances the fleet has
///
/// New ones get the next numbers; those with the highest numbers leave. Returns when all are ready.
#[derive(Debug, clap::Args)]
#[command(after_help = SCALE_HELP)]
pub struct ScaleArgs {
    /// How many instances
    #[arg(value_name = "N")]
    instances: u32,

    #[command(flatten)]
    pub(super) which: Which,
}

const SCALE_HELP: &str = "\
Examples:
  data-bridge scale 5
  data-bridge scale 3 --hub http://hub:9400

Exit codes:
  0  the fleet has as many, all ready
  1  refused, or not all got ready within a minute
  2  usage or configuration
  3  there is no fleet, or its hub does not answer";

/// Restart all instances, one after the other, each when the one before is ready
///
/// Under static ids no partition changes hands. Instances read the configuration file anew.
#[derive(Debug, clap::Args)]
#[command(after_help = RESTART_HELP)]
pub struct RestartArgs {
    #[command(flatten)]
    pub(super) which: Which,
}

const RESTART_HELP: &str = "\
Examples:
  data-bridge restart                  after a change of bridge.yaml, or a new version

Exit codes:
  0  all were restarted and are ready
  1  one did not get ready: those behind it were left alone
  2  usage or configuration
  3  there is no fleet, or its hub does not answer";

/// Stop the fleet: every instance drains, commits and leaves the group
///
/// Also stops instances whose supervisor is gone.
#[derive(Debug, clap::Args)]
#[command(after_help = DOWN_HELP)]
pub struct DownArgs {
    #[command(flatten)]
    pub(super) which: Which,
}

const DOWN_HELP: &str = "\
Examples:
  data-bridge down
  data-bridge down --state-dir /var/lib/data-bridge

Exit codes:
  0  stopped, all instances drained
  1  some did not drain in time
  2  usage or configuration
  3  there is no fleet, or its hub does not answer";

/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// An instance is ready within a few seconds where its brokers are there.
const READY_LIMIT: Duration = Duration::from_mins(1);
/// A restart waits for each instance: this long at most for one.
const EACH_LIMIT: Duration = Duration::from_mins(2);

/// Scales, and waits.
pub(super) fn scale(
    config: &Config,
    environment: &Environment,
    args: &ScaleArgs,
) -> anyhow::Result<Exit> {
    let found = args.which.find(config, environment)?;
    let wanted = usize::try_from(args.instances).unwrap_or(usize::MAX);
    super::runtime()?.block_on(async {
        let said = found.tell(&Command::Scale { instances: args.instances }).await?;
        say(&said)?;
        let began = Instant::now();
        loop {
            let fleet = found.fleet().await?;
            let there = fleet.supervisor.as_ref().map_or(0, |one| one.processes.len());
            let ready = fleet.instances.iter().filter(|member| member.ready).count();
            if there == wanted && ready >= wanted {
                say(&format!("{ready} instances are ready"))?;
                return Ok(Exit::Done);
            }
            if began.elapsed() > READY_LIMIT {
                return Err(not_ready(&fleet).into());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    })
}

fn not_ready(fleet: &Fleet) -> Stop {
    let waiting = fleet
        .instances
        .iter()
        .filter(|member| !member.ready && member.life != Life::Left)
        .map(|member| format!("{}: {}", member.instance_id, member.reasons.join("; ")));
    Stop::new(
        Exit::Failed,
        format!("not all are ready: {}", waiting.collect::<Vec<_>>().join(", ")),
        "the fleet goes on trying; `data-bridge status` shows it",
    )
}

/// Restarts one after the other, and waits.
pub(super) fn restart(
    config: &Config,
    environment: &Environment,
    args: &RestartArgs,
) -> anyhow::Result<Exit> {
    let found = args.which.find(config, environment)?;
    super::runtime()?.block_on(async {
        let before = found.fleet().await?.supervisor.unwrap_or_default();
        let said = found.tell(&Command::Restart).await?;
        say(&said)?;
        let (mut shown, mut changed) = (String::new(), Instant::now());
        loop {
            let supervisor = found.fleet().await?.supervisor.unwrap_or_default();
            if supervisor.done_count > before.done_count {
                return if supervisor.done.starts_with("failed") {
                    let hint = "mend it, then `data-bridge restart` again";
                    Err(Stop::new(Exit::Failed, supervisor.done, hint).into())
                } else {
                    say(&supervisor.done)?;
                    Ok(Exit::Done)
                };
            }
            if supervisor.doing != shown {
                say(&supervisor.doing)?;
                (shown, changed) = (supervisor.doing, Instant::now());
            }
            if changed.elapsed() > EACH_LIMIT {
                let what = format!("no progress for {} s: {shown}", EACH_LIMIT.as_secs());
                return Err(Stop::new(Exit::Failed, what, "see `data-bridge status`").into());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    })
}

/// Stops the fleet, with or without a supervisor, and waits.
pub(super) fn down(
    config: &Config,
    environment: &Environment,
    args: &DownArgs,
) -> anyhow::Result<Exit> {
    let found = args.which.find(config, environment)?;
    let grace = config.shutdown.grace + Duration::from_secs(15);
    super::runtime()?.block_on(async {
        if let Some((folder, state)) = &found.local
            && let Some(_lock) = lock(folder)?
        {
            let leaver = Leaver::new(state.kafka.clone(), config.kafka.properties.clone());
            return end_orphans(state, &leaver, grace).await;
        }
        let said = found.tell(&Command::Down).await?;
        say(&said)?;
        let began = Instant::now();
        while began.elapsed() < grace {
            let is_gone = match &found.local {
                // Who gets the lock knows that the supervisor has ended.
                Some((folder, _)) => lock(folder)?.is_some(),
                None => found.fleet().await.is_err(),
            };
            if is_gone {
                return ended(&found);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Err(still_running(grace).into())
    })
}

fn ended(found: &Found) -> anyhow::Result<Exit> {
    let left = match &found.local {
        Some((folder, _)) => State::read(folder)?.map_or(0, |state| state.running().len()),
        None => 0,
    };
    if left == 0 {
        say("stopped")?;
        Ok(Exit::Done)
    } else {
        let what = format!("{left} instances still run");
        Err(Stop::new(Exit::Failed, what, "`data-bridge down` again stops them").into())
    }
}

fn still_running(grace: Duration) -> Stop {
    Stop::new(
        Exit::Failed,
        format!("the fleet still runs after {} s", grace.as_secs()),
        "`data-bridge status` shows what it waits for",
    )
}

/// Stops instances whose supervisor is gone, and takes them out of the group.
async fn end_orphans(state: &State, leaver: &Leaver, grace: Duration) -> anyhow::Result<Exit> {
    let running = state.running();
    if running.is_empty() {
        say("the fleet does not run")?;
        return Ok(Exit::Done);
    }
    say(&format!("the supervisor is gone; stopping {} instances", running.len()))?;
    for member in &running {
        if let Some(process) = &member.process {
            process.terminate();
        }
    }
    let began = Instant::now();
    while !state.running().is_empty() {
        if began.elapsed() > grace {
            return Err(still_running(grace).into());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let ids = running.iter().map(|member| member.id.clone()).collect::<Vec<_>>();
    if let Err(error) = leaver.leave(&ids).await {
        say(&format!(
            "not taken out of the group, which goes on waiting for them until their sessions are \
             over: {error}"
        ))?;
    }
    say("stopped")?;
    Ok(Exit::Done)
}

fn say(text: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout().lock(), "{text}")
}
