//! A batch that fails while later ones succeed: the commit waits for it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use data_bridge_lab::fake_clickhouse::native::Value;
use data_bridge_lab::fake_clickhouse::{Answer, Request};
use data_bridge_lab::front::{Front, Reaction};
use data_bridge_lab::generate::Generator;
use data_bridge_lab::kafka::Pace;
use data_bridge_lab::model::Expected;
use data_bridge_lab::plan::{Kind, Mix};

use crate::flow::{Commits, FEBRUARY_MS, JANUARY_MS, finish};
use crate::world::{PATIENCE, Scenario, clickhouse, produce, until, wait_for};

/// ClickHouse that takes no ticks of January while it is told so, and keeps what it refused.
#[derive(Clone, Default)]
struct NoJanuary {
    holds: Arc<AtomicBool>,
    refused: Arc<Mutex<Vec<Bytes>>>,
}

impl NoJanuary {
    fn decide(&self, request: &Request) -> Reaction {
        if !self.holds.load(Ordering::Relaxed) || request.table().as_deref() != Some("ticks") {
            return Reaction::Pass;
        }
        if !request.is_insert() || !is_of_january(request) {
            return Reaction::Pass;
        }
        let mut refused = self.refused.lock().expect("nobody panicked");
        refused.push(request.body.clone());
        Reaction::Answer(Answer::exception(999, "KEEPER_EXCEPTION", "Session expired"))
    }

    fn refused(&self) -> Vec<Bytes> {
        self.refused.lock().expect("nobody panicked").clone()
    }
}

/// All rows of an insert are of one month.
fn is_of_january(request: &Request) -> bool {
    let blocks = request.rows().expect("the body can be read");
    let first = blocks.iter().find_map(|block| block.value(0, "timestamp"));
    let Some(Value::Whole(ms)) = first else {
        panic!("no timestamp in {:?}", request.sql());
    };
    (i128::from(JANUARY_MS)..i128::from(FEBRUARY_MS)).contains(ms)
}

#[test]
fn a_commit_stays_before_a_failed_batch_while_later_ones_succeed() {
    let january = NoJanuary::default();
    let decide = {
        let january = january.clone();
        move |request: &Request| january.decide(request)
    };
    let target = ([127, 0, 0, 1], clickhouse().port()).into();
    let front = wait_for(Front::start(target, decide)).unwrap();
    let mut scenario = Scenario::new("commit_order", &clickhouse().url())
        .with("retry", "{ initial_ms: 50, max_ms: 200 }");
    scenario.clickhouse_url = front.url();
    scenario.init();
    let mut plan = scenario.plan(201, 9_000);
    plan.mix = Mix { bad: 0.002, ..Mix::only(Kind::Tick) };
    let generator = Generator::try_new(plan).unwrap();
    let expected = Expected::of(&generator).unwrap();
    let moves = AtomicU64::new(0);
    let mut commits = Commits::of(&scenario, &moves);

    // December lands and is committed.
    let bridge = scenario.start(1);
    bridge.wait_ready();
    produce(&generator, 0..2_500, Pace::Full);
    scenario.assert_committed();
    let december = commits.read();

    // January fails, February lands; in pieces, so that chunks of February alone settle behind
    // chunks that are open.
    january.holds.store(true, Ordering::Relaxed);
    let mut begin = 2_500;
    for end in [4_500, 6_500, 8_000, 9_000] {
        produce(&generator, begin..end, Pace::Full);
        begin = end;
        until(PATIENCE, "the messages to be taken", || {
            let status = bridge.status();
            if status["kafka_messages"] == end { Ok(()) } else { Err(status.to_string()) }
        });
    }
    let february = format!(
        "SELECT count() FROM {}.ticks WHERE timestamp >= '2024-02-01'",
        scenario.database()
    );
    until(PATIENCE, "the rows of February", || {
        let rows = scenario.query(&february)?;
        let enough = rows.trim().parse::<u64>().is_ok_and(|rows| rows > 2_500);
        if enough { Ok(()) } else { Err(rows) }
    });
    let attempts = january.refused().len();
    until(PATIENCE, "more attempts", || {
        commits.look();
        match january.refused().len() {
            now if now >= attempts + 5 => Ok(()),
            now => Err(format!("{now}")),
        }
    });
    let refused = january.refused();
    let last = refused.last().expect("attempts were refused");
    let same = refused.iter().filter(|body| *body == last).count();
    assert!(same >= 5, "{same} of {} attempts alike", refused.len());

    // Killed now, it must begin before January again.
    let held = commits.read();
    bridge.kill();
    assert!(held.values().sum::<i64>() >= december.values().sum::<i64>(), "{held:?}");
    january.holds.store(false, Ordering::Relaxed);
    let bridge = scenario.start(1);
    finish(&scenario, &[bridge], &expected);
    commits.look();
    for (partition, first) in first_of_january(&scenario) {
        let held = held[&partition];
        assert!(
            held <= first,
            "partition {partition}: committed {held} while {first} was not durable"
        );
    }
}

/// The first offset of January in each partition.
fn first_of_january(scenario: &Scenario) -> Vec<(i32, i64)> {
    let query = format!(
        "SELECT splitByChar(':', toString(origin))[3], min(origin_position) FROM {}.ticks \
         WHERE toYYYYMM(timestamp) = 202401 GROUP BY origin FORMAT TabSeparated",
        scenario.database()
    );
    let answer = scenario.query(&query).expect("ClickHouse answers");
    let lines = answer.lines().map(|line| {
        let (partition, first) = line.split_once('\t').expect("two columns");
        (partition.parse().expect("a number"), first.parse().expect("an offset"))
    });
    let found: Vec<_> = lines.collect();
    assert_eq!(found.len(), 6, "{answer}");
    found
}
