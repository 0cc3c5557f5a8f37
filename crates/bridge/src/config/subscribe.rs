//! Which topic and which subject leads to which route.

use std::collections::BTreeMap;

use data_bridge_core::catalog::EXTERNAL_TYPES;

use super::kind::is_identifier;
use super::legacy::{CONFIRMATION, OldName, old_name};
use super::nats::SubjectRoute;
use super::node::{Content, Entry};
use super::problem::{Origin, Problem, nearest};
use super::route::RouteConfig;
use super::show::Shown;
use super::values::{Values, short};

/// Name of the route that stands for those of all [`EXTERNAL_TYPES`].
const EXTERNAL: &str = "external";

/// Topics of the shipped routes, with their routes.
fn shipped_topics() -> BTreeMap<String, String> {
    let external = EXTERNAL_TYPES.iter().map(|kind| (external_topic(kind), external_route(kind)));
    [("tick_archive", "ticks"), ("aggregate_archive", "aggregates")]
        .into_iter()
        .map(|(topic, route)| (topic.to_owned(), route.to_owned()))
        .chain(external)
        .collect()
}

/// Subjects of the shipped routes, with their routes.
fn shipped_subjects() -> BTreeMap<String, SubjectRoute> {
    BTreeMap::from([
        ("market.*.tick".to_owned(), SubjectRoute::Named("ticks".to_owned())),
        ("market.*.*".to_owned(), SubjectRoute::Named("aggregates".to_owned())),
        ("market.external.*".to_owned(), SubjectRoute::ExternalByType),
    ])
}

fn external_topic(kind: &str) -> String {
    format!("market.external.{kind}")
}

fn external_route(kind: &str) -> String {
    format!("external_{kind}")
}

/// Whether the binary ships a route of this name.
pub(super) fn is_shipped(name: &str) -> bool {
    shipped_routes().any(|route| route == name)
}

fn shipped_routes() -> impl Iterator<Item = String> {
    ["ticks", "aggregates", EXTERNAL]
        .into_iter()
        .map(str::to_owned)
        .chain(EXTERNAL_TYPES.iter().map(|kind| external_route(kind)))
}

/// Reads `kafka.topics`, and adds the topics of the user's own routes.
pub(super) fn topics(values: &mut Values, routes: &[RouteConfig]) -> BTreeMap<String, String> {
    const PATH: &str = "kafka.topics";
    let mut topics = BTreeMap::new();
    match values.entries(PATH) {
        None => topics = shipped_topics(),
        Some(entries) => {
            let mut places = BTreeMap::new();
            for entry in entries {
                let Some((topic, route)) = topic(values, &entry, routes) else {
                    continue;
                };
                if let Some(first) = places.insert(topic.clone(), entry.key_origin.clone()) {
                    values.problems.push(twice(&entry, PATH, &topic, &first));
                }
                topics.insert(topic, route);
            }
        }
    }
    for route in routes {
        for topic in &route.topics {
            let before = topics.insert(topic.clone(), route.name.clone());
            if let Some(before) = before.filter(|before| *before != route.name) {
                values.problems.push(contradicts(values, PATH, topic, &before, &route.name));
            }
        }
    }
    let shown = topics.iter().map(|(topic, route)| (topic.clone(), Shown::Text(route.clone())));
    values.settle(PATH, Shown::Map(shown.collect()));
    topics
}

