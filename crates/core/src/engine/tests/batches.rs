//! When batches close, and in which order they are sent.

use super::*;

#[test]
fn a_row_waits_for_the_linger_and_is_then_sent_committed_and_freed() {
    let mut scene = Scene::usual();
    assert_eq!(scene.fetch(LANE, 10, &[(JANUARY, 10)]), []);
    assert_eq!(scene.engine.next_wake(), Some(Moment(Duration::from_millis(30))));
    assert_eq!(scene.wait(29), []);
    let batch = BatchId(1);
    assert_eq!(scene.wait(1), [Output::Send { batch, shelf: JANUARY, attempt: 1 }]);
    assert_eq!(scene.engine.next_wake(), None);
    assert_eq!(
        scene.durable(batch),
        [
            Output::Forget { batch },
            Output::Free { chunk: ChunkId(1) },
            Output::Commit { positions: vec![(LANE, Position(10))] },
        ]
    );
    assert_eq!(scene.tell(Input::Committed), []);
    let snapshot = scene.engine.snapshot();
    assert_eq!((snapshot.rows, snapshot.bytes, snapshot.open_chunks), (0, 0, 0));
}

#[test]
fn a_batch_closes_by_rows_or_bytes_before_it_is_old() {
    let limits = Limits { batch_rows: 100, batch_bytes: 1_000, ..Limits::default() };
    let mut scene = Scene::new(limits);
    scene.tell(Input::Assigned { lane: LANE, start: Position(0), table: TICKS });
    assert_eq!(sent(&scene.fetch(LANE, 99, &[(JANUARY, 99)])), []);
    assert_eq!(sent(&scene.fetch(LANE, 100, &[(JANUARY, 1)])).len(), 1);
    let receipt = scene.engine.open(LANE, Position(101), 9).expect("ours");
    let part = Part { shelf: FEBRUARY, rows: 1, bytes: 1_000 };
    assert_eq!(sent(&scene.tell(Input::Decoded { receipt, parts: vec![part] })).len(), 1);
}

#[test]
fn one_insert_is_under_way_per_shelf_while_the_next_batch_is_built() {
    let mut scene = Scene::usual();
    scene.fetch(LANE, 10, &[(JANUARY, 10)]);
    let first = scene.wait_for_send().0;
    scene.fetch(LANE, 20, &[(JANUARY, 10)]);
    scene.fetch(LANE, 30, &[(JANUARY, 10)]);
    assert_eq!(sent(&scene.wait(1_000)), []);
    assert_eq!(scene.engine.next_wake(), None);
    let second = sent(&scene.durable(first));
    assert_eq!(second.len(), 1, "both chunks in one batch");
    assert_eq!(committed(&scene.tell(Input::Committed)), []);
    scene.wait(100);
    assert_eq!(committed(&scene.durable(second[0])), [(LANE, Position(30))]);
}

#[test]
fn a_full_block_whose_shelf_is_busy_is_sealed_and_sent_before_the_next() {
    let mut scene = Scene::new(Limits { batch_rows: 10, ..Limits::default() });
    scene.tell(Input::Assigned { lane: LANE, start: Position(0), table: TICKS });
    let first = sent(&scene.fetch(LANE, 10, &[(JANUARY, 10)]))[0];
    let said = scene.fetch(LANE, 20, &[(JANUARY, 10)]);
    let [Output::Seal { batch: second, shelf: JANUARY }] = said[..] else { panic!("{said:?}") };
    assert_eq!(scene.fetch(LANE, 23, &[(JANUARY, 3)]), []);
    assert_eq!(sent(&scene.durable(first)), [second]);
    assert_eq!(sent(&scene.wait(30)), []);
    assert_eq!(sent(&scene.durable(second)).len(), 1);
}

