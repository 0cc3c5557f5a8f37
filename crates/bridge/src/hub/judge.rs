//! One sentence on the fleet: what an operator must know first.

use super::events::{Weight, clean};
use super::fleet::{Fleet, Life, Member, Verdict};

/// Lag from which it is worth a word.
const MUCH_LAG: u64 = 10_000;

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
    } else if !held.is_empty() {
        let text = "fetching is held back: ClickHouse takes rows more slowly than they come";
        (Weight::Warn, format!("{}: {text}", names(&held)))
    } else if lag > MUCH_LAG {
        (Weight::Warn, format!("all ready; {lag} messages wait"))
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
    use crate::hub::fleet::Totals;

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
        assert_eq!(said(vec![up("a"), held]).0, Weight::Warn);
        assert_eq!(said(vec![up("a")]).0, Weight::Good);
        let behind = Fleet {
            totals: Totals { up: 1, lag: 10_001, ..Totals::default() },
            ..fleet(vec![up("a")])
        };
        assert_eq!(worst(&behind), (Weight::Warn, "all ready; 10001 messages wait".into()));
    }
}