/// Reads `nats.subjects`, and adds the subjects of the user's own routes.
pub(super) fn subjects(
    values: &mut Values,
    routes: &[RouteConfig],
) -> BTreeMap<String, SubjectRoute> {
    const PATH: &str = "nats.subjects";
    let mut subjects = BTreeMap::new();
    match values.entries(PATH) {
        None => subjects = shipped_subjects(),
        Some(entries) => {
            let mut places = BTreeMap::new();
            for entry in entries {
                let Some((subject, route)) = subject(values, &entry, routes) else {
                    continue;
                };
                if let Some(first) = places.insert(subject.clone(), entry.key_origin.clone()) {
                    values.problems.push(twice(&entry, PATH, &subject, &first));
                }
                subjects.insert(subject, route);
            }
        }
    }
    for route in routes {
        for subject in &route.subjects {
            let named = SubjectRoute::Named(route.name.clone());
            let before = subjects.insert(subject.clone(), named.clone());
            if let Some(before) = before.filter(|before| *before != named) {
                let before = before.name().to_owned();
                values.problems.push(contradicts(values, PATH, subject, &before, &route.name));
            }
        }
    }
    let shown = subjects
        .iter()
        .map(|(subject, route)| (subject.clone(), Shown::Text(route.name().to_owned())));
    values.settle(PATH, Shown::Map(shown.collect()));
    subjects
}

/// `topic: route`, or `old name: topic`.
fn topic(values: &mut Values, entry: &Entry, routes: &[RouteConfig]) -> Option<(String, String)> {
    let (topic, route) = pair(values, "kafka.topics", entry, routes, |_| true)?;
    let path = path("kafka.topics", entry);
    if !is_identifier(&topic) || topic == "." || topic == ".." {
        values.problems.push(Problem::new(
            &entry.key_origin,
            path,
            format!("`{}` is no name of a topic", short(&topic)),
            "write letters, digits, `.`, `_` and `-`, at most 249 of them",
        ));
        return None;
    }
    if route != EXTERNAL {
        return Some((topic, route));
    }
    let kind = topic.rsplit('.').next().unwrap_or_default();
    if EXTERNAL_TYPES.contains(&kind) {
        let route = external_route(kind);
        return Some((topic, route));
    }
    values.problems.push(Problem::new(
        &entry.value.origin,
        path,
        format!("the topic's last word `{}` is no type of external event", short(kind)),
        format!("name the route itself: one of {}", external_routes()),
    ));
    None
}

/// `pattern: route`, or `old name: pattern`.
fn subject(
    values: &mut Values,
    entry: &Entry,
    routes: &[RouteConfig],
) -> Option<(String, SubjectRoute)> {
    let is_pattern = |value: &str| value.contains(['.', '*', '>']);
    let (subject, route) = pair(values, "nats.subjects", entry, routes, is_pattern)?;
    let path = path("nats.subjects", entry);
    if let Err(what) = check_subject(&subject) {
        let what = format!("`{}` {what}", short(&subject));
        values.problems.push(Problem::new(
            &entry.key_origin,
            path,
            what,
            "write words with `.` between; `*` is any word, `>` at the end any words",
        ));
        return None;
    }
    if route != EXTERNAL {
        return Some((subject, SubjectRoute::Named(route)));
    }
    let kind = subject.rsplit('.').next().unwrap_or_default();
    if kind == "*" || kind == ">" {
        return Some((subject, SubjectRoute::ExternalByType));
    }
    if EXTERNAL_TYPES.contains(&kind) {
        let route = SubjectRoute::Named(external_route(kind));
        return Some((subject, route));
    }
    values.problems.push(Problem::new(
        &entry.value.origin,
        path,
        format!("the subject's last word `{}` is no type of external event", short(kind)),
        format!("name the route itself: one of {}", external_routes()),
    ));
    None
}

