//! What the engine promises, one small scene each. Whole lives are in the simulation.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::units::{ChunkId, Partition};
use crate::verdict::Failure;

const TICKS: TableId = TableId(0);
const CANDLES: TableId = TableId(1);
const LETTERS: TableId = TableId(9);
const JANUARY: Shelf = Shelf {
    table: TICKS,
    partition: Partition(202_601),
};
const FEBRUARY: Shelf = Shelf {
    table: TICKS,
    partition: Partition(202_602),
};
const GRAVE: Shelf = Shelf {
    table: LETTERS,
    partition: Partition(202_601),
};
const LANE: LaneId = LaneId(1);
const OTHER: LaneId = LaneId(2);

/// An engine, its clock, and what it said.
struct Scene {
    engine: Engine,
    now: Moment,
    said: Vec<Output>,
}

impl Scene {
    fn new(limits: Limits) -> Self {
        let engine = Engine::new(
            Limits {
                dead_letters: LETTERS,
                ..limits
            },
            7,
        );
        Self {
            engine,
            now: Moment::default(),
            said: Vec::new(),
        }
    }

    /// Two lanes, one per table, and the default limits.
    fn usual() -> Self {
        let mut scene = Self::new(Limits::default());
        scene.tell(Input::Assigned {
            lane: LANE,
            start: Position(0),
            table: TICKS,
        });
        scene.tell(Input::Assigned {
            lane: OTHER,
            start: Position(0),
            table: CANDLES,
        });
        scene
    }

    fn tell(&mut self, input: Input) -> Vec<Output> {
        self.said.clear();
        self.engine.handle(input, self.now, &mut self.said);
        assert!(self.engine.next_wake().is_none_or(|wake| wake > self.now));
        self.said.clone()
    }

    fn wait(&mut self, ms: u64) -> Vec<Output> {
        self.now = self.now.after(Duration::from_millis(ms));
        self.tell(Input::Tick)
    }

    /// Waits as the engine says until it sends something.
    fn wait_for_send(&mut self) -> (BatchId, u32) {
        for _ in 0..100 {
            self.now = self.engine.next_wake().expect("something is due");
            let said = self.tell(Input::Tick);
            if let Some(Output::Send { batch, attempt, .. }) = said
                .iter()
                .find(|output| matches!(output, Output::Send { .. }))
            {
                return (*batch, *attempt);
            }
        }
        panic!("nothing was sent");
    }

    fn fetch(&mut self, lane: LaneId, next: u64, parts: &[(Shelf, u32)]) -> Vec<Output> {
        let receipt = self
            .engine
            .open(lane, Position(next), 100)
            .expect("the lane is ours");
        let parts = parts.iter().map(|(shelf, rows)| Part {
            shelf: *shelf,
            rows: *rows,
            bytes: u64::from(*rows),
        });
        self.tell(Input::Decoded {
            receipt,
            parts: parts.collect(),
        })
    }

    fn durable(&mut self, batch: BatchId) -> Vec<Output> {
        self.tell(Input::Durable { batch })
    }

    fn fail(&mut self, batch: BatchId, code: i32) -> Vec<Output> {
        self.tell(Input::Failed {
            batch,
            failure: refused(code),
        })
    }
}

fn refused(code: i32) -> Failure {
    Failure::Server {
        code,
        name: String::new(),
        message: String::new(),
    }
}

fn sent(outputs: &[Output]) -> Vec<BatchId> {
    let send = |output: &Output| match output {
        Output::Send { batch, .. } => Some(*batch),
        _ => None,
    };
    outputs.iter().filter_map(send).collect()
}

fn committed(outputs: &[Output]) -> Vec<(LaneId, Position)> {
    let commit = |output: &Output| match output {
        Output::Commit { positions } => Some(positions.clone()),
        _ => None,
    };
    outputs.iter().filter_map(commit).flatten().collect()
}

