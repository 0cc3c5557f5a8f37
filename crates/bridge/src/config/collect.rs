//! From the tree of a file to the values of known keys: unknown and double keys, old keys,
//! placeholders, then what is stronger than the file.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;

use super::environment::Environment;
use super::expand::Expansion;
use super::keys::{KEYS, VARIABLES, find};
use super::kind::Kind;
use super::legacy::{self, Meaning};
use super::node::{Content, Entry, Node};
use super::problem::{Origin, Problem, nearest};

/// The values of known keys, and what was found on the way.
#[derive(Debug, Default)]
pub(super) struct Collected {
    pub(super) given: BTreeMap<&'static str, Rc<Node>>,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
    /// Files that hold a value and nothing else, by key.
    pub(super) files: BTreeMap<&'static str, PathBuf>,
    /// Old names that were met: name, new name, value.
    renamed: Vec<(String, &'static str, Rc<Node>)>,
}

impl Collected {
    /// Takes what stands in the file.
    pub(super) fn take_file(&mut self, root: &Node, expansion: &Expansion<'_>) {
        self.refuse_doubles(root, "");
        self.take_group(root, "", expansion);
        for (old, path, node) in std::mem::take(&mut self.renamed) {
            if self.given.get(path).is_some_and(|new| words(new) != words(&node)) {
                self.warnings.push(Problem::new(
                    &node.origin,
                    old,
                    format!("is an old name of {path}, which says something else"),
                    format!("{path} holds; remove the old name"),
                ));
            }
        }
    }

    /// Takes what stands in the environment; it replaces what stands in the file.
    pub(super) fn take_environment(&mut self, environment: &Environment) {
        for (variable, path) in VARIABLES {
            let Some((key, text)) = find(path).zip(environment.get(variable)) else {
                continue;
            };
            let node = Node::scalar(Origin::Environment(variable), text);
            self.files.remove(key.path);
            self.given.insert(key.path, Rc::new(node));
        }
        if environment.get("CLICKHOUSE_URL").is_none() {
            self.take_clickhouse_parts(environment);
        }
    }

    /// `CLICKHOUSE_HOST` and `CLICKHOUSE_HTTP_PORT` replace their part of the URL.
    fn take_clickhouse_parts(&mut self, environment: &Environment) {
        let host = environment.get("CLICKHOUSE_HOST");
        let port = environment.get("CLICKHOUSE_HTTP_PORT");
        let name = match (host, port) {
            (None, None) => return,
            (Some(_), _) => "CLICKHOUSE_HOST",
            (None, Some(_)) => "CLICKHOUSE_HTTP_PORT",
        };
        let before = self.given.get("clickhouse.urls").and_then(|node| match &node.content {
            Content::Scalar(text) => text.split(',').next().map(str::to_owned),
            Content::List(items) => items.first().and_then(|item| match &item.content {
                Content::Scalar(text) => Some(text.clone()),
                Content::Empty | Content::Unfilled | Content::List(_) | Content::Map(_) => None,
            }),
            Content::Empty | Content::Unfilled | Content::Map(_) => None,
        });
        let before = before.unwrap_or_else(|| "http://localhost:8123".to_owned());
        let (scheme, rest) = before.split_once("://").unwrap_or(("http", &before));
        let (authority, _) = rest.split_once('/').unwrap_or((rest, ""));
        let (old_host, old_port) = authority.rsplit_once(':').unwrap_or((authority, "8123"));
        let url = format!("{scheme}://{}:{}", host.unwrap_or(old_host), port.unwrap_or(old_port));
        let node = Node::scalar(Origin::Environment(name), url);
        self.given.insert("clickhouse.urls", Rc::new(node));
    }

    /// Takes `--set KEY=VALUE`; the strongest.
    pub(super) fn take_flag(&mut self, flag: &'static str, path: &str, text: &str) {
        let origin = Origin::Flag(flag);
        match find(path) {
            None => self.problems.push(Problem::new(
                &origin,
                path,
                "there is no such key",
                did_you_mean(path, KEYS.iter().map(|key| key.path)),
            )),
            Some(key) if matches!(key.kind, Kind::Map | Kind::Routes) => {
                self.problems.push(Problem::new(
                    &origin,
                    path,
                    "a group of keys cannot be set by a flag",
                    "write it into the file",
                ));
            }
            Some(key) => {
                self.files.remove(key.path);
                self.given.insert(key.path, Rc::new(Node::scalar(origin, text)));
            }
        }
    }

    /// Takes the keys of one group; `path` is empty at the root.
    fn take_group(&mut self, group: &Node, path: &str, expansion: &Expansion<'_>) {
        let entries = match &group.content {
            Content::Empty | Content::Unfilled => return,
            Content::Map(entries) => entries,
            Content::Scalar(_) | Content::List(_) => {
                self.problems.push(Problem::new(
                    &group.origin,
                    path,
                    format!("{} stands where keys belong", group.shape()),
                    format!("write its keys below, such as {}", example(path)),
                ));
                return;
            }
        };
        for entry in entries {
            let full = join(path, &entry.key);
            if let Some(key) = find(&full) {
                let node = self.filled(&entry.value, &full, expansion);
                if let Content::Scalar(text) = &entry.value.content
                    && let Some(file) = expansion.file_of(text)
                {
                    self.files.insert(key.path, file);
                }
                self.given.insert(key.path, node);
            } else if is_group(&full) {
                self.take_group(&entry.value, &full, expansion);
            } else if let Some(meaning) = legacy::meaning(&full) {
                self.take_old(entry, &full, meaning, expansion);
            } else {
                self.refuse_unknown(entry, path, &full);
            }
        }
    }

