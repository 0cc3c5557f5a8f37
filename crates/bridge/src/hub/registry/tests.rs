use super::*;

fn registration(id: &str) -> Registration {
    Registration {
        service_name: "data-bridge-1".to_owned(),
        instance_id: id.to_owned(),
        instance_number: 1,
        url: "http://127.0.0.1:1".to_owned(),
        ..Registration::default()
    }
}

fn page(id: &str, rows: u64) -> Page {
    Page { instance_id: id.to_owned(), ready: true, ticks_saved: rows, ..Page::default() }
}

fn life(registry: &Registry, now_ms: i64) -> Life {
    registry.fleet(now_ms).instances[0].life
}

#[test]
fn a_heartbeat_of_a_stranger_is_answered_by_register_again() {
    let mut registry = Registry::default();
    let beat = Heartbeat { instance_id: "a".to_owned(), ..Heartbeat::default() };
    assert!(registry.heartbeat(beat.clone(), 1).is_none());
    assert!(registry.register(registration("a"), 2).is_some());
    assert!(registry.heartbeat(beat, 3).is_some());
    let member = &registry.fleet(4).instances[0];
    assert_eq!((member.heartbeats, member.heartbeat_ms), (1, 3));
}

#[test]
fn a_member_that_is_only_expected_has_to_register_too() {
    let mut registry = Registry::default();
    let expected = Expected { id: "a".to_owned(), number: 1, url: "http://h:1".to_owned() };
    registry.expect(&[expected], 0);
    let beat = Heartbeat { instance_id: "a".to_owned(), ..Heartbeat::default() };
    assert!(registry.heartbeat(beat, 1).is_none());
    assert_eq!(registry.to_look_at().len(), 1);
    registry.expect(&[], 2);
    assert!(registry.fleet(3).instances.is_empty());
}

#[test]
fn three_misses_are_death_and_one_answer_is_life() {
    let mut registry = Registry::default();
    registry.register(registration("a"), 0).unwrap();
    assert_eq!(life(&registry, 0), Life::Expected);
    registry.seen("a", Ok(page("a", 5)), 1_000);
    assert_eq!(life(&registry, 1_000), Life::Up);
    for miss in 1..=3 {
        assert_eq!(life(&registry, 1_000 * miss), Life::Up, "{miss}");
        assert_eq!(registry.to_look_at_again().len(), usize::from(miss > 1), "{miss}");
        registry.seen("a", Err("refused".to_owned()), 1_000 * (miss + 1));
    }
    assert!(registry.to_look_at_again().is_empty(), "the dead are looked at with all others");
    assert_eq!(life(&registry, 5_000), Life::Dead);
    assert_eq!(registry.fleet(5_000).instances[0].reasons, ["refused"]);
    assert_eq!(registry.fleet(5_000).totals.up, 0);
    registry.seen("a", Ok(page("a", 5)), 6_000);
    assert_eq!(life(&registry, 6_000), Life::Up);
}

#[test]
fn an_instance_that_answers_under_another_id_is_no_sign_of_life() {
    let mut registry = Registry::default();
    registry.register(registration("a"), 0).unwrap();
    for second in 1..=3 {
        registry.seen("a", Ok(page("b", 5)), second * 1_000);
    }
    let fleet = registry.fleet(3_000);
    assert_eq!(fleet.instances[0].life, Life::Dead);
    assert!(fleet.instances[0].reasons[0].contains("another instance answers there: b"));
}

