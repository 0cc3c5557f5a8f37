//! `data-bridge status`: the fleet at a glance.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use super::Exit;
use super::fleet::Which;
use super::table::{Cell, Colour, Table};
use crate::config::{Config, Environment};
use crate::hub::{Fleet, Life, Member, Process, ProcessState, Supervised};

/// Show the fleet: instances, health, partitions, lag, rates, memory
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    #[command(flatten)]
    pub(super) which: Which,

    /// Print JSON
    #[arg(long, conflicts_with = "watch")]
    json: bool,

    /// Show it again each second
    #[arg(short, long)]
    watch: bool,
}

const HELP: &str = "\
Examples:
  data-bridge status
  data-bridge status --watch
  data-bridge status --hub http://hub:9400
  data-bridge status --json | jq '.totals.lag'

Exit codes:
  0  all instances are ready
  1  some are not
  2  usage or configuration
  3  there is no fleet, or its hub does not answer";

const REFRESH: Duration = Duration::from_secs(1);
/// Clears the screen and goes to its corner.
const CLEAR: &str = "\x1b[H\x1b[2J";
/// Changes of size that are shown.
const CHANGES: usize = 5;

/// Prints the fleet, once or each second.
pub(super) fn execute(
    config: &Config,
    environment: &Environment,
    args: &Args,
) -> anyhow::Result<Exit> {
    let found = args.which.find(config, environment)?;
    super::runtime()?.block_on(async {
        if !args.watch {
            let fleet = found.fleet().await?;
            let mut out = std::io::stdout().lock();
            if args.json {
                writeln!(out, "{}", serde_json::to_string_pretty(&fleet)?)?;
            } else {
                out.write_all(page(&fleet, colours()).as_bytes())?;
            }
            return Ok(exit(&fleet));
        }
        loop {
            let (page, exit) = match found.fleet().await {
                Ok(fleet) => (page(&fleet, colours()), exit(&fleet)),
                // It may come back.
                Err(error) => (format!("{error:#}\n"), Exit::Unreachable),
            };
            {
                let mut out = std::io::stdout().lock();
                if out.is_terminal() {
                    out.write_all(CLEAR.as_bytes())?;
                }
                out.write_all(page.as_bytes())?;
                out.flush()?;
            }
            tokio::select! {
                _ = tokio::signal::ctrl_c() => return Ok(exit),
                () = tokio::time::sleep(REFRESH) => {}
            }
        }
    })
}

/// Whether standard output is a terminal that wants colours.
pub(super) fn colours() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !refused && std::io::stdout().is_terminal()
}

fn exit(fleet: &Fleet) -> Exit {
    let wanted = fleet.supervisor.as_ref().map_or(0, |supervisor| supervisor.target);
    let all = fleet.instances.iter().filter(|member| member.life != Life::Left);
    let ready = all.clone().filter(|member| member.ready).count();
    let enough = ready == all.count() && ready >= usize::try_from(wanted).unwrap_or(usize::MAX);
    if enough && fleet.unread.is_empty() { Exit::Done } else { Exit::Failed }
}

/// All of it as text.
pub(super) fn page(fleet: &Fleet, colours: bool) -> String {
    let mut page = head(fleet);
    let mut table = Table::new(&[
        "#",
        "instance",
        "health",
        "uptime",
        "partitions",
        "lag",
        "rows/s",
        "memory",
        "restarts",
    ]);
    let processes = fleet.supervisor.as_ref().map_or(&[][..], |one| &one.processes);
    for member in &fleet.instances {
        let process = processes.iter().find(|process| process.id == member.instance_id);
        table.row(row(member, process));
        for reason in reasons(member, process) {
            table.note(reason);
        }
    }
    page.push_str(&table.text(colours));
    if fleet.instances.is_empty() {
        page.push_str("no instance has registered yet\n");
    }
    if let Some(which) = fleet.which_is_unread() {
        push_line(&mut page, &format!("\n{which}"));
    }
    page.push_str(&changes(fleet));
    page
}

fn head(fleet: &Fleet) -> String {
    let totals = &fleet.totals;
    let mut head = format!(
        "group {}: {} of {} instances ready, {} partitions, lag {}, {} rows/s, {}\n",
        fleet.group_id,
        totals.ready,
        fleet.instances.iter().filter(|member| member.life != Life::Left).count(),
        totals.partitions,
        count(totals.lag),
        rate(totals.rows_per_second),
        size(totals.rss_bytes),
    );
    if let Some(supervisor) = &fleet.supervisor {
        let auto = if supervisor.auto { ", scaling by lag" } else { "" };
        let Supervised { pid, target, doing, decision, .. } = supervisor;
        let doing = if doing.is_empty() { String::new() } else { format!("; {doing}") };
        push_line(&mut head, &format!("supervisor {pid}, keeps {target}{auto}{doing}"));
        if !decision.is_empty() {
            push_line(&mut head, &format!("decided: {decision}"));
        }
    }
    head.push('\n');
    head
}

fn row(member: &Member, process: Option<&Process>) -> Vec<Cell> {
    let (word, colour) = health(member, process);
    let is_up = member.life == Life::Up;
    let shown = |text: String| if is_up { text } else { "-".to_owned() };
    vec![
        Cell::right(member.instance_number.to_string()),
        Cell::left(member.instance_id.clone()),
        Cell::left(word).coloured(colour),
        Cell::right(shown(time(member.uptime_seconds))),
        Cell::right(shown(member.partitions.len().to_string())),
        Cell::right(shown(count(member.lag))),
        Cell::right(shown(rate(member.rows_per_second))),
        Cell::right(shown(size(member.rss_bytes))),
        Cell::right(process.map_or_else(|| "-".to_owned(), |one| one.restarts.to_string())),
    ]
}

