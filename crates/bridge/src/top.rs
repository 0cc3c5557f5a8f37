//! The fleet in a terminal: what is shown, and what keys change about it. No terminal in here, so that
//! a test can look at the picture.

mod draw;

use std::collections::{BTreeMap, VecDeque};

use crate::hub::{Fleet, Life, Member};

pub use draw::draw;

/// Rates that a sparkline shows, one a second.
const POINTS: usize = 120;

/// What the list is sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// `instance.number`.
    #[default]
    Number,
    /// Most messages waiting first.
    Lag,
    /// Most rows a second first.
    Rate,
    /// Most memory first.
    Memory,
}

impl Order {
    fn next(self) -> Self {
        match self {
            Self::Number => Self::Lag,
            Self::Lag => Self::Rate,
            Self::Rate => Self::Memory,
            Self::Memory => Self::Number,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Lag => "lag",
            Self::Rate => "rows/s",
            Self::Memory => "memory",
        }
    }
}

/// What is in front.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Scene {
    #[default]
    List,
    /// One instance.
    Detail,
    Help,
    /// The list, while a filter is typed.
    Typing,
}

/// A key, as far as this program knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A letter.
    Letter(char),
    /// Arrow up.
    Up,
    /// Arrow down.
    Down,
    /// Enter.
    Enter,
    /// Escape.
    Escape,
    /// Backspace.
    Backspace,
    /// Ctrl-C.
    Quit,
}

/// What to do after a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum After {
    /// Draw again.
    Draw,
    /// End.
    Quit,
}

/// The picture's state.
#[derive(Debug, Default)]
pub struct View {
    hub: String,
    fleet: Fleet,
    /// Why there is no newer look.
    trouble: Option<String>,
    rates: VecDeque<u64>,
    lags: VecDeque<u64>,
    /// Milliseconds; 0 while nothing is written.
    latencies: VecDeque<u64>,
    order: Order,
    reversed: bool,
    filter: String,
    /// Id of the instance the cursor is on.
    selected: String,
    scene: Scene,
    paused: bool,
    /// What came while paused.
    waiting: Option<Fleet>,
}

impl View {
    /// A view of the fleet of this hub, of which nothing is known yet.
    #[must_use]
    pub fn new(hub: &str) -> Self {
        Self { hub: hub.to_owned(), ..Self::default() }
    }

    /// A look at the fleet, or why there is none.
    pub fn take(&mut self, look: Result<Fleet, String>) {
        match look {
            Ok(fleet) => {
                self.trouble = None;
                remember(&mut self.rates, rounded(fleet.totals.rows_per_second));
                remember(&mut self.lags, fleet.totals.lag);
                remember(&mut self.latencies, fleet.totals.p99_ms.unwrap_or(0));
                if self.paused {
                    self.waiting = Some(fleet);
                } else {
                    self.fleet = fleet;
                }
            }
            Err(trouble) => self.trouble = Some(trouble),
        }
    }

    /// A key was pressed.
    pub fn press(&mut self, key: Key) -> After {
        if key == Key::Quit {
            return After::Quit;
        }
        match self.scene {
            Scene::Typing => self.type_filter(key),
            Scene::Help => self.scene = Scene::List,
            Scene::List | Scene::Detail => match key {
                Key::Letter('q') => return After::Quit,
                Key::Escape if self.scene == Scene::List && self.filter.is_empty() => {
                    return After::Quit;
                }
                Key::Escape | Key::Backspace => {
                    if self.scene == Scene::List {
                        self.filter.clear();
                    }
                    self.scene = Scene::List;
                }
                Key::Letter('?' | 'h') => self.scene = Scene::Help,
                Key::Letter('p') => self.pause(),
                Key::Letter('s') => self.order = self.order.next(),
                Key::Letter('r') => self.reversed = !self.reversed,
                Key::Letter('/') => self.scene = Scene::Typing,
                Key::Enter if self.selected().is_some() => self.scene = Scene::Detail,
                Key::Up | Key::Letter('k') => self.step(-1),
                Key::Down | Key::Letter('j') => self.step(1),
                Key::Enter | Key::Letter(_) | Key::Quit => {}
            },
        }
        After::Draw
    }

