//! The picture.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{
    Block, Borders, Cell, Clear, List, Paragraph, Row, Sparkline, Table, TableState, Wrap,
};

use super::{Scene, View, rounded, state};
use crate::hub::{Event, Latency, Life, Member, Partition, Weight};

/// Lines of the charts, with their title.
const CHART_LINES: u16 = 4;
/// Least lines for the list of instances, with its head.
const LEAST_LIST: u16 = 5;

const KEYS: [(&str, &str); 9] = [
    ("↑ ↓  k j", "choose an instance"),
    ("Enter", "its partitions and reasons"),
    ("Esc", "back; clears the filter; leaves"),
    ("s  r", "sort by another column; turn round"),
    ("/", "filter by id, state or topic"),
    ("p", "pause the picture; the fleet goes on"),
    ("?  h", "this help"),
    ("q", "quit"),
    ("", "any key closes the help"),
];

/// Draws the view into the frame, whatever its size.
pub fn draw(view: &View, frame: &mut Frame<'_>) {
    // One instance wants the room: what happened is told of all.
    let events = match view.scene {
        Scene::Detail => Constraint::Length(0),
        Scene::List | Scene::Help | Scene::Typing => Constraint::Min(4),
    };
    let [head, list, charts, events, foot] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Min(LEAST_LIST),
        Constraint::Length(CHART_LINES),
        events,
        Constraint::Length(1),
    ])
    .areas(frame.area());
    draw_head(view, frame, head);
    match view.scene {
        Scene::Detail => draw_detail(view, frame, list),
        Scene::List | Scene::Help | Scene::Typing => draw_list(view, frame, list),
    }
    draw_charts(view, frame, charts);
    draw_events(view, frame, events);
    draw_foot(view, frame, foot);
    if view.scene == Scene::Help {
        draw_help(frame);
    }
}

fn colour(weight: Weight) -> Color {
    match weight {
        Weight::Good => Color::Green,
        Weight::Warn => Color::Yellow,
        Weight::Bad => Color::Red,
    }
}

fn draw_head(view: &View, frame: &mut Frame<'_>, area: Rect) {
    let fleet = &view.fleet;
    let verdict = match &view.trouble {
        Some(trouble) => Span::from(format!("{}: {trouble}", view.hub)).red().bold(),
        None if fleet.at_ms == 0 => Span::from(format!("asking {} …", view.hub)).yellow(),
        None => Span::from(fleet.verdict.text.as_str())
            .style(Style::new().fg(colour(fleet.verdict.weight)).bold()),
    };
    let first = Line::from(vec![
        "data-bridge ".bold(),
        fleet.group_id.as_str().dim(),
        "  ".into(),
        verdict,
    ]);
    let totals = &fleet.totals;
    let second = Line::from(vec![
        if view.paused { "PAUSED   ".yellow().bold() } else { "".into() },
        format!("{} of {} ready", totals.ready, fleet.instances.len()).into(),
        format!("   lag {}", short(totals.lag)).into(),
        format!("   {} rows/s", short(rounded(totals.rows_per_second))).into(),
        totals.p99_ms.map_or_else(String::new, |p99| format!("   p99 {p99} ms")).into(),
        format!("   {} partitions", totals.partitions).into(),
        format!("   {}", mebibytes(totals.rss_bytes)).into(),
    ]);
    frame.render_widget(Paragraph::new(vec![first, second]), area);
}

