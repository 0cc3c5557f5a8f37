//! Inserts are as many and as large as the server bears.

use super::*;

fn shelf(table: u16, partition: u32) -> Shelf {
    Shelf { table: TableId(table), partition: Partition(partition) }
}

/// One row a second to each of these shelves, inserts that take 20 ms; inserts in each second.
fn trickle(scene: &mut Scene, shelves: &[Shelf], seconds: u64) -> Vec<usize> {
    let mut next = 0;
    let mut ends: Vec<(u64, BatchId)> = Vec::new();
    let mut counts = vec![0; usize::try_from(seconds).unwrap()];
    for ms in (0..seconds * 1_000).step_by(5) {
        let mut said = scene.wait(5);
        for (index, shelf) in shelves.iter().enumerate() {
            if ms % 1_000 == (index as u64 * 5) % 1_000 {
                next += 1;
                said.extend(scene.fetch(LANE, next, &[(*shelf, 1)]));
            }
        }
        for (_, batch) in ends.extract_if(.., |(end, _)| *end <= ms).collect::<Vec<_>>() {
            said.extend(scene.durable(batch));
        }
        ends.extend(sent(&said).into_iter().map(|batch| (ms + 20, batch)));
        counts[usize::try_from(ms / 1_000).unwrap()] += sent(&said).len();
    }
    counts
}

fn of_all(counts: &[usize]) -> usize {
    counts.iter().sum()
}

#[test]
fn two_hundred_partitions_at_a_row_a_second_stay_within_the_budget() {
    let partitions: Vec<_> = (0..200).map(|partition| shelf(0, partition)).collect();
    let mut scene = Scene::usual();
    let counts = trickle(&mut scene, &partitions, 30);
    // Once what was saved up is spent.
    assert!(counts[5..].iter().all(|count| *count <= 61), "{counts:?}");
    assert!(of_all(&counts[5..]) > 25 * 50, "and use it: {counts:?}");
    // A third of the partitions, a third of the budget.
    let mut scene = Scene::usual();
    scene.tell(Input::Share { mine: 2, all: 6 });
    let counts = trickle(&mut scene, &partitions, 40);
    assert!(counts[15..].iter().all(|count| *count <= 21), "{counts:?}");
}

#[test]
fn live_rows_of_many_tables_wait_for_their_turn_as_long_as_the_limit_allows() {
    let tables: Vec<_> = (0..200).map(|table| shelf(table + 20, 1)).collect();
    let limits = Limits { longest_stretch: Duration::from_secs(5), ..Limits::default() };
    let mut scene = Scene::new(limits);
    scene.tell(Input::Assigned { lane: LANE, start: Position(0), table: TICKS });
    let counts = trickle(&mut scene, &tables, 30);
    assert!(counts[5..].iter().all(|count| *count <= 61), "{counts:?}");
    // With the default, the promised latency counts more than the budget.
    let mut scene = Scene::usual();
    scene.tell(Input::Share { mine: 0, all: 6 });
    for ms in 0..200 {
        scene.wait(1);
        scene.fetch(LANE, ms + 1, &[(shelf(20 + u16::try_from(ms).unwrap(), 1), 1)]);
    }
    scene.fetch(LANE, 201, &[(JANUARY, 1)]);
    assert!(scene.wait(59).iter().all(|said| !matches!(said, Output::Send { shelf: JANUARY, .. })));
    assert!(scene.wait(1).iter().any(|said| matches!(said, Output::Send { shelf: JANUARY, .. })));
}

#[test]
fn rows_of_an_old_partition_wait_for_their_turn_as_long_as_the_snapshot_says() {
    // Two newer ones make it old.
    let old = shelf(0, 1);
    let mut scene = Scene::usual();
    scene.tell(Input::Share { mine: 0, all: 6 });
    for next in 1..=200 {
        scene.fetch(LANE, next, &[(shelf(20 + u16::try_from(next).unwrap(), 1), 1)]);
    }
    scene.fetch(LANE, 202, &[(shelf(0, 3), 1), (shelf(0, 2), 1)]);
    scene.fetch(LANE, 203, &[(old, 1)]);
    let fetched = scene.now;
    let is_sent = |said: &Output| matches!(said, Output::Send { shelf, .. } if *shelf == old);
    while !scene.wait(10).iter().any(is_sent) {}
    let (waited, longest) = (scene.now.since(fetched), scene.engine.snapshot().longest_wait);
    assert!((Duration::from_secs(10)..=longest).contains(&waited), "{waited:?} of {longest:?}");
}

