use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Cell;
use ratatui::style::Color;

use super::*;
use crate::hub::{Event, Partition, Process, Supervised, Totals, Verdict, Weight};

/// The picture, cell by cell.
fn cells(view: &View, width: u16, height: u16) -> impl Iterator<Item = Cell> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(view, frame)).unwrap();
    terminal.backend().buffer().content.clone().into_iter()
}

/// The picture as text, a line for each row of the terminal.
fn picture(view: &View, width: u16, height: u16) -> String {
    let cells = cells(view, width, height).collect::<Vec<_>>();
    let rows = cells.chunks(usize::from(width));
    rows.map(|row| row.iter().map(Cell::symbol).collect::<String>() + "\n").collect()
}

fn member(number: u32, lag: u64) -> Member {
    Member {
        instance_id: format!("bridge-{number}"),
        instance_number: number,
        life: Life::Up,
        ready: true,
        lag,
        rows_per_second: f64::from(number) * 1_000.0,
        rss_bytes: u64::from(90 + (number + 1) % 3) << 20,
        uptime_seconds: 75,
        partitions: vec![Partition {
            topic: "tick_archive".into(),
            partition: 0,
            lag,
            paused: false,
        }],
        ..Member::default()
    }
}

fn fleet() -> Fleet {
    let mut dead = member(2, 700);
    (dead.life, dead.ready) = (Life::Dead, false);
    dead.reasons = vec!["connection refused".into()];
    Fleet {
        group_id: "market".into(),
        at_ms: 1_706_198_400_000,
        totals: Totals {
            up: 2,
            ready: 2,
            lag: 812_345,
            rows_per_second: 4_000.0,
            p99_ms: Some(45),
            ..Totals::default()
        },
        instances: vec![member(1, 5), dead, member(3, 90)],
        events: vec![Event {
            at_ms: 1_706_198_400_000,
            weight: Weight::Bad,
            instance: "bridge-2".into(),
            text: "bridge-2 does not answer".into(),
        }],
        verdict: Verdict { weight: Weight::Bad, text: "bridge-2 does not answer".into() },
        supervisor: Some(Supervised {
            processes: vec![Process {
                number: 2,
                id: "bridge-2".into(),
                restarts: 4,
                why: "killed by signal 9".into(),
                ..Process::default()
            }],
            ..Supervised::default()
        }),
        ..Fleet::default()
    }
}

fn view() -> View {
    let mut view = View::new("http://127.0.0.1:9400");
    view.take(Ok(fleet()));
    view
}

fn press(view: &mut View, keys: &str) {
    for key in keys.chars() {
        let key = match key {
            '\n' => Key::Enter,
            letter => Key::Letter(letter),
        };
        assert_eq!(view.press(key), After::Draw);
    }
}

#[test]
fn eighty_by_twenty_four_holds_all_that_matters() {
    let seen = picture(&view(), 80, 24);
    for words in [
        "market  bridge-2 does not answer",
        "2 of 3 ready   lag 812k   4000 rows/s   p99 45 ms",
        "p99 ms, at most 45",
        "bridge-1",
        "✕ no answer",
        "✓ ready",
        "what happened, newest first",
        "? help",
    ] {
        assert!(seen.contains(words), "{words:?} is missing:\n{seen}");
    }
}

#[test]
fn a_slow_instance_is_amber_and_said_with_its_figure() {
    let mut slow = fleet();
    slow.instances[0].slow_ms = Some(230);
    let text = "slow: bridge-1 (p99 230 ms); above 100 ms for 30 s or longer";
    slow.verdict = Verdict { weight: Weight::Warn, text: text.into() };
    let mut view = View::new("http://h");
    view.take(Ok(slow.clone()));
    let seen = picture(&view, 80, 24);
    assert!(seen.contains(text) && seen.contains("~ slow"), "{seen}");
    let yellow = cells(&view, 80, 24).filter(|cell| cell.fg == Color::Yellow);
    let yellow = yellow.map(|cell| cell.symbol().to_owned()).collect::<String>();
    assert!(yellow.starts_with(text) && yellow.contains("~ slow"), "{yellow}");
    assert!(line(&slow).ends_with(text));
}

