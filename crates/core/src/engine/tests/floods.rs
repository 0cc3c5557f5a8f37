//! Too many dead letters: the route is slowed down, the others are not.

use super::*;

/// A hundred letters are a flood when they are more than half of the messages of ten seconds.
fn scene() -> Scene {
    let limits = Limits {
        flood_rows: 100,
        flood_share: 0.5,
        flood_window: Duration::from_secs(10),
        ..Limits::default()
    };
    let mut scene = Scene::new(limits);
    scene.tell(Input::Assigned { lane: LANE, start: Position(0), table: TICKS });
    scene.tell(Input::Assigned { lane: OTHER, start: Position(0), table: CANDLES });
    scene
}

fn is_paused(scene: &Scene, lane: LaneId) -> bool {
    scene.engine.paused.contains(&lane)
}

fn began(said: &[Output]) -> bool {
    said.iter().any(|output| matches!(output, Output::FloodBegan { table: TICKS, .. }))
}

fn ended(said: &[Output]) -> bool {
    said.contains(&Output::FloodEnded { table: TICKS })
}

#[test]
fn letters_are_a_flood_only_when_they_are_many_and_a_large_share() {
    let mut scene = scene();
    assert!(!began(&scene.fetch(LANE, 1, &[(GRAVE, 100)])), "a hundred are not many");
    assert!(!began(&scene.fetch(LANE, 2, &[(JANUARY, 900), (GRAVE, 300)])), "not half of them");
    assert!(began(&scene.fetch(LANE, 3, &[(GRAVE, 501)])), "901 letters of 1801 messages");
    let flood = scene.engine.snapshot().floods[0];
    assert_eq!((flood.letters, flood.messages), (901, 1_801));
}

#[test]
fn letters_that_came_slowly_are_no_flood() {
    let mut scene = scene();
    for next in 1..100 {
        assert!(!began(&scene.fetch(LANE, next, &[(GRAVE, 9)])));
        scene.wait(1_000);
    }
}

#[test]
fn a_route_in_flood_writes_ten_letters_per_second_and_other_routes_all_they_have() {
    let mut scene = scene();
    scene.fetch(LANE, 1, &[(GRAVE, 1_000)]);
    let (mut letters, mut next) = (0, 1);
    let began = scene.now;
    while scene.now.since(began) < Duration::from_mins(5) {
        assert!(!is_paused(&scene, OTHER));
        if is_paused(&scene, LANE) {
            scene.wait(100);
            continue;
        }
        let rows = u32::try_from(scene.engine.rows_left()).expect("few");
        assert!(rows <= 100, "{rows} in one fetch");
        next += 1;
        letters += rows;
        for output in scene.fetch(LANE, next, &[(GRAVE, rows)]) {
            if let Output::Send { batch, .. } = output {
                scene.durable(batch);
            }
        }
    }
    assert!((2_900..=3_100).contains(&letters), "{letters} letters in 300 s");
}

#[test]
fn a_flood_ends_when_its_share_falls() {
    let mut scene = scene();
    assert!(began(&scene.fetch(LANE, 1, &[(GRAVE, 200)])));
    assert!(!ended(&scene.fetch(LANE, 2, &[(JANUARY, 199)])));
    assert!(ended(&scene.fetch(LANE, 3, &[(JANUARY, 1)])));
    assert!(!is_paused(&scene, LANE));
    assert_eq!(scene.engine.snapshot().floods, []);
}

#[test]
fn a_flood_ends_when_nothing_comes_any_more() {
    let mut scene = scene();
    assert!(began(&scene.fetch(LANE, 1, &[(GRAVE, 200)])));
    assert!(!ended(&scene.wait(59_999)));
    assert!(ended(&scene.wait(1)));
}

#[test]
fn letters_that_people_accept_pass_at_full_speed_until_the_share_falls() {
    let mut scene = scene();
    scene.fetch(LANE, 1, &[(GRAVE, 200)]);
    scene.fetch(LANE, 2, &[(GRAVE, 100)]);
    assert!(is_paused(&scene, LANE));
    assert!(ended(&scene.tell(Input::Accept { table: TICKS })));
    for next in 3..50 {
        assert!(!is_paused(&scene, LANE));
        assert!(!began(&scene.fetch(LANE, next, &[(GRAVE, 1_000)])));
    }
    scene.wait(60_000);
    assert!(began(&scene.fetch(LANE, 50, &[(GRAVE, 200)])), "the next flood is another one");
}

#[test]
fn an_accept_without_a_flood_changes_nothing() {
    let mut scene = scene();
    assert_eq!(scene.tell(Input::Accept { table: TICKS }), []);
    assert!(began(&scene.fetch(LANE, 1, &[(GRAVE, 200)])));
}

/// Nobody is judged by rows that wait: while ClickHouse is away, no row is taken.
#[test]
fn letters_among_rows_that_cannot_be_written_are_no_flood() {
    let mut scene = scene();
    for next in 1..100 {
        assert!(!began(&scene.fetch(LANE, next, &[(JANUARY, 100), (GRAVE, 5)])));
        scene.wait(10);
    }
}

/// A block of which every row is refused costs two inserts per row. Not at full speed for ever.
#[test]
fn a_block_of_refused_rows_is_searched_at_ten_letters_per_second() {
    let mut scene = scene();
    let mut said = scene.fetch(LANE, 1, &[(JANUARY, 100_000)]);
    let (mut inserts, mut buried) = (0, 0);
    let end = scene.now.after(Duration::from_mins(2));
    while scene.now < end {
        let mut wanted = Vec::new();
        for output in said {
            match output {
                Output::Send { batch, shelf, .. } => wanted.push((batch, shelf)),
                Output::Bury { batch, .. } => {
                    buried += 1;
                    let part = Part { shelf: GRAVE, rows: 1, bytes: 50 };
                    let more = scene.tell(Input::Buried { batch, part });
                    wanted.extend(sent(&more).into_iter().map(|batch| (batch, JANUARY)));
                }
                _ => {}
            }
        }
        said = Vec::new();
        for (batch, shelf) in wanted {
            inserts += u32::from(shelf == JANUARY);
            said.extend(if shelf == JANUARY {
                scene.fail(batch, 469)
            } else {
                scene.durable(batch)
            });
        }
        if said.is_empty() {
            scene.now = scene.engine.next_wake().expect("rows are left").min(end);
            said = scene.tell(Input::Tick);
        }
    }
    assert!((1_200..=1_400).contains(&buried), "100 at once, then 1,200 in 120 s; {buried}");
    assert!(inserts <= 2 * buried + 20, "{inserts} inserts for {buried} letters");
    assert!(!is_paused(&scene, OTHER), "other routes go on");
}