#[test]
fn what_nobody_has_to_wait_for_is_not_held_by_the_budget() {
    let limits = Limits {
        inserts_per_second: 1,
        longest_stretch: Duration::from_mins(1),
        batch_rows: 1_000,
        ..Limits::default()
    };
    let mut scene = Scene::new(limits);
    scene.tell(Input::Assigned { lane: LANE, start: Position(0), table: TICKS });
    for next in 1..=20 {
        let said = scene.fetch(LANE, next * 1_000, &[(JANUARY, 1_000)]);
        let [batch] = sent(&said)[..] else { panic!("a full block waits: {said:?}") };
        scene.durable(batch);
    }
    scene.fetch(LANE, 20_010, &[(JANUARY, 10)]);
    assert_eq!(sent(&scene.wait(1_000)), [], "its turn is far away");
    let deadline = scene.now.after(Duration::from_secs(1));
    let said = scene.tell(Input::Revoked { lanes: vec![LANE], deadline });
    assert_eq!(sent(&said).len(), 1, "a lane that ends does not wait");
}

#[test]
fn too_many_parts_make_inserts_rarer_for_a_while() {
    let mut scene = Scene::usual();
    scene.fetch(LANE, 10, &[(JANUARY, 10)]);
    let batch = scene.wait_for_send().0;
    scene.fail(batch, 252);
    scene.wait_for_send();
    scene.durable(batch);
    scene.fetch(LANE, 20, &[(JANUARY, 10)]);
    assert_eq!(sent(&scene.wait(999)), []);
    let [batch] = sent(&scene.wait(1))[..] else { panic!("rows of a second in one insert") };
    scene.durable(batch);
    scene.wait(30_000);
    scene.fetch(LANE, 30, &[(JANUARY, 10)]);
    assert_eq!(sent(&scene.wait(30)).len(), 1, "it has recovered");
}

#[test]
fn inserts_that_the_server_delays_become_rarer_until_one_is_quick() {
    let mut scene = Scene::usual();
    let mut insert = |next, takes| {
        scene.fetch(LANE, next, &[(JANUARY, 10)]);
        let fetched = scene.now;
        let batch = scene.wait_for_send().0;
        let lingered = scene.now.since(fetched).as_millis();
        scene.wait(takes);
        scene.durable(batch);
        lingered
    };
    let lingers = [600, 600, 600, 20, 600, 20].map({
        let mut next = 0;
        move |takes| {
            next += 10;
            insert(next, takes)
        }
    });
    assert_eq!(lingers, [30, 30, 1_000, 1_000, 30, 30]);
}

#[test]
fn batches_stay_small_after_memory_ran_short_and_double_again() {
    let mut scene = Scene::usual();
    scene.fetch(LANE, 8_000, &[(JANUARY, 8_000)]);
    let batch = scene.wait_for_send().0;
    let said = scene.fail(batch, 241);
    assert_eq!(sizes(&mut scene, &said, 8_000), [4_000; 2]);
    let mut next = 8_000;
    let mut of_ten_thousand = |scene: &mut Scene| {
        next += 10_000;
        let said = scene.fetch(LANE, next, &[(JANUARY, 10_000)]);
        sizes(scene, &said, 10_000)
    };
    assert_eq!(of_ten_thousand(&mut scene), [2_500; 4], "at most 4,000");
    scene.wait(30_000);
    assert_eq!(of_ten_thousand(&mut scene), [5_000; 2], "at most 8,000");
    scene.wait(30_000);
    assert_eq!(of_ten_thousand(&mut scene), [10_000]);
}

#[test]
fn memory_that_ran_short_under_a_few_rows_makes_no_batches_of_a_few_rows() {
    let mut scene = Scene::usual();
    scene.fetch(LANE, 4, &[(JANUARY, 4)]);
    let batch = scene.wait_for_send().0;
    let said = scene.fail(batch, 241);
    assert_eq!(sizes(&mut scene, &said, 4), [2; 2]);
    let said = scene.fetch(LANE, 1_004, &[(JANUARY, 1_000)]);
    assert_eq!(sizes(&mut scene, &said, 1_000), [1_000]);
}

/// Sizes of the batches in which so many rows become durable.
fn sizes(scene: &mut Scene, said: &[Output], rows: u32) -> Vec<u32> {
    let mut batches = sent(said);
    let mut sizes = Vec::new();
    while sizes.iter().sum::<u32>() < rows {
        let batch = batches.pop().unwrap_or_else(|| scene.wait_for_send().0);
        sizes.push(scene.engine.batches[&batch].rows);
        batches.extend(sent(&scene.durable(batch)));
    }
    sizes
}
