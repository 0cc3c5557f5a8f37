//! Whether the partitions are spread as they must be: each read once, by members of one group,
//! evenly.

use std::collections::BTreeMap;

use super::seen::Seen;

/// How the group spreads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spread {
    /// Every topic evenly.
    EachTopic,
    /// All partitions together.
    InAll,
}

/// All that is wrong with the spread, worst first; nothing when it is as it must be.
pub(super) fn problems(
    seen: &[Seen],
    group: &str,
    topics: &BTreeMap<String, i32>,
    spread: Spread,
) -> Vec<String> {
    let mut problems = unfit(seen, group);
    let mut readers: BTreeMap<(&str, i32), Vec<&str>> = BTreeMap::new();
    for (topic, count) in topics {
        for partition in 0..*count {
            readers.entry((topic, partition)).or_default();
        }
    }
    for one in seen {
        for partition in one.partitions() {
            let key = (partition.topic.as_str(), partition.number);
            readers.entry(key).or_default().push(one.name());
        }
    }
    problems.extend(doubled(&readers));
    let idle: Vec<String> = readers
        .iter()
        .filter(|(_, names)| names.is_empty())
        .map(|((topic, partition), _)| format!("{topic}:{partition}"))
        .collect();
    if !idle.is_empty() {
        problems.push(format!("nobody reads {}", few(&idle)));
    }
    if problems.is_empty() {
        problems.extend(uneven(seen, topics, spread));
    }
    problems
}

/// Instances that do not answer, are not ready, or are of another group.
fn unfit(seen: &[Seen], group: &str) -> Vec<String> {
    let mut problems = Vec::new();
    for one in seen {
        let name = one.name();
        match &one.status {
            Err(why) => problems.push(format!(
                "{name} does not answer at {}: {why}; it is frozen, dead or cut off",
                one.place.url
            )),
            Ok(status) if !status.kafka_group.is_empty() && status.kafka_group != group => {
                problems.push(format!(
                    "{name} is in group {}, not in {group}: what it reads is read twice",
                    status.kafka_group
                ));
            }
            Ok(status) if !status.ready => {
                problems.push(format!("{name} is not ready: {}", status.reasons.join("; ")));
            }
            Ok(_) => {}
        }
    }
    problems
}

/// One sentence for each two that read the same.
fn doubled(readers: &BTreeMap<(&str, i32), Vec<&str>>) -> Vec<String> {
    let mut pairs: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for ((topic, partition), names) in readers {
        if names.len() > 1 {
            pairs.entry(names.join(" and ")).or_default().push(format!("{topic}:{partition}"));
        }
    }
    let sentence =
        |(names, both): (String, Vec<String>)| format!("{names} all read {}", few(&both));
    pairs.into_iter().map(sentence).collect()
}

fn uneven(seen: &[Seen], topics: &BTreeMap<String, i32>, spread: Spread) -> Vec<String> {
    let of = |topic: Option<&str>| -> Vec<(usize, &str)> {
        let count = |one: &Seen| {
            let is_of = |name: &str| topic.is_none_or(|topic| topic == name);
            one.partitions().iter().filter(|partition| is_of(&partition.topic)).count()
        };
        seen.iter().map(|one| (count(one), one.name())).collect()
    };
    let judge = |what: &str, counts: Vec<(usize, &str)>| {
        let (most, least) = (counts.iter().max()?, counts.iter().min()?);
        let text = format!("{what}: {} reads {}, {} reads {}", most.1, most.0, least.1, least.0);
        (most.0 - least.0 > 1).then_some(text)
    };
    match spread {
        Spread::EachTopic => {
            topics.keys().filter_map(|topic| judge(topic, of(Some(topic)))).collect()
        }
        Spread::InAll => judge("of all topics", of(None)).into_iter().collect(),
    }
}

/// The first few, and how many more.
fn few(names: &[String]) -> String {
    const FEW: usize = 4;
    let shown = names[..names.len().min(FEW)].join(", ");
    let more = names.len().saturating_sub(FEW);
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

/// `2 + 2 + 2`, of one topic.
pub(super) fn shown(seen: &[Seen], topic: &str) -> String {
    let count = |one: &Seen| {
        let is_of = |topic: &str, name: &str| topic == name;
        one.partitions().iter().filter(|partition| is_of(topic, &partition.topic)).count()
    };
    seen.iter().map(|one| count(one).to_string()).collect::<Vec<_>>().join(" + ")
}

#[cfg(test)]
mod tests {
    use super::super::seen::{Partition, Place, Status};
    use super::*;

    fn one(name: &str, partitions: &[i32]) -> Seen {
        let place = Place { name: name.into(), url: format!("http://{name}") };
        let partitions = partitions
            .iter()
            .map(|partition| Partition { topic: "t".into(), number: *partition, lag: 0 })
            .collect();
        let status = Status {
            instance_id: name.into(),
            kafka_group: "g".into(),
            ready: true,
            partitions,
            ..Status::default()
        };
        Seen { place, status: Ok(status) }
    }

    fn of(seen: &[Seen]) -> Vec<String> {
        problems(seen, "g", &BTreeMap::from([("t".to_owned(), 6)]), Spread::EachTopic)
    }

    #[test]
    fn an_even_spread_has_no_problem() {
        let three = [one("a", &[0, 1]), one("b", &[2, 3]), one("c", &[4, 5])];
        assert!(of(&three).is_empty(), "{:?}", of(&three));
        assert_eq!(shown(&three, "t"), "2 + 2 + 2");
        let four = [one("a", &[0, 1]), one("b", &[2, 3]), one("c", &[4]), one("d", &[5])];
        assert!(of(&four).is_empty());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let mut stranger = one("c", &[0, 1, 2, 3, 4, 5]);
        stranger.status.as_mut().unwrap().kafka_group = "other".into();
        let said = of(&[one("a", &[0, 1, 2]), one("b", &[3, 4, 5]), stranger]);
        assert!(said[0].starts_with("c is in group other, not in g"), "{said:?}");
        assert_eq!(said[1], "a and c all read t:0, t:1, t:2");
        let mut frozen = one("b", &[]);
        frozen.status = Err("no whole answer within 2000 ms".into());
        let said = of(&[one("a", &[0, 1, 2]), frozen]);
        assert!(said[0].contains("b does not answer at http://b"), "{said:?}");
        assert_eq!(said[1], "nobody reads t:3, t:4, t:5");
        let said = of(&[one("a", &[0, 1, 2, 3]), one("b", &[4, 5])]);
        assert_eq!(said, ["t: a reads 4, b reads 2"]);
    }
}