/// An entry as (topic or subject, route), whichever way round it is written.
fn pair(
    values: &mut Values,
    group: &str,
    entry: &Entry,
    routes: &[RouteConfig],
    is_target: impl Fn(&str) -> bool,
) -> Option<(String, String)> {
    let path = path(group, entry);
    let text = match &entry.value.content {
        Content::Scalar(text) => text,
        Content::Unfilled => return None,
        Content::Empty | Content::List(_) | Content::Map(_) => {
            let what = format!("{} stands where a route belongs", entry.value.shape());
            let hint = format!("write {}: and the name of a route", short(&entry.key));
            values.problems.push(Problem::new(&entry.value.origin, path, what, hint));
            return None;
        }
    };
    if is_shipped(text) || routes.iter().any(|route| route.name == *text) {
        return Some((entry.key.clone(), text.clone()));
    }
    match old_name(&entry.key) {
        Some(OldName::Confirmation) => {
            let (what, hint) = CONFIRMATION;
            values.warnings.push(Problem::new(&entry.key_origin, path, what, hint));
            return None;
        }
        Some(OldName::Route(route)) if is_target(text) => {
            // Without a pattern's marks, a misspelled route looks like a topic: say what was read.
            if *text != entry.key && !text.contains(['*', '>']) && group == "kafka.topics" {
                values.warnings.push(Problem::new(
                    &entry.value.origin,
                    path,
                    format!("is read as in the previous service: topic `{}`", short(text)),
                    format!("to be plain, write {}: {route}", short(text)),
                ));
            }
            return Some((text.clone(), route.to_owned()));
        }
        Some(OldName::Route(_)) | None => {}
    }
    let known =
        shipped_routes().chain(routes.iter().map(|route| route.name.clone())).collect::<Vec<_>>();
    let hint = nearest(text, known.iter().map(String::as_str)).map_or_else(
        || format!("write one of {}, or define it under routes", known.join(", ")),
        |near| format!("did you mean {near}?"),
    );
    let what = format!("there is no route `{}`", short(text));
    values.problems.push(Problem::new(&entry.value.origin, path, what, hint));
    None
}

/// Checks a NATS subject or pattern.
///
/// # Errors
/// What is wrong with it.
pub(super) fn check_subject(subject: &str) -> Result<(), &'static str> {
    if subject.is_empty()
        || subject.contains(|letter: char| letter.is_whitespace() || letter.is_control())
    {
        return Err("is empty or has a blank in it");
    }
    let mut words = subject.split('.').peekable();
    while let Some(word) = words.next() {
        match word {
            "" => return Err("has an empty word"),
            "*" => {}
            ">" if words.peek().is_none() => {}
            ">" => return Err("has a `>` before its end"),
            word if word.contains(['*', '>']) => return Err("has `*` or `>` within a word"),
            _ => {}
        }
    }
    Ok(())
}

fn path(group: &str, entry: &Entry) -> String {
    format!("{group}.{}", short(&entry.key))
}

fn external_routes() -> String {
    EXTERNAL_TYPES.iter().map(|kind| external_route(kind)).collect::<Vec<_>>().join(", ")
}

fn twice(entry: &Entry, group: &str, name: &str, first: &Origin) -> Problem {
    Problem::new(
        &entry.key_origin,
        path(group, entry),
        format!("`{}` has a route already, at {first}", short(name)),
        "keep one of the two",
    )
}

fn contradicts(values: &Values, path: &str, name: &str, before: &str, route: &str) -> Problem {
    let origin = match values.origin(path) {
        Origin::Default => values.origin("routes"),
        origin => origin,
    };
    Problem::new(
        &origin,
        path,
        format!("`{}` leads to {before}, and routes.{route}.from claims it too", short(name)),
        format!("let one of the two go, or write {}: {route} under {path}", short(name)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_words_with_wildcards_as_nats_has_them() {
        for good in ["ticks.>", "market.*.tick", ">", "*", "a.b-c_d"] {
            assert_eq!(check_subject(good), Ok(()), "{good}");
        }
        for bad in ["", "a..b", ".a", "a.", "a.>.b", "a.b*", "a b", "a.>x"] {
            assert!(check_subject(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn all_shipped_routes_are_subscribed_by_default() {
        let topics = shipped_topics();
        assert_eq!(topics.len(), 8);
        assert_eq!(topics["market.external.fred_economic"], "external_fred_economic");
        assert_eq!(topics["tick_archive"], "ticks");
        let catalog = data_bridge_core::catalog::Catalog::shipped();
        let mut shipped =
            catalog.routes().iter().map(|route| route.name.as_str()).collect::<Vec<_>>();
        shipped.sort_unstable();
        let mut subscribed = topics.values().map(String::as_str).collect::<Vec<_>>();
        subscribed.sort_unstable();
        assert_eq!(subscribed, shipped);
        assert!(topics.values().all(|route| is_shipped(route)));
    }
}