fn draw_list(view: &View, frame: &mut Frame<'_>, area: Rect) {
    let restarts = view.restarts();
    let list = view.listed();
    let selected = view.selected().map(|one| one.instance_id.clone());
    let rows = list.iter().map(|one| {
        let (mark, word) = state(one);
        let style = match (one.life, one.ready, one.backpressure || one.slow_ms.is_some()) {
            (Life::Dead, _, _) | (Life::Up, false, _) => Style::new().red(),
            (Life::Up, true, true) | (Life::Expected, _, _) => Style::new().yellow(),
            (Life::Left, _, _) => Style::new().dim(),
            (Life::Up, true, false) => Style::new().green(),
        };
        let number = |text: String| Cell::from(Line::from(text).right_aligned());
        let restarts = restarts.get(one.instance_id.as_str());
        Row::new([
            number(one.instance_number.to_string()),
            Cell::from(one.instance_id.as_str()),
            Cell::from(format!("{mark} {word}")).style(style),
            number(one.partitions.len().to_string()),
            number(short(one.lag)),
            number(short(rounded(one.rows_per_second))),
            number(short(one.buffered_rows)),
            number(mebibytes(one.rss_bytes)),
            number(duration(one.uptime_seconds)),
            number(restarts.map_or("–".to_owned(), ToString::to_string)),
        ])
    });
    let widths = [3, 16, 11, 5, 7, 7, 7, 8, 7, 3];
    let widths = widths.into_iter().enumerate().map(|(column, width)| match column {
        1 => Constraint::Min(width),
        _ => Constraint::Length(width),
    });
    let names = ["#", "instance", "state", "parts", "lag", "rows/s", "open", "memory", "up", "↻"];
    let head = names.into_iter().enumerate().map(|(column, name)| match column {
        1 | 2 => Cell::from(name),
        _ => Cell::from(Line::from(name).right_aligned()),
    });
    let title = match (view.filter.as_str(), view.scene) {
        ("", Scene::List | Scene::Detail | Scene::Help) => {
            format!(" instances by {} ", view.order.name())
        }
        (filter, Scene::Typing) => format!(" filter: {filter}▏ "),
        (filter, Scene::List | Scene::Detail | Scene::Help) => {
            format!(" instances with {filter:?} by {} ", view.order.name())
        }
    };
    let at = list.iter().position(|one| Some(&one.instance_id) == selected.as_ref());
    let table = Table::new(rows, widths)
        .header(Row::new(head).style(Style::new().dim()))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED))
        .block(Block::new().borders(Borders::TOP).title(title));
    frame.render_stateful_widget(table, area, &mut TableState::new().with_selected(at));
}

fn draw_detail(view: &View, frame: &mut Frame<'_>, area: Rect) {
    let Some(one) = view.selected() else {
        return draw_list(view, frame, area);
    };
    let mut lines = vec![Line::from(vec![
        format!("{} {}  ", state(one).0, state(one).1).bold(),
        one.url.as_str().dim(),
        format!("  version {}", one.version).dim(),
    ])];
    lines
        .extend(one.reasons.iter().map(|why| Line::from(vec!["why: ".red(), why.as_str().into()])));
    lines.extend(process_lines(view, one));
    lines.extend(one.latency.map(|Latency { p50_ms, p99_ms }| {
        Line::from(format!("produce to durable: half within {p50_ms} ms, 99 % within {p99_ms} ms"))
    }));
    lines.push(Line::from("partitions, and how many messages wait in each".dim()));
    lines.extend(one.partitions.chunk_by(|a, b| a.topic == b.topic).map(topic_line));
    let title = format!(" {} (Esc: back) ", one.instance_id);
    let block = Block::new().borders(Borders::TOP).title(title);
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: false }).block(block), area);
}

fn topic_line(parts: &[Partition]) -> Line<'_> {
    let mut spans = vec![parts[0].topic.as_str().bold()];
    for part in parts {
        spans.push(format!("  {}: {}", part.partition, short(part.lag)).into());
        if part.paused {
            spans.push(" held".yellow());
        }
    }
    Line::from(spans)
}

