//! The search for rows that only ClickHouse refuses.

use proptest::prelude::*;

use super::*;

/// The row at `place` of a batch is bad: plays ClickHouse until all is settled. How many inserts it
/// took, and how many rows were buried.
fn search(scene: &mut Scene, rows: u32, bad: &[u32]) -> (u32, u32) {
    let mut said = scene.fetch(LANE, u64::from(rows), &[(JANUARY, rows)]);
    let mut ranges = BTreeMap::new();
    let (mut inserts, mut buried) = (0, 0);
    loop {
        let (mut wanted, mut graves) = (None, Vec::new());
        for output in said {
            match output {
                Output::Send { batch, shelf, .. } if shelf == JANUARY => {
                    ranges.entry(batch).or_insert(0..rows);
                    wanted = Some(batch);
                }
                Output::Split { batch, at, left, right } => {
                    let range = ranges.remove(&batch).expect("a batch that is split is known");
                    ranges.insert(left, range.start..range.start + at);
                    ranges.insert(right, range.start + at..range.end);
                }
                Output::Bury { batch, .. } => graves.push(batch),
                _ => {}
            }
        }
        for batch in graves {
            let range = &ranges[&batch];
            assert!(range.len() == 1 && bad.contains(&range.start), "{range:?} is buried");
            buried += 1;
            let part = Part { shelf: GRAVE, rows: 1, bytes: 50 };
            let more = scene.tell(Input::Buried { batch, part });
            wanted = wanted.or(sent(&more).first().copied());
        }
        let Some(batch) = wanted else {
            if scene.engine.snapshot().rows == u64::from(buried) {
                return (inserts, buried);
            }
            scene.now = scene.engine.next_wake().expect("rows are left, so something is due");
            said = scene.tell(Input::Tick);
            continue;
        };
        inserts += 1;
        let is_bad = bad.iter().any(|row| ranges[&batch].contains(row));
        said = if is_bad { scene.fail(batch, 469) } else { scene.durable(batch) };
    }
}

#[test]
fn one_bad_row_among_a_hundred_thousand_is_found_in_35_inserts_and_buried_alone() {
    for bad in [0, 1, 49_999, 50_000, 77_777, 99_999] {
        let mut scene = Scene::usual();
        let (inserts, buried) = search(&mut scene, 100_000, &[bad]);
        assert_eq!(buried, 1);
        assert!(inserts <= 34, "2·log₂(100,000) + 1 = 34.2, not {inserts}");
        assert_eq!(scene.engine.snapshot().open_chunks, 1, "the letter is not durable yet");
        let letter = scene.wait_for_send().0;
        assert_eq!(committed(&scene.durable(letter)), [(LANE, Position(100_000))]);
        let snapshot = scene.engine.snapshot();
        assert_eq!((snapshot.rows, snapshot.bytes, snapshot.open_chunks), (0, 0, 0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever rows are bad, exactly these are buried, for at most 2·log₂(n) inserts each, and one.
    #[test]
    fn exactly_the_bad_rows_are_buried_at_a_bounded_cost(
        rows in 1_u32..3_000,
        places in proptest::collection::vec(any::<proptest::sample::Index>(), 0..6),
    ) {
        let bad: BTreeSet<_> = places.iter().map(|place| place.index(rows as usize)).collect();
        let bad: Vec<_> = bad.into_iter().filter_map(|row| u32::try_from(row).ok()).collect();
        // Letters wait, so that the search is alone.
        let limits = Limits { batch_age: Duration::from_secs(5), ..Limits::default() };
        let mut scene = Scene::new(limits);
        scene.tell(Input::Assigned { lane: LANE, start: Position(0), table: TICKS });
        let (inserts, buried) = search(&mut scene, rows, &bad);
        prop_assert_eq!(buried as usize, bad.len());
        let bound = 2.0 * f64::from(rows).log2() * f64::from(buried) + 1.0;
        prop_assert!(f64::from(inserts) <= bound, "{} inserts for {} of {}", inserts, bad.len(), rows);
    }
}