#[test]
fn a_row_waits_for_the_linger_and_is_then_sent_committed_and_freed() {
    let mut scene = Scene::usual();
    assert_eq!(scene.fetch(LANE, 10, &[(JANUARY, 10)]), []);
    assert_eq!(
        scene.engine.next_wake(),
        Some(Moment(Duration::from_millis(30)))
    );
    assert_eq!(scene.wait(29), []);
    let batch = BatchId(1);
    assert_eq!(
        scene.wait(1),
        [Output::Send {
            batch,
            shelf: JANUARY,
            attempt: 1
        }]
    );
    assert_eq!(scene.engine.next_wake(), None);
    assert_eq!(
        scene.durable(batch),
        [
            Output::Forget { batch },
            Output::Free { chunk: ChunkId(1) },
            Output::Commit {
                positions: vec![(LANE, Position(10))]
            },
        ]
    );
    assert_eq!(scene.tell(Input::Committed), []);
    let snapshot = scene.engine.snapshot();
    assert_eq!(
        (snapshot.rows, snapshot.bytes, snapshot.open_chunks),
        (0, 0, 0)
    );
}

/// The row at `place` of a batch is bad: plays ClickHouse until all is settled. How many inserts it
/// took, and how many rows were buried.
fn search(scene: &mut Scene, rows: u32, bad: &[u32]) -> (usize, u32) {
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
                Output::Split {
                    batch,
                    at,
                    left,
                    right,
                } => {
                    let range = ranges
                        .remove(&batch)
                        .expect("a batch that is split is known");
                    ranges.insert(left, range.start..range.start + at);
                    ranges.insert(right, range.start + at..range.end);
                }
                Output::Bury { batch, .. } => graves.push(batch),
                _ => {}
            }
        }
        for batch in graves {
            let range = &ranges[&batch];
            assert!(
                range.len() == 1 && bad.contains(&range.start),
                "{range:?} is buried"
            );
            buried += 1;
            let part = Part {
                shelf: GRAVE,
                rows: 1,
                bytes: 50,
            };
            let more = scene.tell(Input::Buried { batch, part });
            wanted = wanted.or(sent(&more).first().copied());
        }
        let Some(batch) = wanted else {
            if scene.engine.snapshot().rows == u64::from(buried) {
                return (inserts, buried);
            }
            scene.now = scene
                .engine
                .next_wake()
                .expect("rows are left, so something is due");
            said = scene.tell(Input::Tick);
            continue;
        };
        inserts += 1;
        let is_bad = bad.iter().any(|row| ranges[&batch].contains(row));
        said = if is_bad {
            scene.fail(batch, 469)
        } else {
            scene.durable(batch)
        };
    }
}

#[test]
fn one_bad_row_among_a_hundred_thousand_is_found_in_35_inserts_and_buried_alone() {
    for bad in [0, 1, 49_999, 50_000, 77_777, 99_999] {
        let mut scene = Scene::usual();
        let (inserts, buried) = search(&mut scene, 100_000, &[bad]);
        assert_eq!(buried, 1);
        assert!(inserts <= 34, "2·log₂(100,000) + 1 = 34.2, not {inserts}");
        assert_eq!(
            scene.engine.snapshot().open_chunks,
            1,
            "the letter is not durable yet"
        );
        let letter = scene.wait_for_send().0;
        assert_eq!(
            committed(&scene.durable(letter)),
            [(LANE, Position(100_000))]
        );
        let snapshot = scene.engine.snapshot();
        assert_eq!(
            (snapshot.rows, snapshot.bytes, snapshot.open_chunks),
            (0, 0, 0)
        );
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
        let bound = 2.0 * f64::from(rows).log2() * bad.len() as f64 + 1.0;
        prop_assert!(inserts as f64 <= bound, "{} inserts for {} of {}", inserts, bad.len(), rows);
    }
}

#[test]
fn commit_never_passes_an_open_chunk() {
    let mut scene = Scene::usual();
    scene.fetch(LANE, 10, &[(JANUARY, 10)]);
    let first = scene.wait_for_send().0;
    scene.fetch(LANE, 20, &[(FEBRUARY, 10)]);
    let second = scene.wait_for_send().0;
    assert_eq!(committed(&scene.durable(second)), []);
    assert_eq!(committed(&scene.durable(first)), [(LANE, Position(20))]);
}

