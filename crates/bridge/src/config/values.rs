//! Reads known keys as typed values. A read never fails: what is wrong is noted, and the default
//! stands in until all problems are known.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use super::collect::Collected;
use super::keys::{Fallback, Key, find};
use super::kind::{self, Kind, Reason};
use super::node::{Content, Entry, Node};
use super::problem::{Origin, Problem, nearest};
use super::secret::Secret;
use super::show::{Setting, Shown};

const IN_TABLE: &str = "the path stands in the table of keys: a test reads all of them";
const IN_RANGE: &str = "the key's range lies within its type: a test reads both ends";

/// The given values, and all that is noted while they are read.
#[derive(Debug)]
pub(super) struct Values {
    given: BTreeMap<&'static str, Rc<Node>>,
    files: BTreeMap<&'static str, PathBuf>,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
    pub(super) settings: Vec<Setting>,
}

impl Values {
    pub(super) fn new(collected: Collected) -> Self {
        let Collected { given, problems, warnings, files, .. } = collected;
        Self { given, files, problems, warnings, settings: Vec::new() }
    }

    /// Where a key's value comes from.
    pub(super) fn origin(&self, path: &str) -> Origin {
        self.given.get(path).map_or(Origin::Default, |node| node.origin.clone())
    }

    /// Whether somebody set the key.
    pub(super) fn is_set(&self, path: &str) -> bool {
        self.given.get(path).is_some_and(|node| !matches!(node.content, Content::Empty))
    }

