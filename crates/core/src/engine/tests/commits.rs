//! What is committed, and when.

use super::*;

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
    let [ticks, letters] = sent(&said)[..] else { panic!("{said:?}") };
    assert_eq!(scene.durable(ticks), [Output::Forget { batch: ticks }]);
    assert_eq!(committed(&scene.durable(letters)), [(LANE, Position(10))]);
}

#[test]
fn one_commit_is_under_way_and_the_next_names_the_newest_positions() {
    let mut scene = Scene::usual();
    let candles = Shelf { table: CANDLES, partition: Partition(1) };
    assert_eq!(committed(&scene.fetch(LANE, 1, &[])), [(LANE, Position(1))]);
    scene.fetch(LANE, 2, &[]);
    scene.fetch(OTHER, 5, &[]);
    scene.wait(500);
    assert_eq!(scene.fetch(OTHER, 6, &[]), [Output::Free { chunk: ChunkId(4) }]);
    scene.fetch(OTHER, 9, &[(candles, 1)]);
    let said = scene.tell(Input::Committed);
    assert_eq!(committed(&said), [(LANE, Position(2)), (OTHER, Position(6))]);
}

#[test]
fn commits_are_an_interval_apart() {
    let commit_interval = Duration::from_millis(100);
    let mut scene = Scene::new(Limits { commit_interval, ..Limits::default() });
    scene.tell(Input::Assigned { lane: LANE, start: Position(0), table: TICKS });
    scene.fetch(LANE, 1, &[]);
    scene.tell(Input::Committed);
    scene.fetch(LANE, 2, &[]);
    assert_eq!(scene.engine.next_wake(), Some(Moment(commit_interval)));
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