#[test]
fn a_partition_that_nobody_reads_is_named_after_half_a_minute() {
    let mut registry = Registry::default();
    let of = |topic: &str, partition| Partition {
        topic: topic.to_owned(),
        partition,
        ..Partition::default()
    };
    let mut look = |second: i64, looks: [(&str, Option<Vec<Partition>>); 2]| {
        let now_ms = second * 1_000;
        for (id, partitions) in looks {
            if !registry.members.contains_key(id) {
                registry.register(registration(id), now_ms).unwrap();
            }
            let topics = BTreeMap::from([("t".to_owned(), 3), ("u".to_owned(), 1)]);
            let answer = partitions.map(|partitions| Page { partitions, topics, ..page(id, 0) });
            registry.seen(id, answer.ok_or_else(|| "refused".to_owned()), now_ms);
        }
        registry.note_unread(now_ms);
        let unread = registry.fleet(now_ms).unread;
        unread.into_iter().map(|one| (one.topic, one.partition, one.since_ms)).collect::<Vec<_>>()
    };
    let (one, two) = (vec![of("t", 0), of("u", 0)], vec![of("t", 1)]);
    // As during a rebalance: nobody has the third for a while.
    for second in 0..30 {
        assert_eq!(look(second, [("a", Some(one.clone())), ("b", Some(two.clone()))]), []);
    }
    let stuck = [("t".to_owned(), 2, 0)];
    assert_eq!(look(30, [("a", Some(one.clone())), ("b", Some(two.clone()))]), stuck);
    // It moves to somebody, and the wait begins anew when it is lost again.
    let both = vec![of("t", 1), of("t", 2)];
    assert_eq!(look(31, [("a", Some(one.clone())), ("b", Some(both.clone()))]), []);
    assert_eq!(look(32, [("a", Some(one.clone())), ("b", Some(two))]), []);
    assert_eq!(look(61, [("a", Some(one.clone())), ("b", Some(both))]), []);
    // What the dead read is read by nobody.
    for second in 62..95 {
        look(second, [("a", Some(one.clone())), ("b", None)]);
    }
    let gone = look(95, [("a", Some(one)), ("b", None)]);
    assert_eq!(gone.iter().map(|(_, number, _)| *number).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn rates_are_over_the_last_seconds_and_begin_anew_with_the_instance() {
    let mut registry = Registry::default();
    registry.register(registration("a"), 0).unwrap();
    for second in 0..20_u32 {
        let rows = u64::from(second) * 1_000;
        registry.seen("a", Ok(page("a", rows)), i64::from(second) * 1_000);
    }
    let rate = registry.fleet(19_000).totals.rows_per_second;
    assert!((rate - 1_000.0).abs() < 0.01, "{rate}");
    registry.seen("a", Ok(page("a", 10)), 20_000);
    let rate = registry.fleet(20_000).totals.rows_per_second;
    assert!(rate.abs() < 0.01, "{rate}");
}

#[test]
fn slow_is_who_was_slow_at_each_look_for_half_a_minute() {
    let mut registry = Registry::default();
    registry.register(registration("a"), 0).unwrap();
    let mut look = |second: i64, p99_ms: Option<u64>| {
        let latency = p99_ms.map(|p99_ms| Latency { p50_ms: 5, p99_ms });
        registry.seen("a", Ok(Page { latency, ..page("a", 5) }), second * 1_000);
        registry.fleet(second * 1_000).instances[0].slow_ms
    };
    for second in 0..30 {
        assert_eq!(look(second, Some(101)), None, "{second}");
    }
    assert_eq!(look(30, Some(230)), Some(230));
    // What is promised is not slow, nor is who writes nothing; either begins the half minute anew.
    for (second, quick) in [(31, Some(100)), (70, None)] {
        assert_eq!(look(second, quick), None);
        assert_eq!(look(second + 1, Some(500)), None);
        assert_eq!(look(second + 30, Some(500)), None);
        assert_eq!(look(second + 31, Some(500)), Some(500));
    }
    for _ in 0..MISSES {
        registry.seen("a", Err("refused".to_owned()), 102_000);
    }
    assert_eq!(registry.fleet(102_000).instances[0].slow_ms, None, "the dead are not slow");
}

#[test]
fn what_is_saved_comes_back_and_waits_to_be_seen() {
    let mut registry = Registry::default();
    registry.register(registration("a"), 7).unwrap();
    registry.seen("a", Ok(page("a", 5)), 8);
    let again = Registry::restored(registry.saved(), 100);
    let member = &again.fleet(101).instances[0];
    assert_eq!((member.life, member.heartbeat_ms), (Life::Expected, 7));
    assert_eq!(member.instance_id, "a");
}

#[test]
fn the_registry_has_an_end() {
    let mut registry = Registry::default();
    for number in 0..MOST_MEMBERS {
        assert!(registry.register(registration(&number.to_string()), 0).is_some());
    }
    assert!(registry.register(registration("one more"), 0).is_none());
    assert!(registry.register(registration("7"), 0).is_some());
    assert!(registry.register(Registration::default(), 0).is_none());
    registry.forget_the_old(FORGET_AFTER_MS + 1);
    assert!(registry.register(registration("one more"), FORGET_AFTER_MS + 1).is_some());
}

#[test]
fn one_that_says_that_it_stops_has_left_and_did_not_die() {
    let mut registry = Registry::default();
    registry.register(registration("a"), 1).unwrap();
    registry.seen("a", Ok(page("a", 5)), 1);
    let status = "stopping".to_owned();
    let last = Heartbeat { instance_id: "a".to_owned(), status, ..Heartbeat::default() };
    registry.heartbeat(last, 2).unwrap();
    assert_eq!(life(&registry, 3), Life::Left);
    assert!(registry.to_look_at().is_empty());
    registry.register(registration("a"), 4).unwrap();
    assert_ne!(life(&registry, 5), Life::Left);
}

fn beat(id: &str) -> Heartbeat {
    Heartbeat { instance_id: id.to_owned(), ..Heartbeat::default() }
}

#[test]
fn no_two_that_are_there_hold_one_number() {
    let mut registry = Registry::default();
    let mut lease = |id: &str, at| registry.register(registration(id), at).unwrap().0;
    assert_eq!(["a", "b", "c"].map(|id| lease(id, 1)), [1, 2, 3]);
    let named = registry.fleet(1).instances;
    assert_eq!(named[2].service_name, "data-bridge-3");
    // b dies: its number is free after the third look that brings nothing, and not before.
    registry.seen("b", Ok(page("b", 1)), 1);
    for miss in 1..MISSES {
        registry.seen("b", Err("refused".to_owned()), i64::from(miss) * 1_000);
    }
    assert_eq!(registry.register(registration("d"), 2_000), Some(Lease(4)));
    registry.seen("b", Err("refused".to_owned()), 3_000);
    assert_eq!(registry.register(registration("e"), 3_000), Some(Lease(2)));
    // It was only frozen: what it carries is another's now, and its next heartbeat says so.
    assert_eq!(registry.heartbeat(beat("b"), 4_000), Some(Lease(5)));
    assert_eq!(registry.heartbeat(beat("e"), 4_000), Some(Lease(2)));
    // One that leaves gives its number back.
    registry.heartbeat(Heartbeat { status: "stopping".to_owned(), ..beat("a") }, 5_000).unwrap();
    assert_eq!(registry.register(registration("f"), 5_000), Some(Lease(1)));
}

#[test]
fn a_number_is_kept_over_a_restart_of_the_hub_with_and_without_its_file() {
    let mut registry = Registry::default();
    registry.register(registration("a"), 1).unwrap();
    registry.register(registration("b"), 1).unwrap();
    let mut again = Registry::restored(registry.saved(), 10);
    assert_eq!(again.register(registration("c"), 11), Some(Lease(3)));
    assert_eq!(again.heartbeat(beat("b"), 12), Some(Lease(2)));
    // Without it: whoever carries a number asks for it again.
    let mut anew = Registry::default();
    assert!(anew.heartbeat(beat("b"), 20).is_none());
    let carried = |id, number| Registration { instance_number: number, ..registration(id) };
    assert_eq!(anew.register(registration("c"), 21), Some(Lease(1)));
    assert_eq!(anew.register(carried("b", 2), 22), Some(Lease(2)));
    assert_eq!(anew.register(carried("a", 1), 23), Some(Lease(3)));
}

#[test]
fn nobody_gets_the_number_of_an_instance_that_a_supervisor_starts() {
    let mut registry = Registry::default();
    assert_eq!(registry.register(registration("stranger"), 1), Some(Lease(1)));
    let expected = Expected { id: "a".to_owned(), number: 1, url: "http://h:1".to_owned() };
    registry.expect(&[expected], 2);
    assert_eq!(registry.register(registration("a"), 3), Some(Lease(1)));
    assert_eq!(registry.heartbeat(beat("stranger"), 4), Some(Lease(2)));
    let none = Registration { instance_number: 0, ..registration("no bridge") };
    assert_eq!(registry.register(none, 5), Some(Lease(0)));
}

#[test]
fn one_that_nobody_can_reach_holds_its_number_as_long_as_its_heartbeats_come() {
    let mut registry = Registry::default();
    registry.register(registration("a"), 1).unwrap();
    for look in 1..=5 {
        registry.seen("a", Err("no route to host".to_owned()), look * 1_000);
    }
    assert_eq!(registry.register(registration("b"), 6_000), Some(Lease(2)));
    assert_eq!(registry.register(registration("c"), SILENCE_MS + 2), Some(Lease(1)));
}