fn process_lines<'a>(view: &'a View, one: &Member) -> Vec<Line<'a>> {
    let processes = view.fleet.supervisor.as_ref().map_or(&[][..], |found| &found.processes);
    let Some(process) = processes.iter().find(|process| process.id == one.instance_id) else {
        return Vec::new();
    };
    let mut lines = vec![Line::from(vec![
        format!("process {}, started again {} times, log ", process.pid, process.restarts).into(),
        process.log.as_str().dim(),
    ])];
    if !process.why.is_empty() {
        lines.push(Line::from(vec!["ended: ".red(), process.why.as_str().into()]));
    }
    lines
}

fn draw_charts(view: &View, frame: &mut Frame<'_>, area: Rect) {
    let [left, middle, right] = Layout::horizontal([Constraint::Fill(1); 3]).spacing(2).areas(area);
    let charts = [
        (left, &view.rates, "rows/s", Color::Blue),
        (middle, &view.lags, "lag", Color::Magenta),
        (right, &view.latencies, "p99 ms", Color::Cyan),
    ];
    for (area, list, name, colour) in charts {
        let most = list.iter().max().copied().unwrap_or(0);
        let title = format!(" {name}, at most {} ", short(most));
        // The newest on the right, as far as there is room.
        let room = usize::from(area.width);
        let shown: Vec<u64> = list.iter().skip(list.len().saturating_sub(room)).copied().collect();
        let chart = Sparkline::default()
            .data(shown)
            .style(Style::new().fg(colour))
            .block(Block::new().borders(Borders::TOP).title(title));
        frame.render_widget(chart, area);
    }
}

fn draw_events(view: &View, frame: &mut Frame<'_>, area: Rect) {
    let room = usize::from(area.height.saturating_sub(1));
    let newest_first = view.fleet.events.iter().rev().take(room);
    let items = newest_first.map(|Event { at_ms, weight, text, .. }| {
        let style = match weight {
            Weight::Good => Style::new(),
            Weight::Warn | Weight::Bad => Style::new().fg(colour(*weight)),
        };
        Line::from(vec![
            format!("{} ", clock(*at_ms)).dim(),
            Span::from(text.as_str()).style(style),
        ])
    });
    let block = Block::new().borders(Borders::TOP).title(" what happened, newest first ");
    frame.render_widget(List::new(items).block(block), area);
}

fn draw_foot(view: &View, frame: &mut Frame<'_>, area: Rect) {
    let keys = match view.scene {
        Scene::Typing => "type a part of an id, a state or a topic; Enter keeps it, Esc drops it",
        Scene::Detail => "Esc back   ↑↓ another instance   p pause   ? help   q quit",
        Scene::List | Scene::Help => {
            "? help   ↑↓ choose   Enter details   s sort   / filter   p pause   q quit"
        }
    };
    frame.render_widget(Paragraph::new(keys).dim(), area);
}

fn draw_help(frame: &mut Frame<'_>) {
    let lines = KEYS.map(|(key, does)| Line::from(vec![format!(" {key:<10}").bold(), does.into()]));
    let height = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(2);
    let area = frame.area().centered(Constraint::Max(54), Constraint::Max(height));
    frame.render_widget(Clear, area);
    let block = Block::bordered().title(" keys ");
    frame.render_widget(Paragraph::new(lines.to_vec()).block(block), area);
}

/// Three digits and a unit are enough to see what grows.
pub(super) fn short(count: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1_000_000_000, "G"), (1_000_000, "M"), (10_000, "k")];
    match UNITS.into_iter().find(|(from, _)| count >= *from) {
        Some((_, "k")) => format!("{}k", count / 1_000),
        Some((unit, name)) => format!("{}.{}{name}", count / unit, count % unit * 10 / unit),
        None => count.to_string(),
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h", seconds / 3_600),
        86_400.. => format!("{} d", seconds / 86_400),
    }
}

fn clock(at_ms: i64) -> String {
    let zone = jiff::tz::TimeZone::system();
    jiff::Timestamp::from_millisecond(at_ms)
        .map(|at| at.to_zoned(zone).strftime("%H:%M:%S").to_string())
        .unwrap_or_default()
}
