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
    assert!(!registry.heartbeat(beat.clone(), 1));
    assert!(registry.register(registration("a"), 2));
    assert!(registry.heartbeat(beat, 3));
    let member = &registry.fleet(4).instances[0];
    assert_eq!((member.heartbeats, member.heartbeat_ms), (1, 3));
}

#[test]
fn a_member_that_is_only_expected_has_to_register_too() {
    let mut registry = Registry::default();
    let expected = Expected { id: "a".to_owned(), number: 1, url: "http://h:1".to_owned() };
    registry.expect(&[expected], 0);
    let beat = Heartbeat { instance_id: "a".to_owned(), ..Heartbeat::default() };
    assert!(!registry.heartbeat(beat, 1));
    assert_eq!(registry.to_look_at().len(), 1);
    registry.expect(&[], 2);
    assert!(registry.fleet(3).instances.is_empty());
}

#[test]
fn three_misses_are_death_and_one_answer_is_life() {
    let mut registry = Registry::default();
    registry.register(registration("a"), 0);
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
    registry.register(registration("a"), 0);
    for second in 1..=3 {
        registry.seen("a", Ok(page("b", 5)), second * 1_000);
    }
    let fleet = registry.fleet(3_000);
    assert_eq!(fleet.instances[0].life, Life::Dead);
    assert!(fleet.instances[0].reasons[0].contains("another instance answers there: b"));
}

#[test]
fn rates_are_over_the_last_seconds_and_begin_anew_with_the_instance() {
    let mut registry = Registry::default();
    registry.register(registration("a"), 0);
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
fn what_is_saved_comes_back_and_waits_to_be_seen() {
    let mut registry = Registry::default();
    registry.register(registration("a"), 7);
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
        assert!(registry.register(registration(&number.to_string()), 0));
    }
    assert!(!registry.register(registration("one more"), 0));
    assert!(registry.register(registration("7"), 0));
    assert!(!registry.register(Registration::default(), 0));
    registry.forget_the_old(FORGET_AFTER_MS + 1);
    assert!(registry.register(registration("one more"), FORGET_AFTER_MS + 1));
}

#[test]
fn one_that_says_that_it_stops_has_left_and_did_not_die() {
    let mut registry = Registry::default();
    registry.register(registration("a"), 1);
    registry.seen("a", Ok(page("a", 5)), 1);
    let status = "stopping".to_owned();
    registry
        .heartbeat(Heartbeat { instance_id: "a".to_owned(), status, ..Heartbeat::default() }, 2);
    assert_eq!(life(&registry, 3), Life::Left);
    assert!(registry.to_look_at().is_empty());
    registry.register(registration("a"), 4);
    assert_ne!(life(&registry, 5), Life::Left);
}