    /// Whether nothing is wrong with these keys, or below them: then a rule between them has sense.
    pub(super) fn are_sound(&self, paths: &[&str]) -> bool {
        let below = |key: &str, path: &str| {
            key.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        !self.problems.iter().any(|problem| paths.iter().any(|path| below(&problem.key, path)))
    }

    pub(super) fn refuse(
        &mut self,
        path: &'static str,
        what: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let origin = self.origin(path);
        self.problems.push(Problem::new(&origin, path, what, hint));
    }

    pub(super) fn warn(
        &mut self,
        path: &'static str,
        what: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let origin = self.origin(path);
        self.warnings.push(Problem::new(&origin, path, what, hint));
    }

    /// Notes the value that holds, for `config show`.
    pub(super) fn settle(&mut self, path: &'static str, shown: Shown) {
        let origin = self.origin(path);
        self.settings.retain(|setting| setting.path != path);
        self.settings.push(Setting { path, shown, origin });
    }

    /// Whether the key is on.
    pub(super) fn switch(&mut self, path: &'static str) -> bool {
        self.required(path, kind::switch)
    }

    pub(super) fn whole(&mut self, path: &'static str) -> i64 {
        self.required(path, |text| in_range(path, text))
    }

    pub(super) fn count32(&mut self, path: &'static str) -> NonZeroU32 {
        u32::try_from(self.whole(path)).ok().and_then(NonZeroU32::new).expect(IN_RANGE)
    }

    pub(super) fn count64(&mut self, path: &'static str) -> NonZeroU64 {
        u64::try_from(self.whole(path)).ok().and_then(NonZeroU64::new).expect(IN_RANGE)
    }

    pub(super) fn number32(&mut self, path: &'static str) -> i32 {
        i32::try_from(self.whole(path)).expect(IN_RANGE)
    }

    pub(super) fn share(&mut self, path: &'static str) -> f64 {
        self.required(path, kind::share)
    }

    pub(super) fn duration(&mut self, path: &'static str) -> Duration {
        self.required(path, |text| duration(path, text))
    }

    pub(super) fn span(&mut self, path: &'static str) -> Duration {
        self.required(path, kind::span)
    }

    /// A number that has no default of ours.
    pub(super) fn optional_count32(&mut self, path: &'static str) -> Option<u32> {
        self.one(path, |text| in_range(path, text)).map(|n| u32::try_from(n).expect(IN_RANGE))
    }

    pub(super) fn size(&mut self, path: &'static str) -> NonZeroU64 {
        let Kind::Size { min } = key(path).kind else { unreachable!("{IN_TABLE}") };
        let bytes = self.required(path, |text| match kind::parse_size(text)? {
            bytes if bytes < min => Err(Some("is out of range".to_owned())),
            bytes => Ok(bytes),
        });
        NonZeroU64::new(bytes).expect(IN_RANGE)
    }

    pub(super) fn size_or_none(&mut self, path: &'static str) -> Option<u64> {
        self.required(path, |text| match text {
            "-1" => Ok(None),
            text => kind::parse_size(text).map(Some),
        })
    }

    pub(super) fn text(&mut self, path: &'static str) -> String {
        self.required(path, |text| named(key(path).kind, text))
    }

    /// A text that has no default of ours.
    pub(super) fn optional_text(&mut self, path: &'static str) -> Option<String> {
        self.one(path, |text| named(key(path).kind, text))
    }

    pub(super) fn secret(&mut self, path: &'static str) -> Secret {
        let file = self.files.get(path).cloned();
        self.required(path, |text| {
            Ok(match &file {
                Some(file) => Secret::from_file(text, file.clone()),
                None => Secret::new(text),
            })
        })
    }

    pub(super) fn file(&mut self, path: &'static str) -> Option<PathBuf> {
        self.required(path, |text| Ok((!text.is_empty()).then(|| PathBuf::from(text))))
    }

    pub(super) fn url(&mut self, path: &'static str) -> String {
        let Kind::Url(schemes) = key(path).kind else { unreachable!("{IN_TABLE}") };
        self.required(path, |text| {
            if text.is_empty() { Ok(String::new()) } else { kind::url(text, schemes) }
        })
    }

    pub(super) fn address(&mut self, path: &'static str) -> Option<std::net::SocketAddr> {
        self.one(path, kind::address)
    }

    /// One of the key's words, as the meaning at the same index.
    pub(super) fn choice<T: Copy, const N: usize>(
        &mut self,
        path: &'static str,
        meanings: [T; N],
    ) -> T {
        let Kind::Choice(words) = key(path).kind else { unreachable!("{IN_TABLE}") };
        self.required(path, |text| match words.iter().position(|word| *word == text) {
            Some(index) => Ok(meanings[index]),
            None => Err(nearest(text, words.iter().copied())
                .map(|near| format!("is none of its words; did you mean {near}?"))),
        })
    }

    /// A list, or one text with commas.
    pub(super) fn list(
        &mut self,
        path: &'static str,
        parse: impl Fn(&str) -> Result<String, Reason>,
    ) -> Vec<String> {
        let key = key(path);
        let mut items = Vec::new();
        let before = self.problems.len();
        match self.given.get(path).cloned() {
            None => {}
            Some(node) => match &node.content {
                Content::Unfilled => {}
                Content::List(nodes) => {
                    for item in nodes {
                        match &item.content {
                            Content::Scalar(text) => self.add(key, item, text, &parse, &mut items),
                            Content::Unfilled => {}
                            Content::Empty | Content::List(_) | Content::Map(_) => {
                                self.refuse_shape(key, item);
                            }
                        }
                    }
                }
                Content::Scalar(text) => {
                    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
                        self.add(key, &node, part, &parse, &mut items);
                    }
                }
                Content::Empty | Content::Map(_) => self.refuse_shape(key, &node),
            },
        }
        let unfilled = self.given.get(path).is_some_and(|node| holds_unfilled(node));
        if items.is_empty() {
            if self.given.contains_key(path) && self.problems.len() == before && !unfilled {
                self.refuse(path, "names none", hint(key));
            }
            items = default_text(key).split(',').map(str::to_owned).collect();
        }
        self.settle(path, Shown::List(items.clone()));
        items
    }

    fn add(
        &mut self,
        key: &Key,
        node: &Node,
        text: &str,
        parse: &impl Fn(&str) -> Result<String, Reason>,
        items: &mut Vec<String>,
    ) {
        match parse(text) {
            Ok(item) => items.push(item),
            Err(reason) => self.refuse_text(key, node, text, reason),
        }
    }

    /// The entries of an open group; `None` when nobody set it.
    pub(super) fn entries(&mut self, path: &'static str) -> Option<Vec<Entry>> {
        let node = Rc::clone(self.given.get(path)?);
        match &node.content {
            Content::Map(entries) => Some(entries.clone()),
            Content::Empty => None,
            Content::Unfilled => Some(Vec::new()),
            Content::Scalar(_) | Content::List(_) => {
                self.refuse_shape(key(path), &node);
                Some(Vec::new())
            }
        }
    }

    /// A key that always has a value.
    fn required<T>(&mut self, path: &'static str, parse: impl Fn(&str) -> Result<T, Reason>) -> T {
        self.one(path, parse).expect("the key has a default of its own: a test reads all of them")
    }

