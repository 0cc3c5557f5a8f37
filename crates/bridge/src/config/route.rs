//! `routes`: a user's own routes, as data. Column names and types come from the live table.

use std::collections::BTreeMap;
use std::time::Duration;

use super::collect::{did_you_mean, join};
use super::kind;
use super::node::{Content, Entry, Node};
use super::problem::Problem;
use super::show::Shown;
use super::subscribe::{check_subject, is_shipped};
use super::values::{Values, short};

/// One route of the user's own.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RouteConfig {
    /// Its name; never that of a shipped route.
    pub name: String,
    /// Kafka topics that it reads.
    pub topics: Vec<String>,
    /// NATS subjects that it reads.
    pub subjects: Vec<String>,
    /// The table it writes.
    pub table: String,
    /// What differs from the table's own names, by column.
    pub columns: BTreeMap<String, ColumnRule>,
    /// Columns whose absence makes a message a dead letter.
    pub required: Vec<String>,
    /// Times outside are dead letters; `None`: 1970-01-01 to 24 hours from now.
    pub time_range: Option<TimeRange>,
}

/// How a column is filled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ColumnRule {
    /// JSON keys, first match wins; empty: the column's own name.
    pub keys: Vec<String>,
    /// What happens to digits beyond the column's scale.
    pub excess_digits: ExcessDigits,
    /// Unit of a time; `None`: integer milliseconds, or an ISO 8601 text.
    pub time: Option<TimeUnit>,
}

/// What happens to digits beyond a column's scale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExcessDigits {
    /// Rounded half-even.
    #[default]
    Round,
    /// A dead letter.
    Reject,
}

/// Unit of a time in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeUnit {
    /// Seconds since 1970.
    Seconds,
    /// Milliseconds since 1970.
    Milliseconds,
    /// Microseconds since 1970.
    Microseconds,
    /// An ISO 8601 text.
    Iso,
}

/// Times that a route accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TimeRange {
    /// The earliest, always [`TimeBound::At`].
    pub from: TimeBound,
    /// The latest.
    pub to: TimeBound,
}

/// An end of a time range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeBound {
    /// Milliseconds since 1970.
    At(i64),
    /// This long after the moment of decoding.
    AfterNow(Duration),
}

const PATH: &str = "routes";

/// Reads all routes.
pub(super) fn read(values: &mut Values) -> Vec<RouteConfig> {
    let entries = values.entries(PATH).unwrap_or_default();
    let shown =
        entries.iter().map(|entry| (entry.key.clone(), shown(&entry.value))).collect::<Vec<_>>();
    values.settle(PATH, Shown::Map(shown));
    let mut routes = entries.iter().filter_map(|entry| route(values, entry)).collect::<Vec<_>>();
    routes.sort_by(|left, right| left.name.cmp(&right.name));
    routes
}

/// A route is shown as it was written: nothing in it is secret.
fn shown(node: &Node) -> Shown {
    let text = |node: &Node| match &node.content {
        Content::Scalar(text) => text.clone(),
        Content::Empty | Content::Unfilled | Content::List(_) | Content::Map(_) => String::new(),
    };
    match &node.content {
        Content::Map(entries) => Shown::Map(
            entries.iter().map(|entry| (entry.key.clone(), shown(&entry.value))).collect(),
        ),
        Content::List(items) => Shown::List(items.iter().map(|item| text(item)).collect()),
        Content::Empty | Content::Unfilled | Content::Scalar(_) => Shown::Text(text(node)),
    }
}

