//! The group: who reads what, while members come, go and stand still.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use data_bridge::config::{Assignor, Config, GroupProtocol, OffsetReset};

use crate::kafka_member::{Board, Manners, Member, no_rows};
use crate::kafka_stage::{Sends, committed, config, make_topic, start_broker};

const PARTITIONS: i32 = 6;

#[test]
fn range_members_join_and_leave_without_loss_or_repeat() {
    let mut config = config(&["join-range"]);
    config.kafka.assignor = Assignor::Range;
    members_join_and_leave("join-range", &config);
}

#[test]
fn cooperative_members_join_and_leave_without_loss_or_repeat() {
    let mut config = config(&["join-cooperative"]);
    config.kafka.assignor = Assignor::CooperativeSticky;
    members_join_and_leave("join-cooperative", &config);
}

#[test]
fn members_of_the_consumer_protocol_join_and_leave_without_loss_or_repeat() {
    let mut config = config(&["join-consumer"]);
    config.kafka.group_protocol = GroupProtocol::Consumer;
    members_join_and_leave("join-consumer", &config);
}

/// Six partitions under load while the group grows from one member to three and shrinks to one.
fn members_join_and_leave(topic: &str, config: &Config) {
    make_topic(topic, PARTITIONS);
    let board = Arc::new(Board::default());
    let first = Member::join("a", config, &board);
    board.wait("the first has all", |view| view.held("a") == 6);

    let stop = Arc::new(AtomicBool::new(false));
    let load = {
        let (topic, stop) = (topic.to_owned(), Arc::clone(&stop));
        thread::spawn(move || {
            let sends = Sends::new();
            let mut sent = 0_u32;
            while !stop.load(Ordering::Relaxed) {
                for _ in 0..600 {
                    let partition = i32::try_from(sent % 6).expect("below six");
                    sends.one(&topic, partition, &sent.to_string());
                    sent += 1;
                }
                sends.flush();
            }
            sent
        })
    };
    let records = || board.look(|view| view.records.len());
    let more_flow = |what: &str| {
        let before = records();
        board.wait(what, |view| view.records.len() > before + 1_000);
    };
    more_flow("the first reads");
    let second = Member::join("b", config, &board);
    board.wait("half each", |view| (view.held("a"), view.held("b")) == (3, 3));
    more_flow("two read");
    let third = Member::join("c", config, &board);
    board.wait("a third each", |view| ["a", "b", "c"].map(|member| view.held(member)) == [2, 2, 2]);
    more_flow("three read");
    leave(&board, second, "b");
    board.wait("half each again", |view| (view.held("a"), view.held("c")) == (3, 3));
    more_flow("two read again");
    leave(&board, first, "a");
    board.wait("the last has all", |view| view.held("c") == 6);
    more_flow("one reads");

    stop.store(true, Ordering::Relaxed);
    let sent = load.join().expect("the load did not panic");
    board.wait("all are read", |view| view.values(topic).len() == sent as usize);
    board.wait("no lag is left", |view| view.status("c").lanes.iter().all(|lane| lane.lag == 0));
    let group = &config.kafka.group_id;
    for partition in 0..PARTITIONS {
        let offsets = board.look(|view| view.offsets(topic, partition));
        let end = u64::from(sent / 6);
        assert_eq!(offsets, (0..end).collect::<Vec<_>>(), "{topic}:{partition}: once, in order");
        let (commit, _) = committed(group, topic, partition).expect("it is committed");
        assert_eq!(commit.cast_unsigned(), end);
    }
    board.look(|view| {
        assert_eq!(view.lost, 0);
        // Under the cooperative protocol members commit while the generation changes.
        let may_be_refused = config.kafka.assignor == Assignor::CooperativeSticky;
        assert!(may_be_refused || view.refused.is_empty(), "{:?}", view.refused);
    });
    third.close();
}

/// Leaves only once everything it was handed is committed, as the bridge does.
fn leave(board: &Board, member: Member, name: &str) {
    member.pause();
    board.wait("what was handed out is committed", |view| {
        let lanes = &view.status(name).lanes;
        lanes.iter().all(|lane| lane.paused && lane.next == lane.committed)
    });
    member.close();
}

#[test]
fn a_member_that_leaves_is_replaced_at_once() {
    for (topic, protocol) in
        [("leave-classic", GroupProtocol::Classic), ("leave-consumer", GroupProtocol::Consumer)]
    {
        make_topic(topic, PARTITIONS);
        let mut config = config(&[topic]);
        config.kafka.group_protocol = protocol;
        let board = Arc::new(Board::default());
        let first = Member::join("a", &config, &board);
        let second = Member::join("b", &config, &board);
        board.wait("half each", |view| (view.held("a"), view.held("b")) == (3, 3));
        let begin = Instant::now();
        first.close();
        let closed = begin.elapsed();
        board.wait("the second has all", |view| view.held("b") == 6);
        let taken = begin.elapsed();
        println!("{topic}: closed after {closed:?}, taken over after {taken:?}");
        // The consumer protocol tells the survivor at its next heartbeat, each 5 s by default.
        let limit = match protocol {
            GroupProtocol::Classic => Duration::from_secs(2),
            GroupProtocol::Consumer => Duration::from_secs(7),
        };
        assert!(closed < Duration::from_secs(1) && taken < limit, "{topic}: {taken:?}");
        second.close();
    }
}