    /// The given value, else the default, else nothing.
    fn one<T>(
        &mut self,
        path: &'static str,
        parse: impl Fn(&str) -> Result<T, Reason>,
    ) -> Option<T> {
        let key = key(path);
        let default = match key.default {
            Fallback::Is(text) => Some(text),
            Fallback::Says(_) => None,
        };
        if let Some(node) = self.given.get(path).cloned() {
            match &node.content {
                Content::Scalar(text) => match parse(text) {
                    Ok(value) => {
                        self.settle(path, Shown::of(key.kind, text));
                        return Some(value);
                    }
                    Err(reason) => self.refuse_text(key, &node, text, reason),
                },
                // `password:` alone is the empty text, where that is the default.
                Content::Empty if default == Some("") => {}
                Content::Empty | Content::List(_) | Content::Map(_) => {
                    self.refuse_shape(key, &node);
                }
                Content::Unfilled => {}
            }
        }
        let text = default?;
        self.settle(path, Shown::of(key.kind, text));
        Some(parse(text).expect("every default is a value of its key: a test reads all"))
    }

    fn refuse_text(&mut self, key: &Key, node: &Node, text: &str, reason: Reason) {
        let problem = if kind::has_credentials(text) && shows_host(key.kind) {
            // Not echoed: it holds a password.
            Problem::new(
                &node.origin,
                key.path,
                "has a user or a password in it",
                "write them under keys of their own, such as clickhouse.user and \
                 clickhouse.password, nats.auth.user and nats.auth.password, or kafka.properties",
            )
        } else {
            let what = match (key.kind, reason) {
                (Kind::Secret, _) => "is not a secret text".to_owned(),
                (_, Some(reason)) => format!("`{}` {reason}", short(text)),
                (_, None) => format!("cannot be `{}`", short(text)),
            };
            Problem::new(&node.origin, key.path, what, hint(key))
        };
        self.problems.push(problem);
    }

    fn refuse_shape(&mut self, key: &Key, node: &Node) {
        let what = match node.content {
            Content::Empty => "has no value".to_owned(),
            _ => format!("{} stands here", node.shape()),
        };
        self.problems.push(Problem::new(&node.origin, key.path, what, hint(key)));
    }
}

fn key(path: &str) -> &'static Key {
    find(path).expect(IN_TABLE)
}

fn default_text(key: &Key) -> &'static str {
    match key.default {
        Fallback::Is(text) => text,
        Fallback::Says(_) => "",
    }
}

/// What to write, and what holds otherwise.
fn hint(key: &Key) -> String {
    let describe = key.kind.describe();
    match key.default {
        Fallback::Is("") => format!("write {describe}"),
        Fallback::Is(text) | Fallback::Says(text) => {
            format!("write {describe}; the default is {text}")
        }
    }
}

/// A value as an error repeats it.
pub(super) fn short(text: &str) -> String {
    const MOST: usize = 60;
    if text.chars().count() <= MOST {
        text.to_owned()
    } else {
        text.chars().take(MOST).chain(['…']).collect()
    }
}

fn shows_host(kind: Kind) -> bool {
    matches!(kind, Kind::Url(_) | Kind::Urls(_) | Kind::Hosts)
}

fn holds_unfilled(node: &Node) -> bool {
    match &node.content {
        Content::Unfilled => true,
        Content::List(items) => items.iter().any(|item| holds_unfilled(item)),
        Content::Map(entries) => entries.iter().any(|entry| holds_unfilled(&entry.value)),
        Content::Empty | Content::Scalar(_) => false,
    }
}

fn in_range(path: &str, text: &str) -> Result<i64, Reason> {
    let (Kind::Whole { min, max } | Kind::Millis { min, max } | Kind::Seconds { min, max }) =
        key(path).kind
    else {
        unreachable!("{IN_TABLE}")
    };
    kind::whole(text, min, max)
}

fn duration(path: &str, text: &str) -> Result<Duration, Reason> {
    let number = u64::try_from(in_range(path, text)?).expect(IN_RANGE);
    Ok(match key(path).kind {
        Kind::Seconds { .. } => Duration::from_secs(number),
        _ => Duration::from_millis(number),
    })
}

/// A text of the kinds that restrict its letters.
pub(super) fn named(kind: Kind, text: &str) -> Result<String, Reason> {
    let blank = text.is_empty()
        || text.contains(|letter: char| letter.is_whitespace() || letter.is_control());
    let fits = match kind {
        Kind::Name => !blank,
        Kind::Identifier => kind::is_identifier(text),
        Kind::StreamName => !blank && !text.contains(['.', '*', '>', '/', '\\']),
        _ => true,
    };
    if fits { Ok(text.to_owned()) } else { Err(None) }
}
