//! What the demo shows while it runs: a table that is drawn again in place on a terminal, a line
//! every two seconds elsewhere.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use data_bridge_stack::bridge::Status;

use super::tables::Rows;
use crate::screen;

/// A log is read later: fewer lines say more.
const LOG_PACE: Duration = Duration::from_secs(2);
const BAR: usize = 40;

pub(super) struct View {
    messages: u64,
    terminal: bool,
    drawn: usize,
    started: Instant,
    last: Option<(Instant, u64)>,
    logged: Option<Instant>,
}

impl View {
    pub(super) fn new(messages: u64) -> Self {
        Self {
            messages,
            terminal: io::stdout().is_terminal(),
            drawn: 0,
            started: Instant::now(),
            last: None,
            logged: None,
        }
    }

    /// A line that stays.
    pub(super) fn event(&mut self, text: &str) {
        self.drawn = 0;
        let at = self.started.elapsed().as_secs_f64();
        screen::line(&format!("demo   {at:>5.1} s  {text}"));
    }

    pub(super) fn show(&mut self, fleet: &[Status], rows: &Rows) {
        let rate = self.rate(rows.total());
        if self.terminal {
            self.draw(&table(self.messages, rate, fleet, rows));
            return;
        }
        if self.logged.is_none_or(|then| then.elapsed() >= LOG_PACE) {
            self.logged = Some(Instant::now());
            let at = self.started.elapsed().as_secs_f64();
            screen::line(&format!("demo   {at:>5.1} s  {}", brief(rate, fleet, rows)));
        }
    }

    /// Rows per second since the last look.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate for people, never negative"
    )]
    fn rate(&mut self, total: u64) -> u64 {
        let now = Instant::now();
        let rate = self.last.map_or(0.0, |(then, before)| {
            total.saturating_sub(before) as f64 / (now - then).as_secs_f64().max(0.001)
        });
        self.last = Some((now, total));
        rate as u64
    }

    fn draw(&mut self, lines: &[String]) {
        let mut text = String::new();
        if self.drawn > 0 {
            // Back to the first line of the last table (ECMA-48: cursor up).
            text.push_str("\x1b[");
            text.push_str(&self.drawn.to_string());
            text.push('A');
        }
        // Each line is erased to its end; shorter tables than the last are erased below.
        for line in lines {
            text.push_str(line);
            text.push_str("\x1b[K\n");
        }
        text.push_str("\x1b[J");
        self.drawn = lines.len();
        screen::part(&text);
    }
}

fn table(messages: u64, rate: u64, fleet: &[Status], rows: &Rows) -> Vec<String> {
    let mut lines = vec![bar(rows, messages, rate)];
    lines.push(format!(
        "{:<8} {:<10} {:>10} {:>8} {:>9}",
        "instance", "state", "partitions", "lag", "rows"
    ));
    lines.extend(fleet.iter().map(Status::line));
    lines.extend(rows.tables.iter().map(|(table, count)| format!("{table:<32} {count:>9}")));
    lines.push(format!("dead letters: {}", letters(rows)));
    lines
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a bar for people, its share lies between 0 and 1"
)]
fn bar(rows: &Rows, messages: u64, rate: u64) -> String {
    let share = rows.share_of(messages).clamp(0.0, 1.0);
    let full = (share * BAR as f64) as usize;
    format!(
        "[{}{}] {:>3.0} %  {} rows  {rate}/s",
        "#".repeat(full),
        "-".repeat(BAR - full),
        share * 100.0,
        rows.total()
    )
}

fn brief(rate: u64, fleet: &[Status], rows: &Rows) -> String {
    let instances: Vec<String> = fleet
        .iter()
        .map(|one| match (one.answers, one.ready) {
            (false, _) => format!("{} away", one.id),
            (true, true) => format!("{} {} partitions", one.id, one.partitions),
            (true, false) => format!("{} not ready ({})", one.id, one.reasons),
        })
        .collect();
    let letters: u64 = rows.letters.iter().map(|(_, count)| count).sum();
    let total = rows.total();
    format!("{total} rows, {rate}/s; {}; {letters} dead letters", instances.join(", "))
}

fn letters(rows: &Rows) -> String {
    if rows.letters.is_empty() {
        return "none".to_owned();
    }
    let reasons: Vec<String> =
        rows.letters.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
    reasons.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_shows_progress_instances_tables_and_letters() {
        let rows = Rows {
            tables: vec![("dead_letters".into(), 10), ("ticks".into(), 40)],
            letters: vec![("not_json".into(), 10)],
        };
        let fleet = [Status { id: "demo-1".into(), ..Status::default() }];
        let text = table(100, 7, &fleet, &rows).join("\n");
        assert!(
            text.starts_with(&format!("[{}{}]  50 %", "#".repeat(20), "-".repeat(20))),
            "{text}"
        );
        for part in ["demo-1   away", "ticks ", "dead letters: not_json 10", "7/s"] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        // More rows than messages, before duplicates collapse, is no more than all.
        assert!(bar(&rows, 20, 0).contains("100 %"));
    }
}