/// A member that closes while the group waits for its answer leaves as quickly.
#[test]
fn a_member_leaves_while_it_is_asked_to_give_partitions_back() {
    make_topic("leave-asked", PARTITIONS);
    let config = config(&["leave-asked"]);
    let board = Arc::new(Board::default());
    let first = Member::join("a", &config, &board);
    board.wait("the first has all", |view| view.held("a") == 6);
    // What it was handed must not be taken for read.
    first.withhold_commits();
    let sends = Sends::new();
    sends.these("leave-asked", 0, 0..10);
    board.wait("it holds records", |view| view.records.len() == 10);
    let thaw = first.freeze();
    let second = Member::join("b", &config, &board);
    drop(thaw);
    let begin = Instant::now();
    first.close();
    let closed = begin.elapsed();
    assert!(closed < Duration::from_secs(2), "{closed:?}");
    board.wait("the second has all", |view| view.held("b") == 6);
    board.wait("it reads what was not committed", |view| view.records.len() == 20);
    second.close();
}

/// Whoever waits for the group says so: it must not count as ready.
#[test]
fn a_member_waits_for_the_group_until_it_has_its_partitions() {
    for protocol in [GroupProtocol::Classic, GroupProtocol::Consumer] {
        let topic = format!("waits-{protocol:?}").to_lowercase();
        make_topic(&topic, PARTITIONS);
        let mut config = config(&[&topic]);
        config.kafka.group_protocol = protocol;
        let board = Arc::new(Board::default());
        let first = Member::join("a", &config, &board);
        board.wait("the first has all", |view| view.held("a") == 6);
        board.wait("and waits no more", |view| !view.status("a").rebalancing);
        // It does not answer the group, which cannot go on without.
        let thaw = first.freeze();
        let second = Member::join("b", &config, &board);
        board.wait("the second is connected", |view| view.status("b").connected);
        board.look(|view| {
            assert_eq!(view.held("b"), 0);
            assert!(view.status("b").rebalancing, "{protocol:?}");
        });
        drop(thaw);
        board.wait("half each", |view| (view.held("a"), view.held("b")) == (3, 3));
        board.wait("nobody waits any more", |view| {
            !view.status("a").rebalancing && !view.status("b").rebalancing
        });
        board.look(|view| assert!(view.status("b").rebalancing_time > Duration::ZERO));
        first.close();
        second.close();
    }
}

/// More members than partitions: the spare one is as settled as the others.
#[test]
fn a_member_without_a_partition_does_not_wait_for_one() {
    for protocol in [GroupProtocol::Classic, GroupProtocol::Consumer] {
        let topic = format!("spare-{protocol:?}").to_lowercase();
        make_topic(&topic, 1);
        let mut config = config(&[&topic]);
        config.kafka.group_protocol = protocol;
        let board = Arc::new(Board::default());
        let first = Member::join("a", &config, &board);
        board.wait("the first has it", |view| view.held("a") == 1);
        let second = Member::join("b", &config, &board);
        board.wait("both are settled", |view| {
            let settled = |name| view.status(name).connected && !view.status(name).rebalancing;
            settled("a") && settled("b") && view.held("a") + view.held("b") == 1
        });
        first.close();
        second.close();
    }
}

/// The zombie: the group goes on without a member that does not poll; what it had is lost to it,
/// and its commit is refused.
#[test]
fn what_a_silent_member_had_is_lost_to_it() {
    make_topic("zombie", PARTITIONS);
    let mut config = config(&["zombie"]);
    config.kafka.session_timeout = Duration::from_secs(1);
    config.kafka.heartbeat_interval = Duration::from_millis(200);
    config.kafka.max_poll_interval = Duration::from_secs(1);
    let board = Arc::new(Board::default());
    let first = Member::join("a", &config, &board);
    let second = Member::join("b", &config, &board);
    board.wait("half each", |view| (view.held("a"), view.held("b")) == (3, 3));
    let thaw = first.freeze();
    board.wait("the second has all", |view| view.held("b") == 6);
    let sends = Sends::new();
    for partition in 0..PARTITIONS {
        sends.these("zombie", partition, 0..100);
    }
    board.wait("all are read", |view| view.records.len() == 600);
    drop(thaw);
    board.wait("the first has lost its own", |view| view.lost >= 3);
    board.wait("and comes back", |view| (view.held("a"), view.held("b")) == (3, 3));
    for partition in 0..PARTITIONS {
        let offsets = board.look(|view| view.offsets("zombie", partition));
        assert_eq!(offsets, (0..100).collect::<Vec<_>>(), "partition {partition}");
    }
    first.close();
    second.close();
}