#[test]
fn a_chunk_without_rows_is_committed_at_once() {
    let mut scene = Scene::usual();
    let said = scene.fetch(LANE, 7, &[]);
    assert_eq!(committed(&said), [(LANE, Position(7))]);
    assert!(said.contains(&Output::Free { chunk: ChunkId(1) }));
}

#[test]
fn a_chunk_is_freed_and_committed_when_the_rows_of_all_its_tables_are_durable() {
    let mut scene = Scene::usual();
    scene.fetch(LANE, 10, &[(JANUARY, 8), (GRAVE, 2)]);
    let said = scene.wait(30);
    let [ticks, letters] = sent(&said)[..] else {
        panic!("{said:?}")
    };
    assert_eq!(scene.durable(ticks), [Output::Forget { batch: ticks }]);
    assert_eq!(committed(&scene.durable(letters)), [(LANE, Position(10))]);
}

#[test]
fn a_batch_closes_by_rows_or_bytes_before_it_is_old() {
    let limits = Limits {
        batch_rows: 100,
        batch_bytes: 1_000,
        ..Limits::default()
    };
    let mut scene = Scene::new(limits);
    scene.tell(Input::Assigned {
        lane: LANE,
        start: Position(0),
        table: TICKS,
    });
    assert_eq!(sent(&scene.fetch(LANE, 99, &[(JANUARY, 99)])), []);
    assert_eq!(sent(&scene.fetch(LANE, 100, &[(JANUARY, 1)])).len(), 1);
    let receipt = scene.engine.open(LANE, Position(101), 9).expect("ours");
    let part = Part {
        shelf: FEBRUARY,
        rows: 1,
        bytes: 1_000,
    };
    assert_eq!(
        sent(&scene.tell(Input::Decoded {
            receipt,
            parts: vec![part]
        }))
        .len(),
        1
    );
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
    let mut scene = Scene::new(Limits {
        batch_rows: 10,
        ..Limits::default()
    });
    scene.tell(Input::Assigned {
        lane: LANE,
        start: Position(0),
        table: TICKS,
    });
    let first = sent(&scene.fetch(LANE, 10, &[(JANUARY, 10)]))[0];
    let said = scene.fetch(LANE, 20, &[(JANUARY, 10)]);
    let [
        Output::Seal {
            batch: second,
            shelf: JANUARY,
        },
    ] = said[..]
    else {
        panic!("{said:?}")
    };
    assert_eq!(scene.fetch(LANE, 23, &[(JANUARY, 3)]), []);
    assert_eq!(sent(&scene.durable(first)), [second]);
    assert_eq!(sent(&scene.wait(30)), []);
    assert_eq!(sent(&scene.durable(second)).len(), 1);
}

#[test]
fn no_insert_has_more_rows_than_clickhouse_writes_as_one_block() {
    let limits = Limits {
        buffer_rows: 10_000_000,
        ..Limits::default()
    };
    let mut scene = Scene::new(limits);
    scene.tell(Input::Assigned {
        lane: LANE,
        start: Position(0),
        table: TICKS,
    });
    scene.fetch(LANE, 10, &[(JANUARY, 999_999)]);
    let said = scene.fetch(LANE, 20, &[(JANUARY, 3_000_000)]);
    let [Output::Seal { batch, .. }, Output::Split { .. }, ..] = said[..] else {
        panic!("{said:?}")
    };
    let mut rows = BTreeMap::from([(batch, 3_999_999)]);
    for output in &said {
        if let Output::Split {
            batch,
            at,
            left,
            right,
        } = output
        {
            let whole = rows.remove(batch).expect("known");
            rows.extend([(*left, *at), (*right, whole - at)]);
        }
    }
    assert!(
        rows.values().all(|rows| *rows <= MAX_BATCH_ROWS),
        "{rows:?}"
    );
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
    let month = |month: u32| Shelf {
        table: TICKS,
        partition: Partition(202_600 + month),
    };
    let parts: Vec<_> = (1..=7).map(|number| (month(number), 1)).collect();
    scene.fetch(LANE, 10, &parts);
    assert_eq!(sent(&scene.wait(30)).len(), 2, "the newest two");
    let more = sent(&scene.wait(970));
    assert_eq!(more.len(), 2);
    scene.fetch(
        OTHER,
        10,
        &[(
            Shelf {
                table: CANDLES,
                partition: Partition(1),
            },
            1,
        )],
    );
    assert_eq!(sent(&scene.wait(30)).len(), 1, "another table has its own");
    assert_eq!(sent(&scene.durable(more[0])).len(), 1);
}