#[test]
fn no_insert_has_more_rows_than_clickhouse_writes_as_one_block() {
    let limits = Limits { buffer_rows: 10_000_000, ..Limits::default() };
    let mut scene = Scene::new(limits);
    scene.tell(Input::Assigned { lane: LANE, start: Position(0), table: TICKS });
    scene.fetch(LANE, 10, &[(JANUARY, 999_999)]);
    let said = scene.fetch(LANE, 20, &[(JANUARY, 3_000_000)]);
    let [Output::Seal { batch, .. }, Output::Split { .. }, ..] = said[..] else {
        panic!("{said:?}")
    };
    let mut rows = BTreeMap::from([(batch, 3_999_999)]);
    for output in &said {
        if let Output::Split { batch, at, left, right } = output {
            let whole = rows.remove(batch).expect("known");
            rows.extend([(*left, *at), (*right, whole - at)]);
        }
    }
    assert!(rows.values().all(|rows| *rows <= MAX_BATCH_ROWS), "{rows:?}");
    let mut under_way = sent(&said);
    let mut inserted = 0;
    while let Some(batch) = under_way.pop() {
        inserted += rows[&batch];
        under_way = sent(&scene.durable(batch));
    }
    assert_eq!(inserted, 3_999_999);
    assert_eq!(scene.engine.snapshot().open_chunks, 0);
}

#[test]
fn at_most_four_inserts_are_under_way_per_table() {
    let mut scene = Scene::usual();
    let month = |month: u32| Shelf { table: TICKS, partition: Partition(202_600 + month) };
    let parts: Vec<_> = (1..=7).map(|number| (month(number), 1)).collect();
    scene.fetch(LANE, 10, &parts);
    assert_eq!(sent(&scene.wait(30)).len(), 2, "the newest two");
    let more = sent(&scene.wait(970));
    assert_eq!(more.len(), 2);
    scene.fetch(OTHER, 10, &[(Shelf { table: CANDLES, partition: Partition(1) }, 1)]);
    assert_eq!(sent(&scene.wait(30)).len(), 1, "another table has its own");
    assert_eq!(sent(&scene.durable(more[0])).len(), 1);
}

#[test]
fn older_partitions_linger_longer_and_go_after_the_newest_two() {
    let mut scene = Scene::new(Limits { inserts_per_table: 1, ..Limits::default() });
    scene.tell(Input::Assigned { lane: LANE, start: Position(0), table: TICKS });
    let old = Shelf { table: TICKS, partition: Partition(201_901) };
    scene.fetch(LANE, 10, &[(old, 5), (JANUARY, 5), (FEBRUARY, 5)]);
    let shelf_of = |said: &[Output]| match said {
        [.., Output::Send { batch, shelf, .. }] => (*batch, *shelf),
        _ => panic!("nothing is sent: {said:?}"),
    };
    let (first, shelf) = shelf_of(&scene.wait(30));
    assert_eq!(shelf, JANUARY);
    let (second, shelf) = shelf_of(&scene.durable(first));
    assert_eq!(shelf, FEBRUARY);
    scene.fetch(LANE, 20, &[(FEBRUARY, 5)]);
    scene.wait(960);
    assert_eq!(sent(&scene.wait(10)), [], "the table has one insert under way");
    let (third, shelf) = shelf_of(&scene.durable(second));
    assert_eq!(shelf, FEBRUARY, "the old one is due since longer, but goes after");
    assert_eq!(shelf_of(&scene.durable(third)).1, old);
}

#[test]
fn a_partition_nobody_writes_to_any_more_is_not_among_the_newest() {
    let mut scene = Scene::usual();
    let [far, farther] =
        [2_100, 2_199].map(|year| Shelf { table: TICKS, partition: Partition(year * 100) });
    scene.fetch(LANE, 10, &[(far, 1), (farther, 1)]);
    scene.fetch(LANE, 20, &[(JANUARY, 1)]);
    assert_eq!(sent(&scene.wait(30)).len(), 2);
    assert_eq!(sent(&scene.wait(970)).len(), 1);
    scene.wait(11_000);
    scene.fetch(LANE, 30, &[(FEBRUARY, 1)]);
    assert_eq!(sent(&scene.wait(30)).len(), 1);
}

#[test]
fn time_that_steps_back_counts_as_no_time() {
    let mut scene = Scene::usual();
    scene.wait(10_000);
    scene.fetch(LANE, 10, &[(JANUARY, 10)]);
    let wake = scene.engine.next_wake();
    let mut said = Vec::new();
    scene.engine.handle(Input::Tick, Moment(Duration::from_secs(1)), &mut said);
    assert_eq!((said, scene.engine.next_wake()), (Vec::new(), wake));
    // What comes meanwhile is due as if it came at the latest moment that was.
    scene.now = Moment(Duration::from_secs(1));
    scene.fetch(LANE, 20, &[(FEBRUARY, 10)]);
    assert_eq!(scene.engine.next_wake(), wake);
}