/// Toggled after every few fetches under load, by hundreds.
#[test]
fn pauses_leave_no_hole_and_no_repeat() {
    const RECORDS: u32 = 10_000;
    let topic = "toggle";
    make_topic(topic, 2);
    let mut config = config(&[topic]);
    config.kafka.auto_offset_reset = OffsetReset::Earliest;
    let sends = Sends::new();
    let mut manners = Manners {
        toggle_every: Some(3),
        batch: 211,
        wait: Duration::from_millis(2),
        ..Manners::default()
    };
    let board = Arc::new(Board::default());
    let toggling = Member::join_as("a", &config, &board, no_rows(), manners.clone());
    board.wait("it has both", |view| view.held("a") == 2);
    for begin in (0..RECORDS).step_by(2_000) {
        sends.these(topic, 0, begin..begin + 2_000);
        sends.these(topic, 1, begin..begin + 2_000);
    }
    board.wait("enough is read while it toggles", |view| view.records.len() > 5_000);
    // A second member: rebalances pause all partitions as well.
    manners.toggle_every = Some(2);
    let other = Member::join_as("b", &config, &board, no_rows(), manners);
    board.wait("one each", |view| (view.held("a"), view.held("b")) == (1, 1));
    board.wait("all are read", |view| view.records.len() >= 2 * RECORDS as usize);
    for partition in 0..2 {
        let offsets = board.look(|view| view.offsets(topic, partition));
        let expected = (0..u64::from(RECORDS)).collect::<Vec<_>>();
        assert!(offsets == expected, "partition {partition}: {} records", offsets.len());
    }
    toggling.close();
    other.close();
}

/// librdkafka keeps a partition paused when it is taken away and comes back.
#[test]
fn a_partition_that_was_paused_flows_when_it_is_assigned_anew() {
    let topic = "paused-before";
    make_topic(topic, 1);
    let mut config = config(&[topic]);
    config.kafka.session_timeout = Duration::from_secs(1);
    config.kafka.heartbeat_interval = Duration::from_millis(200);
    config.kafka.max_poll_interval = Duration::from_secs(1);
    let board = Arc::new(Board::default());
    let member = Member::join("a", &config, &board);
    board.wait("it has the partition", |view| view.held("a") == 1);
    member.pause();
    board.wait("it is paused", |view| view.status("a").lanes.iter().all(|lane| lane.paused));
    // It is lost by silence, and resumed while there is no lane.
    let thaw = member.freeze();
    let sends = Sends::new();
    sends.these(topic, 0, 0..5);
    let other = Member::join("b", &config, &board);
    board.wait("another has it", |view| view.held("b") == 1);
    drop(thaw);
    board.wait("it is lost", |view| view.held("a") == 0);
    member.resume();
    other.close();
    board.wait("it comes back", |view| view.held("a") == 1);
    sends.these(topic, 0, 5..10);
    board.wait("it flows", |view| view.values(topic).len() == 10);
    member.close();
}

#[test]
fn a_broker_that_is_away_is_named_and_found_when_it_comes() {
    let port = data_bridge_stack::port::free().unwrap();
    let mut config = config(&["late"]);
    config.kafka.brokers = format!("127.0.0.1:{port}");
    let board = Arc::new(Board::default());
    let member = Member::join("a", &config, &board);
    board.wait("the status says which and why", |view| {
        let status = view.status("a");
        let error = status.error.unwrap_or_default();
        !status.connected && error.contains(&port.to_string()) && error.contains("refused")
    });
    let mut late = start_broker("kafka-late", Some(port));
    board.wait("it is found, and its topic is not", |view| {
        let status = view.status("a");
        status.connected && status.missing_topics == ["late"]
    });
    let sends = Sends::to(&late.bootstrap());
    crate::kafka_topics::make_at(&late.bootstrap(), "late");
    sends.these("late", 0, 0..10);
    board.wait("the topic is found", |view| {
        view.held("a") == 1 && view.status("a").missing_topics.is_empty()
    });
    // Sent before the member knew of the topic, so after its start.
    board.wait("it flows", |view| view.records.len() == 10);

    late.kill().unwrap();
    board.wait("its absence is noticed", |view| !view.status("a").connected);
    late.restart().unwrap();
    board.wait("it is found again", |view| view.status("a").connected);
    sends.these("late", 0, 10..20);
    board.wait("it flows on", |view| view.offsets("late", 0) == (0..20).collect::<Vec<_>>());
    let group = BTreeMap::from([("a", member)]);
    for (_, member) in group {
        member.close();
    }
}
