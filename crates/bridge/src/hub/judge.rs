//! One sentence on the fleet: what an operator must know first.

use super::events::{Weight, clean};
use super::fleet::{Fleet, Life, Member, Verdict};

/// Lag from which it is worth a word, as `DataBridgeLag` has it.
const MUCH_LAG: u64 = 10_000;
/// A p99 above this is worth a word, as `DataBridgeSlow` has it,
pub(super) const SLOW_MS: u64 = 100;
/// once it lasts so long: each figure is of ten seconds, and a rebalance is no reason to look.
pub(super) const SLOW_FOR_MS: i64 = 30_000;

/// How the fleet is: of all that is wrong, the worst.
pub(super) fn judge(fleet: &Fleet) -> Verdict {
    let (weight, text) = worst(fleet);
    Verdict { weight, text: clean(&text) }
}

fn worst(fleet: &Fleet) -> (Weight, String) {
    let are = |wanted: fn(&Member) -> bool| -> Vec<&Member> {
        fleet.instances.iter().filter(|one| wanted(one)).collect()
    };
    let dead = are(|one| one.life == Life::Dead);
    let unready = are(|one| one.life == Life::Up && !one.ready);
    let held = are(|one| one.life == Life::Up && one.backpressure);
    let slow = fleet.instances.iter().filter_map(|one| Some((one, one.slow_ms?)));
    let slow: Vec<_> =
        slow.map(|(one, p99)| format!("{} (p99 {p99} ms)", one.instance_id)).collect();
    let lag = fleet.totals.lag;
    if fleet.instances.is_empty() {
        (Weight::Warn, "no instance has registered yet".to_owned())
    } else if let [one, ..] = dead[..] {
        (Weight::Bad, format!("{} not answer", does(&dead, one)))
    } else if let [one, ..] = unready[..] {
        let why = one.reasons.first().map(|why| format!(": {why}")).unwrap_or_default();
        (Weight::Bad, format!("{} not ready{why}", names(&unready)))
    } else if fleet.totals.up == 0 {
        (Weight::Warn, "no instance is up".to_owned())
    } else if let Some(which) = fleet.which_is_unread() {
        (Weight::Bad, which)
    } else if !held.is_empty() {
        let text = "fetching is held back: ClickHouse takes rows more slowly than they come";
        (Weight::Warn, format!("{}: {text}", names(&held)))
    } else if lag > MUCH_LAG {
        (Weight::Warn, format!("all ready; {lag} messages wait"))
    } else if !slow.is_empty() {
        let (names, seconds) = (slow.join(", "), SLOW_FOR_MS / 1_000);
        (Weight::Warn, format!("slow: {names}; above {SLOW_MS} ms for {seconds} s or longer"))
    } else {
        (Weight::Good, "all is well: nothing stuck, nothing behind".to_owned())
    }
}

fn names(list: &[&Member]) -> String {
    list.iter().map(|one| one.instance_id.as_str()).collect::<Vec<_>>().join(", ")
}

fn does(list: &[&Member], one: &Member) -> String {
    if list.len() == 1 {
        format!("{} does", one.instance_id)
    } else {
        format!("{} do", names(list))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::fleet::{Totals, Unread};

    fn fleet(instances: Vec<Member>) -> Fleet {
        let up = instances.iter().filter(|one| one.life == Life::Up).count();
        Fleet { totals: Totals { up, ..Totals::default() }, instances, ..Fleet::default() }
    }

    fn up(id: &str) -> Member {
        Member { instance_id: id.into(), life: Life::Up, ready: true, ..Member::default() }
    }

    #[test]
    fn the_worst_comes_first() {
        let dead = |id: &str| Member { life: Life::Dead, ready: false, ..up(id) };
        let unready = Member { ready: false, reasons: vec!["topic x".into()], ..up("c") };
        let held = Member { backpressure: true, ..up("d") };
        let said = |instances| worst(&fleet(instances));
        assert_eq!(said(vec![]), (Weight::Warn, "no instance has registered yet".into()));
        assert_eq!(
            said(vec![up("a"), dead("b"), unready.clone()]),
            (Weight::Bad, "b does not answer".into())
        );
        assert_eq!(said(vec![dead("a"), dead("b")]), (Weight::Bad, "a, b do not answer".into()));
        assert_eq!(
            said(vec![up("a"), unready, held.clone()]),
            (Weight::Bad, "c not ready: topic x".into())
        );
        let nobody = |partition| Unread { topic: "t".into(), partition, ..Unread::default() };
        let stuck = Fleet { unread: vec![nobody(3), nobody(5)], ..fleet(vec![held.clone()]) };
        assert_eq!(
            worst(&stuck),
            (Weight::Bad, "2 partitions are read by no instance: t:3, t:5".into())
        );
        let slow = |id: &str, p99| Member { slow_ms: Some(p99), ..up(id) };
        let (weight, text) = said(vec![held, slow("a", 230)]);
        assert!(weight == Weight::Warn && text.starts_with("d: fetching is held back"), "{text}");
        let text = "slow: a (p99 230 ms), b (p99 101 ms); above 100 ms for 30 s or longer";
        assert_eq!(
            said(vec![slow("a", 230), slow("b", 101), up("c")]),
            (Weight::Warn, text.into())
        );
        assert_eq!(said(vec![up("a")]).0, Weight::Good);
        let behind = Fleet {
            totals: Totals { up: 1, lag: 10_001, ..Totals::default() },
            ..fleet(vec![slow("a", 500)])
        };
        assert_eq!(worst(&behind), (Weight::Warn, "all ready; 10001 messages wait".into()));
    }

    #[test]
    fn the_page_and_the_alerts_have_the_same_bounds() {
        let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/prometheus/rules.yaml");
        let rules = std::fs::read_to_string(rules).unwrap();
        for bound in [
            format!("data_bridge:lag_messages > {MUCH_LAG}\n"),
            format!("data_bridge:produce_to_durable_seconds:p99 > 0.{}\n", SLOW_MS / 100),
        ] {
            assert!(rules.contains(&bound), "{bound}");
        }
    }
}