    /// Takes a key of the previous service.
    fn take_old(&mut self, entry: &Entry, full: &str, meaning: Meaning, expansion: &Expansion<'_>) {
        match meaning {
            Meaning::Renamed(path) => {
                let node = self.filled(&entry.value, full, expansion);
                // The new name wins wherever it stands; nodes of the file come in its order.
                self.given.entry(path).or_insert_with(|| Rc::clone(&node));
                self.renamed.push((full.to_owned(), path, node));
            }
            Meaning::Group => {
                if let Content::Map(entries) = &entry.value.content {
                    for inner in entries {
                        let full = join(full, &inner.key);
                        if let Some(meaning) = legacy::meaning(&full) {
                            self.take_old(inner, &full, meaning, expansion);
                        }
                    }
                }
            }
            Meaning::Nothing(instead) => self.warnings.push(Problem::new(
                &entry.key_origin,
                full,
                "has no meaning any more",
                instead,
            )),
        }
    }

    fn refuse_unknown(&mut self, entry: &Entry, path: &str, full: &str) {
        let siblings = children(path);
        // The right key in the wrong group: `group_id` at the root.
        let elsewhere = KEYS
            .iter()
            .map(|key| key.path)
            .find(|key| key.rsplit('.').next() == Some(entry.key.as_str()));
        let hint = match (nearest(&entry.key, siblings.iter().copied()), elsewhere) {
            (Some(near), _) => format!("did you mean {}?", join(path, near)),
            (None, Some(elsewhere)) => format!("did you mean {elsewhere}?"),
            (None, None) => format!("known here: {}", siblings.join(", ")),
        };
        self.problems.push(Problem::new(&entry.key_origin, full, "there is no such key", hint));
    }

    fn refuse_doubles(&mut self, node: &Node, path: &str) {
        match &node.content {
            Content::Map(entries) => {
                let mut seen = BTreeMap::<&str, &Origin>::new();
                for entry in entries {
                    let full = join(path, &entry.key);
                    if let Some(first) = seen.get(entry.key.as_str()) {
                        self.problems.push(Problem::new(
                            &entry.key_origin,
                            &full,
                            format!("stands twice, first at {first}"),
                            "keep one of the two",
                        ));
                    }
                    seen.entry(&entry.key).or_insert(&entry.key_origin);
                    self.refuse_doubles(&entry.value, &full);
                }
            }
            Content::List(items) => {
                for item in items {
                    self.refuse_doubles(item, path);
                }
            }
            Content::Empty | Content::Unfilled | Content::Scalar(_) => {}
        }
    }

    /// The node with all placeholders filled.
    fn filled(&mut self, node: &Rc<Node>, path: &str, expansion: &Expansion<'_>) -> Rc<Node> {
        let content = match &node.content {
            Content::Empty | Content::Unfilled => return Rc::clone(node),
            Content::Scalar(text) => match expansion.expand(text) {
                Ok(text) => Content::Scalar(text),
                Err(unfilled) => {
                    self.problems.push(Problem::new(
                        &node.origin,
                        path,
                        unfilled.what,
                        unfilled.hint,
                    ));
                    Content::Unfilled
                }
            },
            Content::List(items) => {
                Content::List(items.iter().map(|item| self.filled(item, path, expansion)).collect())
            }
            Content::Map(entries) => Content::Map(
                entries
                    .iter()
                    .map(|entry| Entry {
                        key: entry.key.clone(),
                        key_origin: entry.key_origin.clone(),
                        value: self.filled(&entry.value, &join(path, &entry.key), expansion),
                    })
                    .collect(),
            ),
        };
        Rc::new(Node { origin: node.origin.clone(), content })
    }
}

/// `kafka` and `brokers` to `kafka.brokers`.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// "did you mean …?", or where all keys stand.
pub(super) fn did_you_mean<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, names).map_or_else(
        || "docs/configuration.md lists all keys".to_owned(),
        |near| format!("did you mean {near}?"),
    )
}

/// The words of a list or of a text with commas.
fn words(node: &Node) -> Vec<&str> {
    match &node.content {
        Content::Scalar(text) => text.split(',').map(str::trim).collect(),
        Content::List(items) => items.iter().flat_map(|item| words(item)).collect(),
        Content::Empty | Content::Unfilled | Content::Map(_) => Vec::new(),
    }
}

fn is_group(path: &str) -> bool {
    KEYS.iter().any(|key| key.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
}

/// Names of the keys and groups right below a group, in the table's order.
fn children(path: &str) -> Vec<&'static str> {
    let mut names = Vec::new();
    for key in KEYS {
        let rest = if path.is_empty() {
            Some(key.path)
        } else {
            key.path.strip_prefix(path).and_then(|rest| rest.strip_prefix('.'))
        };
        if let Some(name) = rest.and_then(|rest| rest.split('.').next())
            && !names.contains(&name)
        {
            names.push(name);
        }
    }
    names
}

/// A key below a group, as an example.
fn example(path: &str) -> String {
    children(path).first().map_or_else(|| "key: value".to_owned(), |name| format!("{name}: …"))
}
