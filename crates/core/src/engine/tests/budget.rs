//! Who may fetch, and who must wait.

use super::*;

/// Limits of 1,000 bytes or rows.
fn small() -> Scene {
    let limits = Limits { buffer_bytes: 1_000, buffer_rows: 1_000, ..Limits::default() };
    let mut scene = Scene::new(limits);
    scene.tell(Input::Assigned { lane: LANE, start: Position(0), table: TICKS });
    scene.tell(Input::Assigned { lane: OTHER, start: Position(0), table: CANDLES });
    scene
}

#[test]
fn lanes_pause_at_four_fifths_of_the_buffer_and_resume_at_two_fifths() {
    let mut scene = small();
    let mut batches = Vec::new();
    for chunk in 1..=4 {
        let month = Shelf { table: TICKS, partition: Partition(202_600 + chunk) };
        // 100 bytes of payload, 100 of block.
        let said = scene.fetch(LANE, u64::from(chunk), &[(month, 100)]);
        let pause = Output::Pause { lanes: vec![LANE, OTHER] };
        assert_eq!(said.contains(&pause), chunk == 4, "{chunk}: {said:?}");
    }
    // The encode buffers of two inserts fit above the 800 bytes.
    batches.extend(sent(&scene.wait(1_000)));
    assert_eq!(batches.len(), 2);
    assert_eq!(scene.engine.snapshot().bytes, 1_000);
    let resume = Output::Resume { lanes: vec![LANE, OTHER] };
    for freed in 1..=3 {
        let said = scene.durable(batches.remove(0));
        batches.extend(sent(&said));
        // Held after the second and third: 800 - 400 + 200 for encoding, 800 - 600 + 100.
        assert_eq!(said.contains(&resume), freed == 3, "{freed}: {said:?}");
    }
}

#[test]
fn lanes_pause_by_rows_too() {
    let mut scene = small();
    let shelf = JANUARY;
    let receipt = scene.engine.open(LANE, Position(1), 1).expect("ours");
    let parts = vec![Part { shelf, rows: 800, bytes: 1 }];
    let said = scene.tell(Input::Decoded { receipt, parts });
    assert_eq!(said, [Output::Pause { lanes: vec![LANE, OTHER] }]);
}

#[test]
fn a_lane_assigned_while_the_buffer_is_full_is_paused() {
    let mut scene = small();
    scene.fetch(LANE, 1, &[(JANUARY, 700)]);
    let late = LaneId(3);
    let said = scene.tell(Input::Assigned { lane: late, start: Position(0), table: CANDLES });
    assert_eq!(said, [Output::Pause { lanes: vec![late] }]);
}

#[test]
fn a_message_larger_than_the_buffer_passes_alone() {
    let mut scene = small();
    let receipt = scene.engine.open(LANE, Position(1), 5_000).expect("ours");
    let parts = vec![Part { shelf: JANUARY, rows: 1, bytes: 5_000 }];
    let said = scene.tell(Input::Decoded { receipt, parts });
    let [batch] = sent(&said)[..] else { panic!("{said:?}") };
    let said = scene.durable(batch);
    assert!(said.contains(&Output::Resume { lanes: vec![LANE, OTHER] }));
}

#[test]
fn what_a_failing_table_holds_does_not_keep_other_tables_waiting() {
    let mut scene = small();
    let said = scene.fetch(LANE, 1, &[(JANUARY, 700)]);
    let [batch] = sent(&said)[..] else { panic!("{said:?}") };
    let said = scene.tell(Input::Failed { batch, failure: Failure::Connect(String::new()) });
    assert_eq!(said, [Output::Resume { lanes: vec![OTHER] }], "lane 1 waits, lane 2 does not");
    let said = scene.fetch(OTHER, 1, &[(Shelf { table: CANDLES, partition: Partition(1) }, 60)]);
    assert_eq!(said, [Output::Pause { lanes: vec![OTHER] }], "it has its share of what is left");
}

#[test]
fn a_source_that_was_not_told_to_pause_goes_on_as_soon_as_there_is_room() {
    let mut scene = small();
    let month = |chunk: u32| Shelf { table: TICKS, partition: Partition(202_600 + chunk) };
    for chunk in 1..=4 {
        assert!(scene.engine.has_room());
        scene.fetch(LANE, u64::from(chunk), &[(month(chunk), 100)]);
    }
    assert!(!scene.engine.has_room(), "four fifths are held");
    let batches = sent(&scene.wait(1_000));
    let said = scene.durable(batches[0]);
    let resumed = said.iter().any(|output| matches!(output, Output::Resume { .. }));
    assert!(!resumed, "more than two fifths are held: {said:?}");
    for batch in &batches[1..] {
        scene.durable(*batch);
    }
    assert!(scene.engine.has_room());
    scene.fetch(LANE, 9, &[(month(9), 1)]);
    let batches = sent(&scene.wait(1_000));
    scene.fail(*batches.first().expect("it was due"), 60);
    assert!(!scene.engine.has_room(), "a table that cannot be written");
}
