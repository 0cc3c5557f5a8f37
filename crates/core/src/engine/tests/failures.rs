//! What follows from an insert that failed.

use super::*;

#[test]
fn a_batch_is_retried_for_ever_with_growing_waits() {
    let mut scene = Scene::usual();
    scene.fetch(LANE, 10, &[(JANUARY, 10)]);
    let (batch, attempt) = scene.wait_for_send();
    assert_eq!(attempt, 1);
    let mut waits = Vec::new();
    for attempt in 2..=200 {
        let said = scene.tell(Input::Failed { batch, failure: Failure::Connect(String::new()) });
        assert_eq!(said, []);
        let before = scene.now;
        assert_eq!(scene.wait_for_send(), (batch, attempt));
        waits.push(scene.now.since(before));
    }
    let second = Duration::from_secs(1);
    assert!(waits[0] <= second && waits[1] <= 2 * second && waits[2] <= 4 * second, "{waits:?}");
    assert!(waits.iter().all(|wait| *wait <= 32 * second));
    assert!(waits.iter().any(|wait| *wait > 28 * second));
    assert_eq!(committed(&scene.durable(batch)), [(LANE, Position(10))]);
}

#[test]
fn a_table_that_cannot_be_written_pauses_its_lanes_only_and_resumes_by_itself() {
    let mut scene = Scene::usual();
    scene.fetch(LANE, 10, &[(JANUARY, 10)]);
    let batch = scene.wait_for_send().0;
    scene.fetch(LANE, 20, &[(FEBRUARY, 10)]);
    assert_eq!(
        scene.fail(batch, 60),
        [
            Output::TablePaused { table: TICKS, failure: refused(60) },
            Output::Pause { lanes: vec![LANE] }
        ]
    );
    assert_eq!(scene.engine.snapshot().tables_paused[0].failure, refused(60));
    scene.fetch(OTHER, 10, &[(Shelf { table: CANDLES, partition: Partition(1) }, 1)]);
    let candles = loop {
        let (sent, _) = scene.wait_for_send();
        if sent != batch {
            break sent;
        }
        assert_eq!(scene.fail(batch, 516), [], "told once; the new reason is in the snapshot");
    };
    assert_eq!(committed(&scene.durable(candles)), [(OTHER, Position(10))]);
    scene.tell(Input::Committed);
    if scene.engine.snapshot().batches_in_flight == 0 {
        assert_eq!(scene.wait_for_send().0, batch, "nothing else of the table is sent");
    }
    let said = scene.durable(batch);
    assert!(said.contains(&Output::TableResumed { table: TICKS }));
    assert!(said.contains(&Output::Resume { lanes: vec![LANE] }));
    assert_eq!(sent(&said).len(), 1, "what had to wait goes");
}

#[test]
fn a_reason_nobody_foresaw_is_retried_five_times_and_then_pauses_the_table() {
    let mut scene = Scene::usual();
    scene.fetch(LANE, 10, &[(JANUARY, 10)]);
    for _ in 0..5 {
        let batch = scene.wait_for_send().0;
        assert_eq!(scene.fail(batch, 1_001), []);
    }
    let batch = scene.wait_for_send().0;
    let said = scene.fail(batch, 1_001);
    assert!(said.contains(&Output::TablePaused { table: TICKS, failure: refused(1_001) }));
}

#[test]
fn a_batch_too_large_for_the_servers_memory_is_halved_after_a_wait() {
    let mut scene = Scene::usual();
    scene.fetch(LANE, 10, &[(JANUARY, 3)]);
    let batch = scene.wait_for_send().0;
    let said = scene.fail(batch, 241);
    let [Output::Split { at: 1, left, right, .. }] = said[..] else { panic!("{said:?}") };
    assert_eq!(scene.wait_for_send(), (left, 2));
    assert_eq!(scene.fail(left, 241), [], "one row cannot be halved");
    assert_eq!(scene.wait_for_send(), (left, 3));
    assert_eq!(sent(&scene.durable(left)), [right]);
    assert_eq!(committed(&scene.durable(right)), [(LANE, Position(10))]);
}