#[test]
fn older_partitions_linger_longer_and_go_after_the_newest_two() {
    let mut scene = Scene::new(Limits {
        inserts_per_table: 1,
        ..Limits::default()
    });
    scene.tell(Input::Assigned {
        lane: LANE,
        start: Position(0),
        table: TICKS,
    });
    let old = Shelf {
        table: TICKS,
        partition: Partition(201_901),
    };
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
    assert_eq!(
        sent(&scene.wait(10)),
        [],
        "the table has one insert under way"
    );
    let (third, shelf) = shelf_of(&scene.durable(second));
    assert_eq!(
        shelf, FEBRUARY,
        "the old one is due since longer, but goes after"
    );
    assert_eq!(shelf_of(&scene.durable(third)).1, old);
}

#[test]
fn a_partition_nobody_writes_to_any_more_is_not_among_the_newest() {
    let mut scene = Scene::usual();
    let [far, farther] = [2_100, 2_199].map(|year| Shelf {
        table: TICKS,
        partition: Partition(year * 100),
    });
    scene.fetch(LANE, 10, &[(far, 1), (farther, 1)]);
    scene.fetch(LANE, 20, &[(JANUARY, 1)]);
    assert_eq!(sent(&scene.wait(30)).len(), 2);
    assert_eq!(sent(&scene.wait(970)).len(), 1);
    scene.wait(11_000);
    scene.fetch(LANE, 30, &[(FEBRUARY, 1)]);
    assert_eq!(sent(&scene.wait(30)).len(), 1);
}

#[test]
fn a_batch_is_retried_for_ever_with_growing_waits() {
    let mut scene = Scene::usual();
    scene.fetch(LANE, 10, &[(JANUARY, 10)]);
    let (batch, attempt) = scene.wait_for_send();
    assert_eq!(attempt, 1);
    let mut waits = Vec::new();
    for attempt in 2..=200 {
        let said = scene.tell(Input::Failed {
            batch,
            failure: Failure::Connect(String::new()),
        });
        assert_eq!(said, []);
        let before = scene.now;
        assert_eq!(scene.wait_for_send(), (batch, attempt));
        waits.push(scene.now.since(before));
    }
    let second = Duration::from_secs(1);
    assert!(
        waits[0] <= second && waits[1] <= 2 * second && waits[2] <= 4 * second,
        "{waits:?}"
    );
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
            Output::TablePaused {
                table: TICKS,
                failure: refused(60)
            },
            Output::Pause { lanes: vec![LANE] }
        ]
    );
    assert_eq!(
        scene.engine.snapshot().tables_paused[0].failure,
        refused(60)
    );
    scene.fetch(
        OTHER,
        10,
        &[(
            Shelf {
                table: CANDLES,
                partition: Partition(1),
            },
            1,
        )],
    );
    let candles = loop {
        let (sent, _) = scene.wait_for_send();
        if sent != batch {
            break sent;
        }
        assert_eq!(
            scene.fail(batch, 516),
            [],
            "told once; the new reason is in the snapshot"
        );
    };
    assert_eq!(committed(&scene.durable(candles)), [(OTHER, Position(10))]);
    scene.tell(Input::Committed);
    if scene.engine.snapshot().batches_in_flight == 0 {
        assert_eq!(
            scene.wait_for_send().0,
            batch,
            "nothing else of the table is sent"
        );
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
    assert!(said.contains(&Output::TablePaused {
        table: TICKS,
        failure: refused(1_001)
    }));
}

