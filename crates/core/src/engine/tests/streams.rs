//! Lanes without a front: acks in any order, signs of progress, what is given back.

use super::*;

const STREAM: LaneId = LaneId(3);

fn scene() -> Scene {
    let mut scene = Scene::usual();
    scene.tell(Input::StreamAssigned { lane: STREAM, table: TICKS });
    scene
}

impl Scene {
    fn pull(&mut self, parts: &[(Shelf, u32)]) -> ChunkId {
        let receipt = self.engine.open_of_stream(STREAM, 100).expect("the stream is ours");
        let chunk = receipt.chunk();
        let parts = parts.iter().map(|(shelf, rows)| Part { shelf: *shelf, rows: *rows, bytes: 1 });
        self.tell(Input::Decoded { receipt, parts: parts.collect() });
        chunk
    }
}

fn acked(outputs: &[Output]) -> Vec<ChunkId> {
    let ack = |output: &Output| match output {
        Output::Ack { chunk } => Some(*chunk),
        _ => None,
    };
    outputs.iter().filter_map(ack).collect()
}

fn given_back(outputs: &[Output]) -> Vec<(ChunkId, Return)> {
    let given = |output: &Output| match output {
        Output::GiveBack { chunk, when } => Some((*chunk, *when)),
        _ => None,
    };
    outputs.iter().filter_map(given).collect()
}

fn working(outputs: &[Output]) -> Vec<ChunkId> {
    let working = |output: &Output| match output {
        Output::Working { chunk } => Some(*chunk),
        _ => None,
    };
    outputs.iter().filter_map(working).collect()
}

#[test]
fn a_chunk_of_a_stream_is_acked_alone_and_out_of_order() {
    let mut scene = scene();
    let first = scene.pull(&[(JANUARY, 5)]);
    let second = scene.pull(&[(FEBRUARY, 5)]);
    let (one, _) = scene.wait_for_send();
    let other = sent(&scene.said).into_iter().find(|batch| *batch != one);
    let other = other.unwrap_or_else(|| scene.wait_for_send().0);
    assert_eq!(acked(&scene.durable(other)), [second]);
    let said = scene.durable(one);
    assert_eq!(acked(&said), [first]);
    let place = |wanted: &Output| said.iter().position(|output| output == wanted);
    assert!(place(&Output::Ack { chunk: first }) < place(&Output::Free { chunk: first }));
}

#[test]
fn a_chunk_is_acked_when_its_rows_in_all_tables_are_durable() {
    let mut scene = scene();
    let chunk = scene.pull(&[(JANUARY, 5), (GRAVE, 1)]);
    let (rows, _) = scene.wait_for_send();
    let letters = sent(&scene.said).into_iter().find(|batch| *batch != rows);
    let letters = letters.unwrap_or_else(|| scene.wait_for_send().0);
    assert_eq!(acked(&scene.durable(rows)), []);
    assert_eq!(acked(&scene.durable(letters)), [chunk]);
}

#[test]
fn the_broker_hears_of_a_chunk_that_waits_and_gets_it_back_in_the_end() {
    let mut scene = scene();
    let chunk = scene.pull(&[(JANUARY, 5)]);
    let (batch, _) = scene.wait_for_send();
    let (mut signs, mut given) = (0, Vec::new());
    while given.is_empty() {
        let before = scene.now;
        scene.now = scene.engine.next_wake().expect("a sign is due");
        assert!(scene.now.since(before) <= Duration::from_secs(4));
        let said = scene.tell(Input::Tick);
        signs += working(&said).len();
        given = given_back(&said);
    }
    assert_eq!((signs, given), (14, vec![(chunk, Return::Later)]));
    assert_eq!(scene.engine.next_wake(), None, "nothing more is said of it");
    assert_eq!(acked(&scene.durable(batch)), [chunk], "what is durable is acked all the same");
}

#[test]
fn a_paused_table_gives_its_chunks_back_and_takes_no_more() {
    let mut scene = scene();
    let chunk = scene.pull(&[(JANUARY, 5)]);
    let (batch, _) = scene.wait_for_send();
    let said = scene.fail(batch, 516);
    assert_eq!(given_back(&said), [(chunk, Return::Later)]);
    let paused = said.iter().find_map(|output| match output {
        Output::Pause { lanes } => Some(lanes.clone()),
        _ => None,
    });
    assert_eq!(paused, Some(vec![LANE]), "others come by the same stream");
    assert_eq!(scene.engine.open_of_stream(STREAM, 100), None);
    let (batch, _) = scene.wait_for_send();
    assert_eq!(acked(&scene.durable(batch)), [chunk]);
    assert!(scene.engine.open_of_stream(STREAM, 100).is_some());
}

#[test]
fn a_stop_gives_back_at_its_deadline_what_is_not_durable() {
    let mut scene = scene();
    let chunk = scene.pull(&[(JANUARY, 5)]);
    scene.wait_for_send();
    let deadline = scene.now.after(Duration::from_secs(5));
    assert_eq!(given_back(&scene.tell(Input::Stop { deadline })), []);
    assert_eq!(scene.engine.open_of_stream(STREAM, 100), None);
    let said = scene.wait(5_000);
    assert_eq!(given_back(&said), [(chunk, Return::AtOnce)]);
    assert!(said.contains(&Output::Stopped { open_chunks: 1 }));
}

#[test]
fn a_stream_that_was_lost_is_not_acked() {
    let mut scene = scene();
    scene.pull(&[(JANUARY, 5)]);
    let (batch, _) = scene.wait_for_send();
    scene.tell(Input::Lost { lanes: vec![STREAM] });
    assert_eq!(scene.engine.open_of_stream(STREAM, 100), None);
    assert_eq!(acked(&scene.durable(batch)), []);
    assert_eq!(scene.engine.snapshot().bytes, 0);
}