    fn type_filter(&mut self, key: Key) {
        match key {
            Key::Letter(letter) => self.filter.push(letter),
            Key::Backspace => {
                self.filter.pop();
            }
            Key::Escape => {
                self.filter.clear();
                self.scene = Scene::List;
            }
            Key::Enter => self.scene = Scene::List,
            Key::Up | Key::Down | Key::Quit => {}
        }
    }

    fn pause(&mut self) {
        self.paused = !self.paused;
        if let Some(fleet) = self.waiting.take().filter(|_| !self.paused) {
            self.fleet = fleet;
        }
    }

    /// The instances that fit the filter, in their order.
    fn listed(&self) -> Vec<&Member> {
        let wanted = self.filter.to_lowercase();
        let fits = |one: &&Member| {
            wanted.is_empty()
                || one.instance_id.to_lowercase().contains(&wanted)
                || state(one).1.contains(&wanted)
                || one.partitions.iter().any(|part| part.topic.to_lowercase().contains(&wanted))
        };
        let mut list: Vec<&Member> = self.fleet.instances.iter().filter(fits).collect();
        match self.order {
            Order::Number => list.sort_by_key(|one| one.instance_number),
            Order::Lag => list.sort_by_key(|one| std::cmp::Reverse(one.lag)),
            Order::Rate => list.sort_by(|a, b| b.rows_per_second.total_cmp(&a.rows_per_second)),
            Order::Memory => list.sort_by_key(|one| std::cmp::Reverse(one.rss_bytes)),
        }
        if self.reversed {
            list.reverse();
        }
        list
    }

    /// The instance the cursor is on: the first one while it is on none that is listed.
    fn selected(&self) -> Option<&Member> {
        let list = self.listed();
        list.iter().find(|one| one.instance_id == self.selected).or_else(|| list.first()).copied()
    }

    fn step(&mut self, by: isize) {
        let list = self.listed();
        let Some(last) = list.len().checked_sub(1) else {
            return;
        };
        let at = list.iter().position(|one| one.instance_id == self.selected).unwrap_or(0);
        let to = at.saturating_add_signed(by).min(last);
        self.selected = list[to].instance_id.clone();
    }

    /// How often each instance was started again, where a supervisor knows.
    fn restarts(&self) -> BTreeMap<&str, u32> {
        let processes = self.fleet.supervisor.as_ref().map_or(&[][..], |one| &one.processes);
        processes.iter().map(|one| (one.id.as_str(), one.restarts)).collect()
    }
}

fn remember(list: &mut VecDeque<u64>, value: u64) {
    if list.len() == POINTS {
        list.pop_front();
    }
    list.push_back(value);
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate of rows: not negative, and far below 2^64"
)]
fn rounded(rate: f64) -> u64 {
    rate.max(0.0).round() as u64
}

/// A state in a word, whether it is bad, with a mark that needs no colour.
fn state(one: &Member) -> (char, &'static str) {
    match one.life {
        Life::Dead => ('✕', "no answer"),
        Life::Left => ('–', "stopped"),
        Life::Expected => ('…', "starting"),
        Life::Up if !one.ready => ('!', "not ready"),
        Life::Up if one.backpressure => ('‖', "held back"),
        Life::Up if one.slow_ms.is_some() => ('~', "slow"),
        Life::Up => ('✓', "ready"),
    }
}

/// One line for a program or a file instead of a picture.
#[must_use]
pub fn line(fleet: &Fleet) -> String {
    let totals = &fleet.totals;
    let text = format!(
        "{} instances up, {} ready, {} partitions, lag {}, {} rows/s; {}",
        totals.up,
        totals.ready,
        totals.partitions,
        totals.lag,
        rounded(totals.rows_per_second),
        fleet.verdict.text
    );
    printable(&text)
}

/// The text with nothing in it that a terminal would obey.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

#[cfg(test)]
mod tests;