#[test]
fn a_batch_too_large_for_the_servers_memory_is_halved_after_a_wait() {
    let mut scene = Scene::usual();
    scene.fetch(LANE, 10, &[(JANUARY, 3)]);
    let batch = scene.wait_for_send().0;
    let said = scene.fail(batch, 241);
    let [
        Output::Split {
            at: 1, left, right, ..
        },
    ] = said[..]
    else {
        panic!("{said:?}")
    };
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
    assert_eq!(
        said,
        [Output::TablePaused {
            table: LETTERS,
            failure: refused(469)
        }]
    );
    for _ in 0..20 {
        let again = scene.wait_for_send().0;
        assert_eq!(again, batch);
        batch = again;
        assert_eq!(scene.fail(batch, 469), []);
    }
    let batch = scene.wait_for_send().0;
    assert_eq!(committed(&scene.durable(batch)), [(LANE, Position(10))]);
}

/// Limits of 1,000 bytes or rows.
fn small() -> Scene {
    let limits = Limits {
        buffer_bytes: 1_000,
        buffer_rows: 1_000,
        ..Limits::default()
    };
    let mut scene = Scene::new(limits);
    scene.tell(Input::Assigned {
        lane: LANE,
        start: Position(0),
        table: TICKS,
    });
    scene.tell(Input::Assigned {
        lane: OTHER,
        start: Position(0),
        table: CANDLES,
    });
    scene
}

#[test]
fn lanes_pause_at_four_fifths_of_the_buffer_and_resume_at_two_fifths() {
    let mut scene = small();
    let mut batches = Vec::new();
    for chunk in 1..=4 {
        let month = Shelf {
            table: TICKS,
            partition: Partition(202_600 + chunk),
        };
        // 100 bytes of payload, 100 of block.
        let said = scene.fetch(LANE, u64::from(chunk), &[(month, 100)]);
        let pause = Output::Pause {
            lanes: vec![LANE, OTHER],
        };
        assert_eq!(said.contains(&pause), chunk == 4, "{chunk}: {said:?}");
    }
    // The encode buffers of two inserts fit above the 800 bytes.
    batches.extend(sent(&scene.wait(1_000)));
    assert_eq!(batches.len(), 2);
    assert_eq!(scene.engine.snapshot().bytes, 1_000);
    let resume = Output::Resume {
        lanes: vec![LANE, OTHER],
    };
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
    let parts = vec![Part {
        shelf,
        rows: 800,
        bytes: 1,
    }];
    let said = scene.tell(Input::Decoded { receipt, parts });
    assert_eq!(
        said,
        [Output::Pause {
            lanes: vec![LANE, OTHER]
        }]
    );
}

#[test]
fn a_lane_assigned_while_the_buffer_is_full_is_paused() {
    let mut scene = small();
    scene.fetch(LANE, 1, &[(JANUARY, 700)]);
    let late = LaneId(3);
    let said = scene.tell(Input::Assigned {
        lane: late,
        start: Position(0),
        table: CANDLES,
    });
    assert_eq!(said, [Output::Pause { lanes: vec![late] }]);
}

#[test]
fn a_message_larger_than_the_buffer_passes_alone() {
    let mut scene = small();
    let receipt = scene.engine.open(LANE, Position(1), 5_000).expect("ours");
    let parts = vec![Part {
        shelf: JANUARY,
        rows: 1,
        bytes: 5_000,
    }];
    let said = scene.tell(Input::Decoded { receipt, parts });
    let [batch] = sent(&said)[..] else {
        panic!("{said:?}")
    };
    let said = scene.durable(batch);
    assert!(said.contains(&Output::Resume {
        lanes: vec![LANE, OTHER]
    }));
}

#[test]
fn what_a_failing_table_holds_does_not_keep_other_tables_waiting() {
    let mut scene = small();
    let said = scene.fetch(LANE, 1, &[(JANUARY, 700)]);
    let [batch] = sent(&said)[..] else {
        panic!("{said:?}")
    };
    let said = scene.tell(Input::Failed {
        batch,
        failure: Failure::Connect(String::new()),
    });
    assert_eq!(
        said,
        [Output::Resume { lanes: vec![OTHER] }],
        "lane 1 waits, lane 2 does not"
    );
    let said = scene.fetch(
        OTHER,
        1,
        &[(
            Shelf {
                table: CANDLES,
                partition: Partition(1),
            },
            60,
        )],
    );
    assert_eq!(
        said,
        [Output::Pause { lanes: vec![OTHER] }],
        "it has its share of what is left"
    );
}