#[test]
fn a_dead_letter_that_is_refused_is_never_buried_again() {
    let mut scene = Scene::usual();
    scene.fetch(LANE, 10, &[(GRAVE, 1)]);
    let mut batch = scene.wait_for_send().0;
    let said = scene.fail(batch, 469);
    assert_eq!(said, [Output::TablePaused { table: LETTERS, failure: refused(469) }]);
    for _ in 0..20 {
        let again = scene.wait_for_send().0;
        assert_eq!(again, batch);
        batch = again;
        assert_eq!(scene.fail(batch, 469), []);
    }
    let batch = scene.wait_for_send().0;
    assert_eq!(committed(&scene.durable(batch)), [(LANE, Position(10))]);
}

#[test]
fn an_answer_nobody_waits_for_changes_nothing() {
    let mut scene = Scene::usual();
    scene.fetch(LANE, 10, &[(JANUARY, 10)]);
    let batch = scene.wait_for_send().0;
    scene.fail(batch, 252);
    assert_eq!(scene.durable(batch), [], "it has failed already");
    assert_eq!(scene.fail(BatchId(99), 469), []);
    assert_eq!(scene.tell(Input::Committed), []);
    assert_eq!(scene.wait_for_send(), (batch, 2));
}

#[test]
fn a_table_that_was_mended_is_tried_at_once_and_others_keep_to_their_back_off() {
    let mut scene = Scene::usual();
    scene.fetch(LANE, 10, &[(JANUARY, 10)]);
    let batch = scene.wait_for_send().0;
    scene.fetch(OTHER, 10, &[(Shelf { table: CANDLES, partition: Partition(1) }, 1)]);
    let candles = scene.wait_for_send().0;
    scene.fail(candles, 252);
    assert!(scene.fail(batch, 53).contains(&Output::Pause { lanes: vec![LANE] }));
    let said = scene.tell(Input::Mended { table: TICKS });
    assert_eq!(said, [Output::Send { batch, shelf: JANUARY, attempt: 2 }]);
    assert_eq!(scene.tell(Input::Mended { table: CANDLES }), [], "it is not paused");
    let said = scene.durable(batch);
    assert!(said.contains(&Output::TableResumed { table: TICKS }));
}

#[test]
fn ten_minutes_of_too_many_parts_cost_few_attempts_of_the_same_batches_and_no_row() {
    let mut scene = Scene::usual();
    let mut attempts = BTreeMap::<BatchId, u32>::new();
    let (mut next, mut asked) = (0, 0);
    let mut said = Vec::new();
    let mut fetched = 0;
    while scene.now < Moment(Duration::from_mins(10)) {
        for batch in sent(&std::mem::take(&mut said)) {
            *attempts.entry(batch).or_default() += 1;
            asked += 1;
            said.extend(scene.fail(batch, 252));
        }
        // As long as the engine takes them.
        if scene.engine.rows_left() > 1_000 && next < 50 {
            next += 1;
            fetched += 1_000;
            said.extend(scene.fetch(LANE, fetched, &[(JANUARY, 500), (FEBRUARY, 500)]));
        }
        said.extend(scene.wait(1_000));
        assert!(
            !said
                .iter()
                .any(|output| matches!(output, Output::Bury { .. } | Output::TablePaused { .. }))
        );
    }
    assert_eq!(attempts.len(), 2, "one batch of each partition, and always the same: {attempts:?}");
    assert!((20..200).contains(&asked), "{asked} attempts");
    // The server has recovered.
    let mut durable = 0;
    for _ in 0..1_000 {
        for batch in sent(&std::mem::take(&mut said)) {
            durable += scene.engine.batches[&batch].rows;
            said.extend(scene.durable(batch));
        }
        said.extend(scene.wait(1_000));
    }
    assert_eq!(u64::from(durable), fetched, "drained");
    assert_eq!(scene.engine.snapshot().open_chunks, 0);
}