#[test]
fn the_list_is_sorted_filtered_and_turned_round() {
    let order =
        |view: &View| -> Vec<u32> { view.listed().iter().map(|one| one.instance_number).collect() };
    let mut view = view();
    assert_eq!(order(&view), [1, 2, 3]);
    press(&mut view, "s");
    assert_eq!(order(&view), [2, 3, 1], "by lag");
    press(&mut view, "r");
    assert_eq!(order(&view), [1, 3, 2]);
    press(&mut view, "/no ans\n");
    assert_eq!(order(&view), [2], "by its state");
    assert_eq!(view.press(Key::Escape), After::Draw, "clears the filter first");
    assert_eq!(order(&view), [1, 3, 2]);
    press(&mut view, "rs");
    assert_eq!(order(&view), [3, 2, 1], "by rows a second");
    press(&mut view, "s");
    assert_eq!(order(&view), [1, 3, 2], "by memory");
    press(&mut view, "s");
    assert_eq!(order(&view), [1, 2, 3], "by number again");
    assert_eq!(view.press(Key::Escape), After::Quit);
}

#[test]
fn the_details_of_an_instance_say_why_and_what_it_reads() {
    let mut view = view();
    press(&mut view, "j\n");
    let seen = picture(&view, 80, 24);
    for words in [
        "bridge-2 (Esc: back)",
        "why: connection refused",
        "started again 4 times",
        "ended: killed by signal 9",
        "tick_archive  0: 700",
    ] {
        assert!(seen.contains(words), "{words:?} is missing:\n{seen}");
    }
    press(&mut view, "k");
    assert!(picture(&view, 80, 24).contains("bridge-1 (Esc: back)"), "the cursor moves on");
}

#[test]
fn the_details_hold_all_partitions_of_an_instance() {
    let mut fleet = fleet();
    let parts = (0..8).flat_map(|topic| (0..6).map(move |partition| (topic, partition)));
    let part = |(topic, partition)| Partition {
        topic: format!("market.external.topic_{topic}"),
        partition,
        lag: 999,
        paused: partition == 5,
    };
    fleet.instances[0].partitions = parts.map(part).collect();
    let mut view = View::new("http://127.0.0.1:9400");
    view.take(Ok(fleet));
    press(&mut view, "\n");
    let seen = picture(&view, 80, 24);
    assert!(seen.contains("topic_0  0: 999  1: 999"), "{seen}");
    assert!(seen.contains("topic_7") && seen.matches("held").count() == 8, "{seen}");
}

#[test]
fn a_pause_keeps_the_picture_until_it_ends() {
    let mut view = view();
    press(&mut view, "p");
    let mut later = fleet();
    later.group_id = "later".into();
    view.take(Ok(later));
    assert!(picture(&view, 80, 24).contains("PAUSED"));
    assert!(!picture(&view, 80, 24).contains("later"));
    press(&mut view, "p");
    assert!(picture(&view, 80, 24).contains("later"));
}

#[test]
fn a_hub_that_is_away_is_said_and_the_last_look_stays() {
    let mut view = view();
    view.take(Err("Connection refused".into()));
    let seen = picture(&view, 80, 24);
    assert!(seen.contains("http://127.0.0.1:9400: Connection refused"), "{seen}");
    assert!(seen.contains("bridge-3"), "{seen}");
    assert!(picture(&View::new("http://h"), 80, 24).contains("asking http://h"));
}

#[test]
fn hostile_names_do_not_reach_the_terminal() {
    let mut view = View::new("http://h");
    let mut hostile = fleet();
    hostile.instances[0].instance_id = "\u{1b}[2J\u{7}evil".into();
    hostile.verdict.text = "\u{1b}]0;title\u{7}".into();
    view.take(Ok(hostile.clone()));
    let seen = picture(&view, 80, 24);
    assert!(seen.contains("evil"), "{seen}");
    assert!(!seen.chars().any(|letter| letter.is_control() && letter != '\n'), "{seen:?}");
    assert!(!line(&hostile).contains('\u{1b}'));
}

#[test]
fn any_size_is_drawn() {
    let mut view = view();
    for (width, height) in [(1, 1), (20, 5), (40, 10), (300, 100)] {
        picture(&view, width, height);
    }
    press(&mut view, "?");
    assert!(picture(&view, 80, 24).contains("pause the picture"));
    picture(&view, 10, 3);
}

#[test]
fn counts_are_short() {
    let shown = [0, 9_999, 10_000, 812_345, 1_250_000, 3_000_000_000].map(draw::short);
    assert_eq!(shown, ["0", "9999", "10k", "812k", "1.2M", "3.0G"]);
}
