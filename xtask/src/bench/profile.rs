//! `cargo xtask profile`: where the time goes while a topic is drained.
//!
//! Linux's `perf` samples by the clock, so that it also works on machines that hide their counters.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use data_bridge_stack::process::{Lifetime, Process};
use serde_json::Value;

use super::contestant::{self, Work};
use super::ground::Ground;
use crate::{screen, workspace};

mod flame;

#[derive(Debug, clap::Args)]
#[group(id = "profile")]
#[command(
    after_help = "Examples:\n  cargo xtask profile\n  cargo xtask profile --of engine --messages 10000000"
)]
pub(crate) struct Arguments {
    /// Whose time
    #[arg(long, value_enum, default_value = "bridge")]
    of: Whose,
    /// Ticks in the topic
    #[arg(long, default_value_t = 3_000_000)]
    messages: u64,
    /// Keys of the bridge's configuration, as JSON
    #[arg(long, value_name = "JSON", default_value = "{}", value_parser = super::drain::object)]
    config: Value,
    /// The flame graph [default: target/profile.svg]
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Whose {
    Bridge,
    Engine,
}

/// Samples a second: prime, so that no timer of the program beats with it.
const HERTZ: &str = "997";
/// Bytes of stack kept with a sample; deeper callers are cut off.
const STACK: &str = "dwarf,8192";
const PATIENCE: Duration = Duration::from_mins(2);

/// Profiles one drain.
///
/// # Errors
/// When `perf` is missing, or rows do not come.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if Command::new("perf").arg("--version").output().is_err() {
        bail!("perf is missing. On Debian: apt-get install linux-perf");
    }
    let mut ground = Ground::start(arguments.messages)?;
    let expected = ground.produce(arguments.messages, 1, &[])?;
    let database = ground.new_database(&arguments.config)?;
    let start = Instant::now();
    let instance = ground.instance(&database, 1)?;
    let pid = match arguments.of {
        Whose::Bridge => instance.process.pid(),
        Whose::Engine => ground.clickhouse.pid(),
    };
    let samples = ground.folder().join("perf.data");
    let mut perf = Command::new("perf");
    perf.args(["record", "-q", "-e", "cpu-clock", "-F", HERTZ, "--call-graph", STACK, "-o"]);
    perf.arg(&samples).args(["-p", &pid.to_string()]);
    let log = ground.folder().join("perf.log");
    let perf = Process::spawn("perf", perf, &log, Lifetime::WithStarter)?;
    let work = Work::Instances(vec![instance]);
    let (seconds, _) = contestant::watch(&ground, &database, &expected, start, &work)?;
    perf.interrupt();
    if perf.wait_exit(PATIENCE).is_none() {
        bail!("perf does not end\n{}", perf.log_tail());
    }
    work.stop(&ground, &database)?;
    ground.verify(&database, &expected)?;
    let stacks = stacks(&samples)?;
    fs::remove_file(&samples)?;
    show(&stacks, expected.messages, seconds);
    let path = match &arguments.svg {
        Some(path) => path.clone(),
        None => workspace::metadata()?.target.join("profile.svg"),
    };
    let title = format!("{:?} while it drains {} ticks", arguments.of, expected.messages);
    fs::write(&path, flame::svg(&title, &stacks))
        .with_context(|| format!("cannot write {}", path.display()))?;
    screen::line(&format!("\nflame graph: {}", path.display()));
    Ok(())
}

/// Samples per stack, the outermost function first, the thread before it.
pub(super) type Stacks = BTreeMap<Vec<String>, u64>;

fn stacks(samples: &Path) -> Result<Stacks> {
    screen::line("bench  reading the samples");
    let output = Command::new("perf")
        .args(["script", "--no-inline", "-F", "comm,ip,sym", "-i"])
        .arg(samples)
        .output()
        .context("perf script does not run")?;
    if !output.status.success() {
        bail!("perf script failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let stacks = fold(&String::from_utf8_lossy(&output.stdout));
    if stacks.is_empty() {
        bail!("perf has no samples: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(stacks)
}

/// A sample is the thread's name on a line, then one line per function, innermost first.
fn fold(script: &str) -> Stacks {
    let mut stacks = Stacks::new();
    for sample in script.split("\n\n") {
        let mut lines = sample.lines().filter(|line| !line.trim().is_empty());
        let Some(thread) = lines.next() else { continue };
        let function = |line: &str| {
            let (_, name) = line.trim().split_once(' ')?;
            Some(plain(name))
        };
        let mut stack: Vec<String> = lines.filter_map(function).collect();
        stack.push(thread.trim().to_owned());
        stack.reverse();
        *stacks.entry(stack).or_default() += 1;
    }
    stacks
}

/// A function without its offset, its hash and the generic arguments of others.
fn plain(name: &str) -> String {
    let name = name.split("+0x").next().unwrap_or(name);
    match name.rsplit_once("::h") {
        Some((plain, hash)) if hash.len() == 16 => plain.to_owned(),
        _ => name.to_owned(),
    }
}

/// The functions in which most samples were taken, and the threads.
#[expect(clippy::cast_precision_loss, reason = "counts of samples are small")]
fn show(stacks: &Stacks, messages: u64, seconds: f64) {
    let all: u64 = stacks.values().sum();
    let each = all as f64 / 997.0 * 1e9 / messages.max(1) as f64;
    let mut threads: BTreeMap<&str, u64> = BTreeMap::new();
    let mut functions: BTreeMap<&str, u64> = BTreeMap::new();
    for (stack, count) in stacks {
        if let (Some(thread), Some(function)) = (stack.first(), stack.last()) {
            *threads.entry(thread).or_default() += count;
            *functions.entry(function).or_default() += count;
        }
    }
    screen::line(&format!(
        "\n{messages} messages in {seconds:.2} s, {all} samples, {each:.0} ns of CPU a message\n"
    ));
    for (title, counts, most) in [("thread", threads, 12), ("function", functions, 45)] {
        screen::line(&format!("{:>7} {:>7}  {title}", "ns/msg", "share"));
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by_key(|(name, count)| (std::cmp::Reverse(*count), *name));
        for (name, count) in counts.into_iter().take(most) {
            let share = count as f64 / all.max(1) as f64;
            screen::line(&format!("{:>7.1} {:>6.1}%  {name}", each * share, share * 100.0));
        }
        screen::line("");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_folded_from_the_outermost_function() {
        let script = "rdk:broker0 \n\t    7f0 inner::h0123456789abcdef+0x10 \n\t    7f1 outer+0x2 \n\n\
                      rdk:broker0 \n\t    7f0 inner::h0123456789abcdef \n\t    7f9 outer \n\n\
                      main \n\t    1 f \n\n";
        let stacks = fold(script);
        let stack = ["rdk:broker0", "outer", "inner"].map(str::to_owned).to_vec();
        assert_eq!(stacks[&stack], 2);
        assert_eq!(stacks.values().sum::<u64>(), 3);
    }
}