fn route(values: &mut Values, entry: &Entry) -> Option<RouteConfig> {
    let path = join(PATH, &entry.key);
    if is_shipped(&entry.key) {
        values.problems.push(Problem::new(
            &entry.key_origin,
            &path,
            "is the name of a route that ships with the bridge",
            "give your route a name of its own",
        ));
    }
    let known = ["from", "table", "columns", "required", "time_range"];
    let group = Group::open(values, &entry.value, &path, &known)?;
    let from = group.group(values, "from", &["topics", "subjects"]);
    let (topics, subjects) = from.map_or_else(Default::default, |from| {
        let topics = from.texts(values, "topics", |topic| {
            if kind::is_identifier(topic) { Ok(()) } else { Err("is no name of a topic") }
        });
        (topics, from.texts(values, "subjects", check_subject))
    });
    let table = group.text(values, "table").unwrap_or_default();
    if table.is_empty() && group.find("table").is_none_or(Node::is_empty_text) {
        values.problems.push(Problem::new(
            &entry.key_origin,
            &path,
            "names no table",
            "write table: and the name of a ReplacingMergeTree table",
        ));
    }
    let mut columns = BTreeMap::new();
    for (name, node) in group.all(values, "columns") {
        columns.extend(
            column(values, &node, &join(&join(&path, "columns"), &name)).map(|rule| (name, rule)),
        );
    }
    let required = group.texts(values, "required", |_| Ok(()));
    let time_range = group.group(values, "time_range", &["from", "to"]).and_then(|range| {
        let from = range.bound(values, "from", TimeBound::At(0));
        let to = range.bound(values, "to", TimeBound::AfterNow(Duration::from_hours(24)));
        Some(TimeRange { from: from?, to: to? })
    });
    Some(RouteConfig {
        name: entry.key.clone(),
        topics,
        subjects,
        table,
        columns,
        required,
        time_range,
    })
}

fn column(values: &mut Values, node: &Node, path: &str) -> Option<ColumnRule> {
    let group = Group::open(values, node, path, &["keys", "excess_digits", "time"])?;
    let excess = [("round", ExcessDigits::Round), ("reject", ExcessDigits::Reject)];
    let units = [
        ("ms", TimeUnit::Milliseconds),
        ("s", TimeUnit::Seconds),
        ("us", TimeUnit::Microseconds),
        ("iso", TimeUnit::Iso),
    ];
    Some(ColumnRule {
        keys: group.texts(values, "keys", |_| Ok(())),
        excess_digits: group.word(values, "excess_digits", &excess).unwrap_or_default(),
        time: group.word(values, "time", &units),
    })
}

/// Keys below a route.
struct Group<'a> {
    path: String,
    entries: &'a [Entry],
}

