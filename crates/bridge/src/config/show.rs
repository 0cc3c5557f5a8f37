//! The values that hold and where each comes from, as `config show` prints them.

use std::fmt::Write as _;

use super::keys::KEYS;
use super::kind::{self, Kind};
use super::problem::Origin;
use super::secret::REDACTED;

/// One key with the value that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The key, dotted.
    pub path: &'static str,
    /// Its value.
    pub shown: Shown,
    /// Who set it.
    pub origin: Origin,
}

/// A value without what is secret in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// A number, a switch, a word of a choice: no quotes.
    Plain(String),
    /// A text.
    Text(String),
    /// A secret that is set.
    Redacted,
    /// Several texts.
    List(Vec<String>),
    /// Names and values.
    Map(Vec<(String, Shown)>),
}

impl Shown {
    /// How a value of a kind is shown.
    pub(super) fn of(kind: Kind, text: &str) -> Self {
        match kind {
            Kind::Secret if text.is_empty() => Self::Text(String::new()),
            Kind::Secret => Self::Redacted,
            Kind::Size { .. } | Kind::SizeOrNone => Self::Plain(
                kind::parse_size(text).map_or_else(|_| text.to_owned(), kind::show_size),
            ),
            Kind::Span => {
                Self::Plain(kind::span(text).map_or_else(|_| text.to_owned(), kind::show_span))
            }
            Kind::Switch => Self::Plain(text.to_ascii_lowercase()),
            Kind::Whole { .. }
            | Kind::Share
            | Kind::Millis { .. }
            | Kind::Seconds { .. }
            | Kind::Choice(_) => Self::Plain(text.to_owned()),
            Kind::Text
            | Kind::Name
            | Kind::Identifier
            | Kind::StreamName
            | Kind::Filter
            | Kind::File
            | Kind::Url(_)
            | Kind::Urls(_)
            | Kind::Hosts
            | Kind::Address
            | Kind::Map
            | Kind::Routes => Self::Text(text.to_owned()),
        }
    }

    fn json(&self) -> serde_json::Value {
        match self {
            Self::Plain(text) => {
                serde_json::from_str(text).unwrap_or_else(|_| text.as_str().into())
            }
            Self::Text(text) => text.as_str().into(),
            Self::Redacted => REDACTED.into(),
            Self::List(items) => items.iter().map(String::as_str).collect(),
            Self::Map(entries) => entries
                .iter()
                .map(|(name, value)| (name.clone(), value.json()))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        }
    }

    /// As YAML on one line; `None` for what needs lines of its own.
    fn line(&self) -> Option<String> {
        match self {
            Self::Plain(text) => Some(text.clone()),
            Self::Text(text) => Some(quoted(text)),
            Self::Redacted => Some(format!("\"{REDACTED}\"")),
            Self::List(items) => {
                let items = items.iter().map(|item| quoted(item)).collect::<Vec<_>>();
                Some(format!("[{}]", items.join(", ")))
            }
            Self::Map(entries) => entries.is_empty().then(|| "{}".to_owned()),
        }
    }
}

/// A text as a YAML scalar: plain when nothing can be misread, else as JSON writes it.
fn quoted(text: &str) -> String {
    let plain = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '/')
        && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "._-/".contains(letter))
        && !["true", "false", "null", "yes", "no", "on", "off"]
            .contains(&text.to_ascii_lowercase().as_str());
    if plain {
        text.to_owned()
    } else {
        // A placeholder in a value is text by now: loaded again, it must stay so.
        serde_json::Value::from(text.replace("${", "$${")).to_string()
    }
}

/// The settings as a file that loads again, with each value's origin as a comment.
#[must_use]
pub fn yaml(settings: &[Setting]) -> String {
    let mut out = String::new();
    let mut open: Vec<&str> = Vec::new();
    for setting in in_table_order(settings) {
        let mut names = setting.path.split('.').collect::<Vec<_>>();
        let name = names.pop().unwrap_or_default();
        let shared = open.iter().zip(&names).take_while(|(left, right)| left == right).count();
        for (depth, group) in names.iter().enumerate().skip(shared) {
            line(&mut out, depth, group, "", None);
        }
        value(&mut out, names.len(), name, &setting.shown, Some(&setting.origin));
        open = names;
    }
    out
}

fn value(out: &mut String, depth: usize, name: &str, shown: &Shown, origin: Option<&Origin>) {
    match (shown.line(), shown) {
        (Some(text), _) => line(out, depth, name, &text, origin),
        (None, Shown::Map(entries)) => {
            line(out, depth, name, "", origin);
            for (inner, shown) in entries {
                value(out, depth + 1, &quoted(inner), shown, None);
            }
        }
        (None, _) => {}
    }
}

fn line(out: &mut String, depth: usize, name: &str, text: &str, origin: Option<&Origin>) {
    let space = if text.is_empty() { "" } else { " " };
    let left = format!("{:indent$}{name}:{space}{text}", "", indent = depth * 2);
    // Comments stand under each other where the values leave room.
    let written = match origin {
        Some(origin) => writeln!(out, "{left:<44}  # {origin}"),
        None => writeln!(out, "{left}"),
    };
    written.expect("writing into a String cannot fail");
}

/// The settings as JSON: `{"settings": {"kafka.brokers": {"value": …, "origin": …}, …}}`.
#[must_use]
pub fn json(settings: &[Setting]) -> serde_json::Value {
    let settings = in_table_order(settings)
        .map(|setting| {
            let entry = serde_json::json!({
                "value": setting.shown.json(),
                "origin": setting.origin.to_string(),
            });
            (setting.path.to_owned(), entry)
        })
        .collect::<serde_json::Map<_, _>>();
    serde_json::json!({ "settings": settings })
}

fn in_table_order(settings: &[Setting]) -> impl Iterator<Item = &Setting> {
    KEYS.iter().filter_map(|key| settings.iter().find(|setting| setting.path == key.path))
}
