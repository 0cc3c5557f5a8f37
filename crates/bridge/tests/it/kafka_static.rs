//! Static members: one id, one process, whatever becomes of the broker meanwhile.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use data_bridge::config::{Config, OffsetReset, Secret};
use data_bridge::source::kafka::SourceError;
use data_bridge_stack::port;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::groups::GroupMemberInfo;

use crate::kafka_member::{Board, Member};
use crate::kafka_stage::{PATIENCE, Sends, config, make_topic, start_broker};
use crate::world::pause;

fn static_config(topic: &str) -> Config {
    let mut config = config(&[topic]);
    config.kafka.static_membership = true;
    config
}

#[test]
fn a_static_id_used_twice_is_fatal_and_names_the_id() {
    let topic = "fenced";
    make_topic(topic, 1);
    let mut config = static_config(topic);
    config.kafka.session_timeout = Duration::from_secs(1);
    config.kafka.heartbeat_interval = Duration::from_millis(200);
    let board = Arc::new(Board::default());
    let first = Member::join("same", &config, &board);
    board.wait("it has the partition", |view| view.held("same") == 1);
    let other_board = Arc::new(Board::default());
    let second = Member::join("same", &config, &other_board);
    other_board.wait("the second has it", |view| view.held("same") == 1);
    board.wait("the first is fenced", |view| view.members["same"].fatal.is_some());
    let id = "group-fenced-same".to_owned();
    let fatal = board.look(|view| view.members["same"].fatal.clone());
    assert_eq!(fatal, Some(SourceError::Fenced { id }));
    board.look(|view| assert_eq!((view.held("same"), view.lost), (0, 1)));
    other_board.look(|view| assert_eq!(view.held("same"), 1, "the second goes on"));
    first.close();
    second.close();
}

/// What the broker remembers of a process that is gone is no double.
#[test]
fn a_static_member_whose_id_was_taken_for_a_moment_comes_back() {
    let topic = "taken";
    make_topic(topic, 1);
    let mut config = static_config(topic);
    config.kafka.session_timeout = Duration::from_secs(2);
    config.kafka.heartbeat_interval = Duration::from_millis(200);
    let board = Arc::new(Board::default());
    let member = Member::join("one", &config, &board);
    board.wait("it has the partition", |view| view.held("one") == 1);

    let mut taker = ClientConfig::new();
    taker
        .set("bootstrap.servers", &config.kafka.brokers)
        .set("group.id", &config.kafka.group_id)
        .set("group.instance.id", "group-taken-one")
        .set("session.timeout.ms", "2000")
        .set("heartbeat.interval.ms", "200");
    let taker: BaseConsumer = taker.create().expect("the settings are sound");
    taker.subscribe(&[topic]).expect("the topic is there");
    let until = Instant::now() + PATIENCE;
    while taker.assignment().is_ok_and(|assigned| assigned.count() == 0) {
        assert!(Instant::now() < until, "the other was never assigned anything");
        taker.poll(Duration::from_millis(20));
    }
    board.wait("it is fenced", |view| view.lost == 1);
    // A static member does not say that it goes.
    drop(taker);
    board.wait("it comes back", |view| view.held("one") == 1);
    Sends::new().these(topic, 0, 0..10);
    board.wait("it flows", |view| view.values(topic).len() == 10);
    board.look(|view| assert_eq!(view.members["one"].fatal, None));
    member.close();
}

