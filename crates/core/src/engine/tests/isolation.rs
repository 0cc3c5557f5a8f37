//! The search for rows that only ClickHouse refuses.

use proptest::prelude::*;

use super::*;

/// What ClickHouse says of the row that it refuses.
#[derive(Clone, Copy, PartialEq)]
enum Hint {
    Nothing,
    /// The first bad row of the insert.
    First,
    /// A row that is not bad, or not even there.
    Wrong(u32),
}

/// These rows of a batch are bad: plays ClickHouse until all is settled. How many inserts it
/// took, and how many rows were buried.
fn search(scene: &mut Scene, rows: u32, bad: &[u32], hint: Hint) -> (u32, u32) {
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
        let range = &ranges[&batch];
        let first = bad.iter().filter(|row| range.contains(row)).min();
        said = match first {
            None => scene.durable(batch),
            Some(first) => {
                let row = match hint {
                    Hint::Nothing => None,
                    Hint::First => Some(first - range.start),
                    Hint::Wrong(row) => Some(row),
                };
                let (name, message) = (String::new(), String::new());
                let failure = Failure::Server { code: 469, name, message, row };
                scene.tell(Input::Failed { batch, failure })
            }
        };
    }
}

#[test]
fn one_bad_row_among_a_hundred_thousand_is_found_in_35_inserts_and_buried_alone() {
    for bad in [0, 1, 49_999, 50_000, 77_777, 99_999] {
        let mut scene = Scene::usual();
        let (inserts, buried) = search(&mut scene, 100_000, &[bad], Hint::Nothing);
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
        named: bool,
    ) {
        let hint = if named { Hint::First } else { Hint::Nothing };
        let bad: BTreeSet<_> = places.iter().map(|place| place.index(rows as usize)).collect();
        let bad: Vec<_> = bad.into_iter().filter_map(|row| u32::try_from(row).ok()).collect();
        // Letters wait, so that the search is alone.
        let limits = Limits { batch_age: Duration::from_secs(5), ..Limits::default() };
        let mut scene = Scene::new(limits);
        scene.tell(Input::Assigned { lane: LANE, start: Position(0), table: TICKS });
        let (inserts, buried) = search(&mut scene, rows, &bad, hint);
        prop_assert_eq!(buried as usize, bad.len());
        let bound = 2.0 * f64::from(rows).log2() * f64::from(buried) + 1.0;
        prop_assert!(f64::from(inserts) <= bound, "{} inserts for {} of {}", inserts, bad.len(), rows);
    }

    /// A wrong hint buries nothing that is good, and costs a bounded number of inserts.
    #[test]
    fn a_wrong_hint_does_no_harm(rows in 1_u32..500, place: proptest::sample::Index, wrong in 0_u32..600) {
        let bad = u32::try_from(place.index(rows as usize)).unwrap_or(0);
        let limits = Limits { batch_age: Duration::from_secs(5), ..Limits::default() };
        let mut scene = Scene::new(limits);
        scene.tell(Input::Assigned { lane: LANE, start: Position(0), table: TICKS });
        let (inserts, buried) = search(&mut scene, rows, &[bad], Hint::Wrong(wrong));
        prop_assert_eq!(buried, 1);
        let bound = 2.0 * f64::from(rows).log2() + 4.0;
        prop_assert!(f64::from(inserts) <= bound, "{} inserts for {} rows", inserts, rows);
    }
}

#[test]
fn a_row_that_the_server_names_is_found_in_four_inserts() {
    for bad in [0, 1, 49_999, 99_999] {
        let mut scene = Scene::usual();
        let (inserts, buried) = search(&mut scene, 100_000, &[bad], Hint::First);
        assert_eq!(buried, 1);
        assert!(inserts <= 4, "{inserts} inserts");
    }
}