fn health(member: &Member, process: Option<&Process>) -> (&'static str, Colour) {
    match process.map(|process| process.state) {
        Some(ProcessState::Waiting) => return ("restarting", Colour::Red),
        Some(ProcessState::Held) => return ("held", Colour::Red),
        Some(ProcessState::Stopping) => return ("stopping", Colour::Yellow),
        Some(ProcessState::Running) | None => {}
    }
    match member.life {
        Life::Up if !member.ready => ("not ready", Colour::Yellow),
        Life::Up if member.backpressure => ("back-pressure", Colour::Yellow),
        Life::Up if member.slow_ms.is_some() => ("slow", Colour::Yellow),
        Life::Up => ("ready", Colour::Green),
        Life::Expected => ("starting", Colour::Yellow),
        Life::Dead => ("dead", Colour::Red),
        Life::Left => ("left", Colour::Plain),
    }
}

fn reasons(member: &Member, process: Option<&Process>) -> Vec<String> {
    let why = process.map(|process| process.why.clone()).filter(|why| !why.is_empty());
    match (why, member.slow_ms) {
        (Some(why), _) => vec![why],
        (None, Some(p99)) if member.ready => {
            vec![format!("p99 {p99} ms from the broker to being durable")]
        }
        (None, _) if member.ready || member.life == Life::Left => Vec::new(),
        (None, _) => member.reasons.clone(),
    }
}

fn changes(fleet: &Fleet) -> String {
    let Some(supervisor) = &fleet.supervisor else {
        return String::new();
    };
    let mut text = String::new();
    if !supervisor.done.is_empty() {
        push_line(&mut text, &format!("\nlast restart: {}", supervisor.done));
    }
    if !supervisor.changes.is_empty() {
        push_line(&mut text, "\nscaled:");
    }
    for change in supervisor.changes.iter().rev().take(CHANGES).rev() {
        let at = jiff::Timestamp::from_millisecond(change.at_ms).unwrap_or_default();
        let at = at.strftime("%Y-%m-%d %H:%M:%SZ");
        push_line(&mut text, &format!("  {at}  {} → {}  {}", change.from, change.to, change.why));
    }
    text
}

fn push_line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

/// `1d 2h`, `3h 4m`, `5m 6s`, `7s`.
fn time(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, minutes) => format!("{minutes}m {}s", seconds % 60),
        (0, hours, minutes) => format!("{hours}h {minutes}m"),
        (days, hours, _) => format!("{days}d {hours}h"),
    }
}

/// Digits in groups of three.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate for people, never negative"
)]
fn rate(per_second: f64) -> String {
    count(per_second.round().max(0.0) as u64)
}

fn size(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::{Change, Partition, Totals, Unread};

    fn member(number: u32, life: Life, ready: bool, reasons: &[&str]) -> Member {
        Member {
            instance_id: format!("host-{number}"),
            instance_number: number,
            life,
            ready,
            reasons: reasons.iter().map(ToString::to_string).collect(),
            uptime_seconds: 3_725,
            partitions: vec![Partition::default(); 16],
            lag: 1_234_567,
            rows_per_second: 16_666.7,
            rss_bytes: 70 << 20,
            ..Member::default()
        }
    }

    #[test]
    fn a_page_says_who_does_not_work_and_why() {
        let fleet = Fleet {
            group_id: "g".to_owned(),
            totals: Totals { up: 2, ready: 1, partitions: 32, lag: 5, ..Totals::default() },
            instances: vec![
                Member { slow_ms: Some(230), ..member(1, Life::Up, true, &[]) },
                member(2, Life::Up, false, &["topic t does not exist"]),
                member(3, Life::Dead, false, &["connection refused"]),
            ],
            supervisor: Some(Supervised {
                pid: 77,
                target: 3,
                decision: "lag 5, quiet for 9 s; never fewer than 3".to_owned(),
                processes: vec![Process {
                    number: 3,
                    id: "host-3".to_owned(),
                    state: ProcessState::Held,
                    why: "ended with exit code 2: bad file".to_owned(),
                    restarts: 5,
                    ..Process::default()
                }],
                changes: vec![Change { at_ms: 0, from: 1, to: 3, why: "asked for".to_owned() }],
                ..Supervised::default()
            }),
            ..Fleet::default()
        };
        let page = page(&fleet, false);
        for words in [
            "1 of 3 instances ready",
            "decided: lag 5, quiet for 9 s; never fewer than 3",
            "slow",
            "p99 230 ms from the broker to being durable",
            "topic t does not exist",
            "held",
            "ended with exit code 2: bad file",
            "1,234,567",
            "16,667",
            "1h 2m",
            "70 MiB",
            "1970-01-01 00:00:00Z  1 → 3  asked for",
        ] {
            assert!(page.contains(words), "{words}\n{page}");
        }
        assert!(!page.contains('\x1b'), "{page}");
        assert_eq!(exit(&fleet), Exit::Failed);
        assert!(super::page(&fleet, true).contains("\x1b[33mslow"));
        let quick = Fleet { instances: vec![member(1, Life::Up, true, &[])], ..fleet };
        assert!(super::page(&quick, true).contains("\x1b[32mready"));
    }

    #[test]
    fn partitions_that_nobody_reads_are_named_and_all_is_not_well() {
        let whole = Fleet { instances: vec![member(1, Life::Up, true, &[])], ..Fleet::default() };
        assert_eq!(exit(&whole), Exit::Done);
        let nobody = Unread { topic: "market.tick".to_owned(), partition: 4, since_ms: 1 };
        let fleet = Fleet { unread: vec![nobody], ..whole };
        assert!(
            page(&fleet, false).contains("\n1 partition is read by no instance: market.tick:4\n")
        );
        assert_eq!(exit(&fleet), Exit::Failed);
    }
}
