//! Lanes that end, and the stop.

use super::*;

#[test]
fn revoked_lanes_are_flushed_at_once_and_closed_when_their_commit_is_confirmed() {
    let mut scene = Scene::usual();
    let candles = Shelf { table: CANDLES, partition: Partition(1) };
    scene.fetch(LANE, 10, &[(JANUARY, 10)]);
    scene.fetch(OTHER, 10, &[(candles, 10)]);
    scene.fetch(OTHER, 11, &[]);
    let deadline = scene.now.after(Duration::from_secs(1));
    let said = scene.tell(Input::Revoked { lanes: vec![LANE], deadline });
    let [Output::Send { batch, shelf: JANUARY, attempt: 1 }] = said[..] else { panic!("{said:?}") };
    assert_eq!(scene.engine.open(LANE, Position(20), 1), None);
    scene.now = scene.now.after(Duration::from_millis(10));
    assert_eq!(committed(&scene.durable(batch)), [(LANE, Position(10))]);
    assert_eq!(scene.tell(Input::Committed), [Output::Closed { lanes: vec![LANE] }]);
    assert_eq!(sent(&scene.wait(20)).len(), 1, "the other lane goes on at its own pace");
}

#[test]
fn a_chunk_that_was_opened_before_the_revoke_is_flushed_when_it_is_decoded() {
    let mut scene = Scene::usual();
    let receipt = scene.engine.open(LANE, Position(10), 1).expect("ours");
    let deadline = scene.now.after(Duration::from_secs(1));
    assert_eq!(scene.tell(Input::Revoked { lanes: vec![LANE], deadline }), []);
    let parts = vec![Part { shelf: JANUARY, rows: 1, bytes: 1 }];
    assert_eq!(sent(&scene.tell(Input::Decoded { receipt, parts })).len(), 1);
}

#[test]
fn nothing_is_committed_after_the_deadline_of_a_revoke() {
    let mut scene = Scene::usual();
    scene.fetch(LANE, 10, &[(JANUARY, 10)]);
    let deadline = scene.now.after(Duration::from_secs(1));
    let batch = sent(&scene.tell(Input::Revoked { lanes: vec![LANE], deadline }))[0];
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
    assert_eq!(sent(&scene.tell(Input::Revoked { lanes: vec![LANE], deadline })), [batch]);
}

#[test]
fn nothing_is_committed_for_lost_lanes_and_their_bytes_stay_charged() {
    let mut scene = Scene::usual();
    scene.fetch(LANE, 10, &[(JANUARY, 10)]);
    let batch = scene.wait_for_send().0;
    scene.tell(Input::Lost { lanes: vec![LANE] });
    assert_eq!(scene.engine.snapshot().bytes, 120, "payload, block and encode buffer");
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
    let [batch] = sent(&said)[..] else { panic!("{said:?}") };
    assert!(said.contains(&Output::Pause { lanes: vec![LANE, OTHER] }));
    assert_eq!(scene.engine.open(LANE, Position(20), 1), None);
    assert_eq!(committed(&scene.durable(batch)), [(LANE, Position(10))]);
    assert_eq!(scene.tell(Input::Committed), [Output::Stopped { open_chunks: 0 }]);
    // Leaving the group revokes what is left.
    let lanes = vec![LANE, OTHER];
    assert_eq!(
        scene.tell(Input::Revoked { lanes: lanes.clone(), deadline }),
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