#[test]
fn one_commit_is_under_way_and_the_next_names_the_newest_positions() {
    let mut scene = Scene::usual();
    let candles = Shelf {
        table: CANDLES,
        partition: Partition(1),
    };
    assert_eq!(committed(&scene.fetch(LANE, 1, &[])), [(LANE, Position(1))]);
    scene.fetch(LANE, 2, &[]);
    scene.fetch(OTHER, 5, &[]);
    scene.wait(500);
    assert_eq!(
        scene.fetch(OTHER, 6, &[]),
        [Output::Free { chunk: ChunkId(4) }]
    );
    scene.fetch(OTHER, 9, &[(candles, 1)]);
    let said = scene.tell(Input::Committed);
    assert_eq!(
        committed(&said),
        [(LANE, Position(2)), (OTHER, Position(6))]
    );
}

#[test]
fn commits_are_an_interval_apart() {
    let mut scene = Scene::usual();
    scene.fetch(LANE, 1, &[]);
    scene.tell(Input::Committed);
    scene.fetch(LANE, 2, &[]);
    assert_eq!(
        scene.engine.next_wake(),
        Some(Moment(Duration::from_millis(100)))
    );
    assert_eq!(scene.wait(99), []);
    assert_eq!(committed(&scene.wait(1)), [(LANE, Position(2))]);
}

#[test]
fn a_commit_that_fails_is_retried_with_the_newest_position_after_a_wait() {
    let mut scene = Scene::usual();
    scene.fetch(LANE, 1, &[]);
    scene.fetch(LANE, 2, &[]);
    assert_eq!(committed(&scene.tell(Input::CommitFailed)), []);
    scene.fetch(LANE, 3, &[]);
    scene.now = scene.engine.next_wake().expect("the commit is retried");
    assert_eq!(committed(&scene.tell(Input::Tick)), [(LANE, Position(3))]);
}

#[test]
fn revoked_lanes_are_flushed_at_once_and_closed_when_their_commit_is_confirmed() {
    let mut scene = Scene::usual();
    let candles = Shelf {
        table: CANDLES,
        partition: Partition(1),
    };
    scene.fetch(LANE, 10, &[(JANUARY, 10)]);
    scene.fetch(OTHER, 10, &[(candles, 10)]);
    scene.fetch(OTHER, 11, &[]);
    let deadline = scene.now.after(Duration::from_secs(1));
    let said = scene.tell(Input::Revoked {
        lanes: vec![LANE],
        deadline,
    });
    let [
        Output::Send {
            batch,
            shelf: JANUARY,
            attempt: 1,
        },
    ] = said[..]
    else {
        panic!("{said:?}")
    };
    assert_eq!(scene.engine.open(LANE, Position(20), 1), None);
    scene.now = scene.now.after(Duration::from_millis(10));
    assert_eq!(committed(&scene.durable(batch)), [(LANE, Position(10))]);
    assert_eq!(
        scene.tell(Input::Committed),
        [Output::Closed { lanes: vec![LANE] }]
    );
    assert_eq!(
        sent(&scene.wait(20)).len(),
        1,
        "the other lane goes on at its own pace"
    );
}

#[test]
fn a_chunk_that_was_opened_before_the_revoke_is_flushed_when_it_is_decoded() {
    let mut scene = Scene::usual();
    let receipt = scene.engine.open(LANE, Position(10), 1).expect("ours");
    let deadline = scene.now.after(Duration::from_secs(1));
    assert_eq!(
        scene.tell(Input::Revoked {
            lanes: vec![LANE],
            deadline
        }),
        []
    );
    let parts = vec![Part {
        shelf: JANUARY,
        rows: 1,
        bytes: 1,
    }];
    assert_eq!(
        sent(&scene.tell(Input::Decoded { receipt, parts })).len(),
        1
    );
}

#[test]
fn nothing_is_committed_after_the_deadline_of_a_revoke() {
    let mut scene = Scene::usual();
    scene.fetch(LANE, 10, &[(JANUARY, 10)]);
    let deadline = scene.now.after(Duration::from_secs(1));
    let batch = sent(&scene.tell(Input::Revoked {
        lanes: vec![LANE],
        deadline,
    }))[0];
    assert_eq!(scene.engine.next_wake(), Some(deadline));
    assert_eq!(scene.wait(999), []);
    assert_eq!(scene.wait(1), [Output::Closed { lanes: vec![LANE] }]);
    assert_eq!(
        scene.durable(batch),
        [Output::Forget { batch }, Output::Free { chunk: ChunkId(1) }]
    );
    assert_eq!(scene.wait(10_000), []);
}

