//! What was answered with 200 is there after kill -9; a stop waits for what runs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use crate::client;
use crate::server::{Data, Server, Variant, wait_until};

const BATCH: u64 = 500;

#[test]
fn what_was_answered_survives_kill_9() {
    let data = Data::new("kill");
    let mut server = Server::start(data.path(), &Variant::default());
    let client = server.client();
    client.ok("CREATE DATABASE market");
    client.ok(
        "CREATE TABLE market.t (batch UInt64, n UInt64) ENGINE = MergeTree ORDER BY (batch, n)",
    );
    let next = AtomicU64::new(0);
    let mut answered = Vec::new();
    for round in 1..=3 {
        let client = server.client();
        let next = &next;
        let (answer, answers) = mpsc::channel();
        let done: Vec<u64> = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..4)
                .map(|_| {
                    let (client, answer) = (client.clone(), answer.clone());
                    scope.spawn(move || {
                        let mut done = Vec::new();
                        loop {
                            let batch = next.fetch_add(1, Ordering::Relaxed);
                            let rows: Vec<_> = (0..BATCH)
                                .map(|n| {
                                    format!(
                                        "{batch},{n}
"
                                    )
                                })
                                .collect();
                            let rows = rows.concat();
                            let Some(response) = client
                                .try_insert("INSERT INTO market.t FORMAT CSV", rows.as_bytes())
                            else {
                                return done;
                            };
                            if response.status != 200 || !response.complete {
                                return done;
                            }
                            done.push(batch);
                            // Nobody counts those behind the fortieth.
                            answer.send(()).ok();
                        }
                    })
                })
                .collect();
            for _ in 0..40 {
                answers.recv_timeout(Duration::from_mins(2)).unwrap();
            }
            server.kill_9();
            writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
        });
        answered.extend(done);
        server = Server::start(data.path(), &Variant::default());
        let client = server.client();
        let partial = client.ok(&format!(
            "SELECT count() FROM (SELECT batch, count() AS rows, uniqExact(n) AS n FROM market.t \
             GROUP BY batch HAVING rows != {BATCH} OR n != {BATCH})"
        ));
        assert_eq!(partial, "0", "round {round}: a batch is there in part");
        let there = client.ok("SELECT DISTINCT batch FROM market.t");
        let there: std::collections::HashSet<u64> =
            there.lines().map(|batch| batch.parse().unwrap()).collect();
        let missing: Vec<_> = answered.iter().filter(|batch| !there.contains(batch)).collect();
        assert!(missing.is_empty(), "round {round}: answered and lost: {missing:?}");
    }
    println!("{} inserts answered over three kills, none lost", answered.len());
    assert!(server.stop().success());
}

#[test]
fn stop_waits_for_what_runs_and_leaves_clean_data() {
    let data = Data::new("stop");
    let server = Server::start(data.path(), &Variant::default());
    let client = server.client();
    client.ok("CREATE DATABASE market");
    client.ok("CREATE TABLE market.t (a UInt64) ENGINE = MergeTree ORDER BY a");
    let slow =
        client.open("INSERT INTO market.t SELECT number + sleepEachRow(0.5) FROM numbers(3)");
    let running = "SELECT count() FROM system.processes WHERE query_kind = 'Insert'";
    wait_until("the slow insert runs", || client.ok(running) == "1");
    assert!(server.stop().success());
    assert_eq!(client::read(slow).status, 200);
    assert!(client.try_insert("SELECT 1", b"").is_none(), "it still listens");
    let server = Server::start(data.path(), &Variant::default());
    assert_eq!(server.client().ok("SELECT count() FROM market.t"), "3");
}

#[test]
fn stop_cancels_a_change_whose_client_left() {
    let data = Data::new("stop_left");
    let server = Server::start(data.path(), &Variant::default());
    let client = server.client();
    let endless = client.open(
        "INSERT INTO FUNCTION null('a UInt64') \
         SELECT sipHash64(number) FROM numbers(1000000000000)",
    );
    let running = "SELECT count() FROM system.processes WHERE query_kind = 'Insert'";
    wait_until("it runs", || client.ok(running) == "1");
    drop(endless);
    assert!(server.stop().success());
}

#[test]
fn stop_cancels_what_does_not_end() {
    let data = Data::new("stop_endless");
    let server = Server::start(data.path(), &Variant::default());
    let client = server.client();
    let endless = client
        .open("SELECT count() FROM numbers(1000000000000) WHERE NOT ignore(sipHash64(number))");
    wait_until("it runs", || client.ok("SELECT count() FROM system.processes") == "2");
    assert!(server.stop().success());
    assert!(!client::read(endless).complete);
}