impl<'a> Group<'a> {
    /// Opens a group and refuses keys that it does not know.
    fn open(values: &mut Values, node: &'a Node, path: &str, known: &[&str]) -> Option<Self> {
        let group = Self::open_any(values, node, path)?;
        for entry in group.entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            let path = join(path, &entry.key);
            let hint = match did_you_mean(&entry.key, known.iter().copied()) {
                hint if hint.starts_with("did") => hint,
                _ => format!("known here: {}", known.join(", ")),
            };
            values.problems.push(Problem::new(
                &entry.key_origin,
                path,
                "there is no such key",
                hint,
            ));
        }
        Some(group)
    }

    fn open_any(values: &mut Values, node: &'a Node, path: &str) -> Option<Self> {
        match &node.content {
            Content::Map(entries) => Some(Self { path: path.to_owned(), entries }),
            Content::Unfilled => None,
            Content::Empty | Content::Scalar(_) | Content::List(_) => {
                values.problems.push(Problem::new(
                    &node.origin,
                    path,
                    format!("{} stands where keys belong", node.shape()),
                    "docs/configuration.md has an example of a route",
                ));
                None
            }
        }
    }

    fn find(&self, name: &str) -> Option<&'a Node> {
        self.entries.iter().find(|entry| entry.key == name).map(|entry| &*entry.value)
    }

    fn group(&self, values: &mut Values, name: &str, known: &[&str]) -> Option<Group<'a>> {
        Group::open(values, self.find(name)?, &join(&self.path, name), known)
    }

    /// All entries of an open group.
    fn all(&self, values: &mut Values, name: &str) -> Vec<(String, std::rc::Rc<Node>)> {
        self.find(name)
            .and_then(|node| Group::open_any(values, node, &join(&self.path, name)))
            .map(|group| {
                let entries = group.entries.iter();
                entries.map(|entry| (entry.key.clone(), std::rc::Rc::clone(&entry.value))).collect()
            })
            .unwrap_or_default()
    }

    fn refuse(&self, values: &mut Values, name: &str, node: &Node, what: String, hint: String) {
        let path = join(&self.path, name);
        values.problems.push(Problem::new(&node.origin, path, what, hint));
    }

    /// One text.
    fn text(&self, values: &mut Values, name: &str) -> Option<String> {
        let node = self.find(name)?;
        match &node.content {
            Content::Scalar(text) => Some(text.clone()),
            Content::Unfilled => None,
            Content::Empty | Content::List(_) | Content::Map(_) => {
                let what = format!("{} stands here", node.shape());
                self.refuse(values, name, node, what, "write one text".to_owned());
                None
            }
        }
    }

    /// A list of texts, or one.
    fn texts(
        &self,
        values: &mut Values,
        name: &str,
        check: impl Fn(&str) -> Result<(), &'static str>,
    ) -> Vec<String> {
        let Some(node) = self.find(name) else {
            return Vec::new();
        };
        let items = match &node.content {
            Content::List(items) => items.iter().map(|item| &**item).collect(),
            _ => vec![node],
        };
        let mut texts = Vec::new();
        for item in items {
            match &item.content {
                Content::Scalar(text) => match check(text) {
                    Ok(()) => texts.push(text.clone()),
                    Err(what) => {
                        let what = format!("`{}` {what}", short(text));
                        let hint = "docs/configuration.md has an example of a route";
                        self.refuse(values, name, item, what, hint.to_owned());
                    }
                },
                Content::Unfilled => {}
                Content::Empty | Content::List(_) | Content::Map(_) => {
                    let what = format!("{} stands here", item.shape());
                    self.refuse(values, name, item, what, "write a list of texts".to_owned());
                }
            }
        }
        texts
    }

    /// One of a few words, as its meaning.
    fn word<T: Copy>(&self, values: &mut Values, name: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(values, name)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning);
        if found.is_none()
            && let Some(node) = self.find(name)
        {
            let all = words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
            let what = format!("cannot be `{}`", short(&text));
            self.refuse(values, name, node, what, format!("write one of {all}"));
        }
        found
    }

    /// An end of a time range: a date or an RFC 3339 time, and at its end also `now+24h`.
    fn bound(&self, values: &mut Values, name: &str, default: TimeBound) -> Option<TimeBound> {
        let Some(text) = self.text(values, name) else {
            return Some(default);
        };
        let found = time_bound(&text).filter(|bound| match (default, bound) {
            (TimeBound::At(_), TimeBound::AfterNow(_)) => false,
            (TimeBound::At(_) | TimeBound::AfterNow(_), _) => true,
        });
        if found.is_none()
            && let Some(node) = self.find(name)
        {
            let or = match default {
                TimeBound::At(_) => "",
                TimeBound::AfterNow(_) => ", or now+24h",
            };
            let what = format!("`{}` is no time", short(&text));
            let hint = format!(
                "write a date such as 1970-01-01 or a time such as 1970-01-01T00:00:00Z{or}"
            );
            self.refuse(values, name, node, what, hint);
        }
        found
    }
}

fn time_bound(text: &str) -> Option<TimeBound> {
    if let Some(rest) = text.strip_prefix("now") {
        let rest = rest.trim();
        let after = match rest.strip_prefix('+') {
            Some(after) => kind::span(after.trim()).ok()?,
            None if rest.is_empty() => Duration::ZERO,
            None => return None,
        };
        return Some(TimeBound::AfterNow(after));
    }
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Some(TimeBound::At(time.as_millisecond()));
    }
    let date = text.parse::<jiff::civil::Date>().ok()?;
    let midnight = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(TimeBound::At(midnight.timestamp().as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_bounds_are_dates_times_or_spans_from_now() {
        assert_eq!(time_bound("1970-01-02"), Some(TimeBound::At(86_400_000)));
        assert_eq!(time_bound("1970-01-01T00:00:01Z"), Some(TimeBound::At(1000)));
        assert_eq!(time_bound("now + 24h"), Some(TimeBound::AfterNow(Duration::from_hours(24))));
        assert_eq!(time_bound("now"), Some(TimeBound::AfterNow(Duration::ZERO)));
        for bad in ["", "tomorrow", "now+", "now-1h", "1970-13-01"] {
            assert_eq!(time_bound(bad), None, "{bad}");
        }
    }
}