#[test]
fn a_revoke_retries_at_once_what_waits_for_its_lanes() {
    let mut scene = Scene::usual();
    scene.fetch(LANE, 10, &[(JANUARY, 10)]);
    let batch = scene.wait_for_send().0;
    scene.fail(batch, 252);
    let deadline = scene.now.after(Duration::from_secs(1));
    assert_eq!(
        sent(&scene.tell(Input::Revoked {
            lanes: vec![LANE],
            deadline
        })),
        [batch]
    );
}

#[test]
fn nothing_is_committed_for_lost_lanes_and_their_bytes_stay_charged() {
    let mut scene = Scene::usual();
    scene.fetch(LANE, 10, &[(JANUARY, 10)]);
    let batch = scene.wait_for_send().0;
    scene.tell(Input::Lost { lanes: vec![LANE] });
    assert_eq!(
        scene.engine.snapshot().bytes,
        120,
        "payload, block and encode buffer"
    );
    assert_eq!(
        scene.durable(batch),
        [Output::Forget { batch }, Output::Free { chunk: ChunkId(1) }]
    );
    assert_eq!(scene.engine.snapshot().bytes, 0);
    assert_eq!(scene.wait(10_000), []);
}

#[test]
fn a_stop_flushes_waits_commits_and_then_stops() {
    let mut scene = Scene::usual();
    scene.fetch(LANE, 10, &[(JANUARY, 10)]);
    let deadline = scene.now.after(Duration::from_secs(25));
    let said = scene.tell(Input::Stop { deadline });
    let [batch] = sent(&said)[..] else {
        panic!("{said:?}")
    };
    assert!(said.contains(&Output::Pause {
        lanes: vec![LANE, OTHER]
    }));
    assert_eq!(scene.engine.open(LANE, Position(20), 1), None);
    assert_eq!(committed(&scene.durable(batch)), [(LANE, Position(10))]);
    assert_eq!(
        scene.tell(Input::Committed),
        [Output::Stopped { open_chunks: 0 }]
    );
    // Leaving the group revokes what is left.
    let lanes = vec![LANE, OTHER];
    assert_eq!(
        scene.tell(Input::Revoked {
            lanes: lanes.clone(),
            deadline
        }),
        [Output::Closed { lanes }]
    );
}

#[test]
fn a_stop_gives_up_at_its_deadline_and_says_what_was_open() {
    let mut scene = Scene::usual();
    scene.fetch(LANE, 10, &[(JANUARY, 10)]);
    let deadline = scene.now.after(Duration::from_secs(8));
    let batch = sent(&scene.tell(Input::Stop { deadline }))[0];
    assert_eq!(scene.wait(7_999), []);
    assert_eq!(scene.wait(1), [Output::Stopped { open_chunks: 1 }]);
    assert_eq!(committed(&scene.durable(batch)), []);
    assert_eq!(scene.engine.next_wake(), None);
}

#[test]
fn a_stop_retries_at_once_what_waits() {
    let mut scene = Scene::usual();
    scene.fetch(LANE, 10, &[(JANUARY, 10)]);
    let batch = scene.wait_for_send().0;
    scene.fail(batch, 252);
    let deadline = scene.now.after(Duration::from_secs(25));
    assert_eq!(sent(&scene.tell(Input::Stop { deadline })), [batch]);
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
fn time_that_steps_back_counts_as_no_time() {
    let mut scene = Scene::usual();
    scene.wait(10_000);
    scene.fetch(LANE, 10, &[(JANUARY, 10)]);
    let wake = scene.engine.next_wake();
    let mut said = Vec::new();
    scene
        .engine
        .handle(Input::Tick, Moment(Duration::from_secs(1)), &mut said);
    assert_eq!((said, scene.engine.next_wake()), (Vec::new(), wake));
}
