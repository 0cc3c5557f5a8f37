//! Batches grow while a backlog is drained, and only then.

use super::*;

const BACKLOG: Input = Input::Backlog { records: 5_000_000 };

/// Chunks of 10,000 rows, as a backlog brings them, each 5 ms after the one before.
fn fetch_until_sent(scene: &mut Scene, next: &mut u64, most: u32) -> u32 {
    for rows in 1..=most {
        *next += 10_000;
        let receipt = scene.engine.open(LANE, Position(*next), 2_650_000).expect("ours");
        let part = Part { shelf: JANUARY, rows: 10_000, bytes: 780_000 };
        let mut said = scene.tell(Input::Decoded { receipt, parts: vec![part] });
        said.extend(scene.wait(5));
        if !sent(&said).is_empty() {
            return rows * 10_000;
        }
    }
    panic!("nothing was sent");
}

#[test]
fn a_block_that_is_due_grows_to_its_part_of_the_budget_while_a_backlog_waits() {
    let mut scene = Scene::usual();
    let mut next = 0;
    let usual = fetch_until_sent(&mut scene, &mut next, 10);
    assert_eq!(usual, 60_000, "the linger of 30 ms");
    scene.durable(BatchId(1));
    scene.tell(BACKLOG);
    let grown = fetch_until_sent(&mut scene, &mut next, 100);
    // 0.45 of four fifths of a million rows, whose payloads were let go.
    assert_eq!(grown, 360_000);
    scene.durable(BatchId(2));
    scene.tell(Input::Backlog { records: 100 });
    assert_eq!(fetch_until_sent(&mut scene, &mut next, 10), usual, "drained");
}

#[test]
fn the_next_block_grows_on_while_one_is_on_its_way_and_lanes_are_not_paused() {
    let mut scene = Scene::usual();
    scene.tell(BACKLOG);
    let mut next = 0;
    fetch_until_sent(&mut scene, &mut next, 100);
    for _ in 0..20 {
        next += 10_000;
        let receipt = scene.engine.open(LANE, Position(next), 2_650_000).expect("ours");
        let part = Part { shelf: JANUARY, rows: 10_000, bytes: 780_000 };
        let said = scene.tell(Input::Decoded { receipt, parts: vec![part] });
        assert!(!said.iter().any(|output| matches!(output, Output::Pause { .. })), "{said:?}");
    }
    assert_eq!(sent(&scene.durable(BatchId(1))), [], "it is not grown yet");
}

#[test]
fn a_backlog_that_only_drips_keeps_no_row_for_more_than_a_second() {
    let mut scene = Scene::usual();
    scene.tell(BACKLOG);
    scene.fetch(LANE, 10, &[(JANUARY, 10)]);
    assert_eq!(scene.engine.next_wake(), Some(Moment(Duration::from_millis(1_030))));
    assert_eq!(sent(&scene.wait(1_029)), []);
    assert_eq!(sent(&scene.wait(1)).len(), 1);
}

#[test]
fn whoever_waits_for_the_rows_ends_the_growth() {
    for end in [
        Input::Revoked { lanes: vec![LANE], deadline: Moment(Duration::from_secs(9)) },
        Input::Stop { deadline: Moment(Duration::from_secs(9)) },
        Input::Backlog { records: 0 },
    ] {
        let mut scene = Scene::usual();
        scene.tell(BACKLOG);
        scene.fetch(LANE, 10, &[(JANUARY, 10)]);
        assert_eq!(sent(&scene.wait(500)), []);
        assert_eq!(sent(&scene.tell(end)).len(), 1);
    }
}

#[test]
fn a_full_buffer_ends_the_growth() {
    let limits = Limits { buffer_rows: 1_000, ..Limits::default() };
    let mut scene = Scene::new(limits);
    scene.tell(Input::Assigned { lane: LANE, start: Position(0), table: TICKS });
    scene.tell(BACKLOG);
    scene.fetch(LANE, 200, &[(JANUARY, 200)]);
    scene.fetch(LANE, 400, &[(FEBRUARY, 200)]);
    let march = Shelf { table: TICKS, partition: Partition(202_603) };
    let april = Shelf { table: TICKS, partition: Partition(202_604) };
    scene.fetch(LANE, 600, &[(march, 200)]);
    assert_eq!(sent(&scene.wait(100)), [], "none has its part");
    let said = scene.fetch(LANE, 800, &[(april, 200)]);
    assert!(!sent(&said).is_empty(), "no more can come: {said:?}");
}

