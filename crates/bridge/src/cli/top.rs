//! `data-bridge top`: the fleet in the terminal, live.

use std::io::{IsTerminal, Write};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use anyhow::Context;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::Exit;
use super::fleet::{Found, Which};
use crate::config::{Config, Environment};
use crate::hub::Fleet;
use crate::top::{After, Key, View, draw, line, printable};

/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Longest wait for a key before looks are taken.
const KEY_WAIT: Duration = Duration::from_millis(100);
/// A hub that is started again is back sooner; a line each second says that it is away.
const ABSENCE: Duration = Duration::from_secs(10);
/// Looks that were not drawn yet; one a second, and a picture takes milliseconds.
const LOOKS: usize = 16;

/// Watch the fleet in the terminal, live
///
/// Instances with health and reason, partitions, rates, lag and what happened. Any terminal of 80 by
/// 24 will do, also over ssh. Where there is no terminal, a line is written each second, until the hub
/// has not answered for ten.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    #[command(flatten)]
    pub(super) which: Which,

    /// Write one line and end
    #[arg(long)]
    once: bool,
}

const HELP: &str = "\
Examples:
  data-bridge top
  data-bridge top --hub http://10.0.0.5:9400
  data-bridge top --once                    one line, for a script
  data-bridge top | tee fleet.log           a line each second

Keys: ? shows them; q quits.

Exit codes:
  0  quit
  2  usage or configuration
  3  there is no fleet, or its hub cannot be reached";

pub(super) fn execute(
    config: &Config,
    environment: &Environment,
    args: &Args,
) -> anyhow::Result<Exit> {
    let found = args.which.find(config, environment)?;
    let runtime = super::runtime()?;
    // Before the screen is taken: a fleet that is not there is an error like any other.
    let first = runtime.block_on(found.fleet())?;
    if args.once || !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        return lines(&runtime, &found, first, args.once);
    }
    let url = found.url.clone();
    let looks = watch(&runtime, found);
    let mut view = View::new(&url);
    view.take(Ok(first));
    let mut terminal = ratatui::try_init().context("the terminal cannot be used")?;
    let ended = picture(&mut terminal, &mut view, &looks);
    ratatui::restore();
    ended.map(|()| Exit::Done)
}

fn lines(
    runtime: &tokio::runtime::Runtime,
    found: &Found,
    first: Fleet,
    once: bool,
) -> anyhow::Result<Exit> {
    let mut out = std::io::stdout();
    let mut look = Ok(first);
    let mut answered = Instant::now();
    let mut told = 0;
    loop {
        match look {
            Ok(fleet) => {
                answered = Instant::now();
                writeln!(out, "{} {}", time(fleet.at_ms), line(&fleet))?;
                for event in fleet.events.iter().filter(|event| event.at_ms > told && !once) {
                    writeln!(out, "{}   {}", time(event.at_ms), printable(&event.text))?;
                }
                told = fleet.events.last().map_or(told, |last| last.at_ms);
            }
            Err(error) if answered.elapsed() >= ABSENCE => return Err(error),
            Err(error) => writeln!(out, "{:.0} no look: {error}", jiff::Timestamp::now())?,
        }
        out.flush()?;
        if once {
            return Ok(Exit::Done);
        }
        look = runtime.block_on(async {
            tokio::time::sleep(LOOK_EVERY).await;
            found.fleet().await
        });
    }
}

fn time(at_ms: i64) -> String {
    format!("{:.0}", jiff::Timestamp::from_millisecond(at_ms).unwrap_or_default())
}

/// Looks each second, beside the picture.
fn watch(runtime: &tokio::runtime::Runtime, found: Found) -> Receiver<Result<Fleet, String>> {
    let (send, looks) = sync_channel(LOOKS);
    runtime.spawn(async move {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let look = found.fleet().await.map_err(|error| error.to_string());
            // A full queue means that the terminal is stopped: it wants the newest when it goes on.
            if let Err(std::sync::mpsc::TrySendError::Disconnected(_)) = send.try_send(look) {
                return;
            }
        }
    });
    looks
}

fn picture(
    terminal: &mut ratatui::DefaultTerminal,
    view: &mut View,
    looks: &Receiver<Result<Fleet, String>>,
) -> anyhow::Result<()> {
    loop {
        terminal
            .draw(|frame| draw(view, frame))
            .context("the terminal does not take the picture")?;
        if event::poll(KEY_WAIT).context("the terminal gives no keys")? {
            let pressed = event::read().context("the terminal gives no keys")?;
            if let Some(key) = known(&pressed)
                && view.press(key) == After::Quit
            {
                return Ok(());
            }
        }
        while let Ok(look) = looks.try_recv() {
            view.take(look);
        }
    }
}

/// The key that was pressed, when it means something here. A raw terminal gives Ctrl-C as a key.
fn known(event: &Event) -> Option<Key> {
    let Event::Key(KeyEvent { code, modifiers, kind: KeyEventKind::Press, .. }) = event else {
        return None;
    };
    match code {
        KeyCode::Char('c' | 'd') if modifiers.contains(KeyModifiers::CONTROL) => Some(Key::Quit),
        KeyCode::Char(letter) => Some(Key::Letter(*letter)),
        KeyCode::Up => Some(Key::Up),
        KeyCode::Down => Some(Key::Down),
        KeyCode::Enter => Some(Key::Enter),
        KeyCode::Esc => Some(Key::Escape),
        KeyCode::Backspace => Some(Key::Backspace),
        _ => None,
    }
}