/// While a group waits for somebody to join, it forgets nobody: a join of the own id that nobody
/// waits for any more is no double, however long it is remembered.
#[test]
fn a_static_member_that_is_remembered_by_a_group_that_rebalances_joins_again() {
    let topic = "remembered";
    make_topic(topic, 3);
    let mut config = static_config(topic);
    config.kafka.session_timeout = Duration::from_secs(1);
    config.kafka.heartbeat_interval = Duration::from_millis(200);
    let board = Arc::new(Board::default());
    let member = Member::join("one", &config, &board);
    board.wait("it has all partitions", |view| view.held("one") == 3);
    let other = |settings: &[(&str, &str)]| -> BaseConsumer {
        let mut other = ClientConfig::new();
        other.set("bootstrap.servers", &config.kafka.brokers);
        other.set("group.id", &config.kafka.group_id);
        for (name, value) in settings {
            other.set(*name, *value);
        }
        let other: BaseConsumer = other.create().expect("the settings are sound");
        other.subscribe(&[topic]).expect("the topic is there");
        other
    };
    let held = |other: &BaseConsumer| other.assignment().is_ok_and(|all| all.count() > 0);
    let until = Instant::now() + PATIENCE;
    let poll_until = |other: &BaseConsumer, is_met: &dyn Fn() -> bool| {
        while !is_met() {
            assert!(Instant::now() < until, "the others did not get so far");
            other.poll(Duration::from_millis(20));
        }
    };

    // One that never answers again holds up the rebalance that the next one begins.
    let silent = other(&[("session.timeout.ms", "45000")]);
    poll_until(&silent, &|| held(&silent));
    board.wait("they share", |view| (1..3).contains(&view.held("one")));
    // The group's state, and the member id under which it has the static one.
    let look = || {
        let groups = silent.fetch_group_list(Some("group-remembered"), PATIENCE);
        let groups = groups.expect("the coordinator answers");
        let group = &groups.groups()[0];
        let is_one = |id: &&str| id.starts_with("group-remembered-one-");
        let one = group.members().iter().map(GroupMemberInfo::id).find(is_one);
        (group.state().to_owned(), one.map(str::to_owned))
    };
    let (_, own) = look();
    let third = other(&[("session.timeout.ms", "45000")]);
    poll_until(&third, &|| look().0 == "PreparingRebalance");
    let taker = other(&[
        ("group.instance.id", "group-remembered-one"),
        ("session.timeout.ms", "1000"),
        ("heartbeat.interval.ms", "200"),
    ]);
    poll_until(&taker, &|| look().1 != own);
    // A static member does not say that it goes.
    drop(taker);
    pause(config.kafka.session_timeout + Duration::from_secs(5));
    assert_eq!(look().0, "PreparingRebalance", "the silent one still holds it up");
    board.look(|view| assert_eq!(view.members["one"].fatal, None));
    drop((silent, third));
    board.wait("it comes back", |view| view.held("one") == 3);
    member.close();
}

/// librdkafka joins anew, and commits of the old membership that it sends again are refused as
/// those of a double.
#[test]
fn static_members_whose_broker_was_away_longer_than_their_session_go_on() {
    const MEMBERS: i32 = 4;
    let topic = "outages";
    let port = port::free().unwrap();
    let broker = start_broker("kafka-outages", Some(port));
    let mut config = static_config(topic);
    config.kafka.brokers = broker.bootstrap();
    config.kafka.auto_offset_reset = OffsetReset::Earliest;
    config.kafka.session_timeout = Duration::from_secs(1);
    config.kafka.heartbeat_interval = Duration::from_millis(200);
    config.kafka.properties.insert("socket.timeout.ms".into(), Secret::new("1000"));
    crate::kafka_topics::make_partitions_at(&broker.bootstrap(), topic, MEMBERS * 2);

    let board = Arc::new(Board::default());
    let names = ["a", "b", "c", "d"];
    let members = names.map(|name| Member::join(name, &config, &board));
    let all_flow = |sends: &Sends, from: u32| {
        for partition in 0..MEMBERS * 2 {
            sends.one(topic, partition, &format!("{partition}:{from}"));
        }
    };
    let sends = Arc::new(Sends::to(&broker.bootstrap()));
    let is_over = Arc::new(AtomicBool::new(false));
    let (sender, over) = (Arc::clone(&sends), Arc::clone(&is_over));
    let stream = thread::spawn(move || {
        let mut sent = 0;
        while !over.load(Ordering::SeqCst) {
            all_flow(&sender, sent);
            sent += 1;
            pause(Duration::from_millis(2));
        }
        sent
    });
    let held =
        |view: &crate::kafka_member::View| names.iter().map(|name| view.held(name)).sum::<usize>();
    let mut before = 0;
    for outage in 0..3 {
        board.wait("all partitions are held", |view| held(view) == 8);
        board.wait("it flows", |view| view.records.len() > before + 500);
        // Requests are given up meanwhile, and sent again to a broker that has them all in the end.
        broker.process().freeze();
        pause(config.kafka.session_timeout * 3);
        broker.process().thaw();
        before = board.look(|view| view.records.len());
        println!("outage {outage}: {before} records, {} lost lanes", board.look(|view| view.lost));
    }
    board.wait("all partitions are held", |view| held(view) == 8);
    board.wait("it flows", |view| view.records.len() > before + 500);
    is_over.store(true, Ordering::SeqCst);
    let sent = stream.join().expect("the sender did not panic");
    sends.flush();
    let all = (0..MEMBERS * 2)
        .flat_map(|partition| (0..sent).map(move |number| format!("{partition}:{number}")))
        .collect::<BTreeSet<_>>();
    board.wait("everything came", |view| view.values(topic) == all);
    for name in names {
        let fatal = board.look(|view| view.members[name].fatal.clone());
        assert_eq!(fatal, None, "{name}");
    }
    for member in members {
        member.close();
    }
}