#[test]
fn a_block_that_has_its_part_is_sealed_when_its_shelf_is_busy() {
    let mut scene = Scene::usual();
    scene.tell(BACKLOG);
    let mut next = 0;
    let first = fetch_until_sent(&mut scene, &mut next, 100);
    let sealed = (1..=40).find(|_| {
        next += 10_000;
        let receipt = scene.engine.open(LANE, Position(next), 2_650_000).expect("ours");
        let part = Part { shelf: JANUARY, rows: 10_000, bytes: 780_000 };
        let said = scene.tell(Input::Decoded { receipt, parts: vec![part] });
        said.iter().any(|output| matches!(output, Output::Seal { .. }))
    });
    // The buffer for encoding the first counts as well.
    let usual = first / 10_000;
    assert!(sealed.is_some_and(|chunks| (usual - 4..=usual).contains(&chunks)), "{sealed:?}");
    assert_eq!(sent(&scene.durable(BatchId(1))), [BatchId(2)], "and sent at once");
}

const STREAM: LaneId = LaneId(3);

fn streaming() -> Scene {
    let mut scene = Scene::usual();
    scene.tell(Input::StreamAssigned { lane: STREAM, table: TICKS });
    scene.tell(BACKLOG);
    scene
}

fn pull(scene: &mut Scene, rows: u32) -> Vec<Output> {
    let receipt = scene.engine.open_of_stream(STREAM, 100).expect("the stream is ours");
    let part = Part { shelf: JANUARY, rows, bytes: u64::from(rows) };
    scene.tell(Input::Decoded { receipt, parts: vec![part] })
}

#[test]
fn a_block_of_a_stream_takes_no_more_than_its_part_of_what_the_server_leaves_unacked() {
    let mut scene = streaming();
    let mut rows = 0;
    loop {
        rows += 5_000;
        let mut said = pull(&mut scene, 5_000);
        said.extend(scene.wait(10));
        if !sent(&said).is_empty() {
            break;
        }
    }
    assert_eq!(rows, 90_000, "0.45 of 200,000");
    // The next one is built meanwhile, and waits for nothing but its turn.
    for _ in 0..18 {
        assert_eq!(sent(&pull(&mut scene, 5_000)), []);
        scene.wait(10);
    }
    assert_eq!(sent(&scene.durable(BatchId(1))), [BatchId(2)]);
}

#[test]
fn a_block_of_a_stream_whose_server_sends_no_more_is_not_kept_waiting() {
    let mut scene = streaming();
    for _ in 0..5 {
        pull(&mut scene, 5_000);
        assert_eq!(sent(&scene.wait(90)), [], "more comes");
    }
    assert_eq!(scene.engine.next_wake(), Some(scene.now.after(Duration::from_millis(10))));
    assert_eq!(sent(&scene.wait(10)).len(), 1);
}

#[test]
fn payloads_make_room_for_rows_while_a_backlog_waits() {
    let mut scene = Scene::usual();
    let parts = vec![Part { shelf: JANUARY, rows: 10, bytes: 800 }];
    let let_go = |said: &[Output]| {
        said.iter().filter(|output| matches!(output, Output::LetGo { .. })).count()
    };
    let fetch = |scene: &mut Scene, next| {
        let receipt = scene.engine.open(LANE, Position(next), 2_000).expect("ours");
        scene.tell(Input::Decoded { receipt, parts: parts.clone() })
    };
    assert_eq!(let_go(&fetch(&mut scene, 10)), 0, "nothing waits: what is refused is at hand");
    assert_eq!(scene.engine.snapshot().bytes, 2_800);
    scene.tell(BACKLOG);
    assert_eq!(let_go(&fetch(&mut scene, 20)), 1);
    assert_eq!(scene.engine.snapshot().bytes, 3_600);
    scene.tell(Input::Backlog { records: 0 });
    assert_eq!(sent(&scene.wait(30)), [BatchId(1)]);
    fetch(&mut scene, 30);
    scene.durable(BatchId(1));
    assert_eq!(scene.engine.snapshot().bytes, 2_800, "what was let go is not given back twice");
}
