//! A YAML file as a tree in which every node knows its place.
//!
//! Built from a parser's events and not by a deserializer: that stops at the first error, and we
//! name them all.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, Span};

use super::problem::{Origin, Problem};

/// Deeper files are refused: our deepest key has five levels.
const DEEPEST: usize = 32;

/// A node and its place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) origin: Origin,
    pub(super) content: Content,
}

#[derive(Clone, Debug)]
pub(super) enum Content {
    /// Nothing: `key:` alone, `~`, `null`.
    Empty,
    /// A value whose placeholder could not be filled, which has been said already.
    Unfilled,
    Scalar(String),
    List(Vec<Rc<Node>>),
    Map(Vec<Entry>),
}

/// `key: value`.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_origin: Origin,
    pub(super) value: Rc<Node>,
}

impl Node {
    pub(super) fn scalar(origin: Origin, text: impl Into<String>) -> Self {
        Self { origin, content: Content::Scalar(text.into()) }
    }

    pub(super) fn is_empty_text(&self) -> bool {
        matches!(&self.content, Content::Scalar(text) if text.is_empty())
    }

    /// What stands here, in words.
    pub(super) fn shape(&self) -> &'static str {
        match self.content {
            Content::Empty => "nothing",
            Content::Unfilled | Content::Scalar(_) => "a single value",
            Content::List(_) => "a list",
            Content::Map(_) => "a group of keys",
        }
    }
}

/// Reads a file's text. What can be read is returned even when something is wrong with it.
pub(super) fn parse(file: &str, text: &str, problems: &mut Vec<Problem>) -> Rc<Node> {
    let file: Arc<str> = Arc::from(file);
    let mut tree = Tree::new(Arc::clone(&file));
    for event in Parser::new_from_str(text) {
        let done = match event {
            Ok((event, span)) => tree.take(event, span, problems),
            Err(error) => {
                let marker = error.marker();
                let origin = Origin::File { file, line: marker.line(), column: marker.col() + 1 };
                problems.push(unreadable(&origin, &error));
                break;
            }
        };
        if done {
            break;
        }
    }
    tree.root
}

/// The parser's own words, except where they would repeat what stands in the file.
fn unreadable(origin: &Origin, error: &granit_parser::ScanError) -> Problem {
    let what = match error.kind() {
        ErrorKind::UnknownAnchor => "an alias (*name) without its anchor (&name)".to_owned(),
        _ => error.kind().to_string(),
    };
    Problem::new(
        origin,
        "",
        format!("this is not YAML: {what}"),
        "check indentation, quotes and brackets; within { } a value with ${...} needs quotes",
    )
}

/// A collection that is being filled.
struct Open {
    node: Node,
    anchor: usize,
    /// The key whose value comes next.
    key: Option<(String, Origin)>,
}

struct Tree {
    file: Arc<str>,
    open: Vec<Open>,
    anchors: BTreeMap<usize, Rc<Node>>,
    root: Rc<Node>,
    documents: usize,
}

impl Tree {
    fn new(file: Arc<str>) -> Self {
        let origin = Origin::File { file: Arc::clone(&file), line: 1, column: 1 };
        Self {
            file,
            open: Vec::new(),
            anchors: BTreeMap::new(),
            root: Rc::new(Node { origin, content: Content::Empty }),
            documents: 0,
        }
    }

    /// Takes one event; true when reading further has no sense.
    fn take(&mut self, event: Event<'_>, span: Span, problems: &mut Vec<Problem>) -> bool {
        let origin = Origin::File {
            file: Arc::clone(&self.file),
            line: span.start.line(),
            column: span.start.col() + 1,
        };
        match event {
            Event::Scalar(text, style, anchor, _) => {
                let empty = style == ScalarStyle::Plain
                    && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let content =
                    if empty { Content::Empty } else { Content::Scalar(text.into_owned()) };
                self.close(Node { origin, content }, anchor, problems);
            }
            Event::SequenceStart(_, anchor, _) => {
                let node = Node { origin, content: Content::List(Vec::new()) };
                self.open.push(Open { node, anchor, key: None });
            }
            Event::MappingStart(_, anchor, _) => {
                let node = Node { origin, content: Content::Map(Vec::new()) };
                self.open.push(Open { node, anchor, key: None });
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(open) = self.open.pop() {
                    self.close(open.node, open.anchor, problems);
                }
            }
            Event::Alias(anchor) => {
                // An alias within its own anchor has no node yet: it stands for nothing.
                let content =
                    self.anchors.get(&anchor).map_or(Content::Empty, |node| node.content.clone());
                self.close(Node { origin, content }, 0, problems);
            }
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    problems.push(Problem::new(
                        &origin,
                        "",
                        "a second document begins here",
                        "keep one document: remove the line ---",
                    ));
                    return true;
                }
            }
            _ => {}
        }
        if self.open.len() > DEEPEST {
            let origin = self.open[DEEPEST].node.origin.clone();
            problems.push(Problem::new(
                &origin,
                "",
                format!("more than {DEEPEST} levels deep"),
                "the deepest key has five levels: see docs/configuration.md",
            ));
            return true;
        }
        false
    }

    /// A node is complete: it becomes a key, a value, an item, or the root.
    fn close(&mut self, node: Node, anchor: usize, problems: &mut Vec<Problem>) {
        let node = Rc::new(node);
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        let Some(parent) = self.open.last_mut() else {
            self.root = node;
            return;
        };
        match (&mut parent.node.content, parent.key.take()) {
            (Content::List(items), _) => items.push(node),
            (Content::Map(entries), Some((key, key_origin))) => {
                entries.push(Entry { key, key_origin, value: node });
            }
            (Content::Map(_), None) => {
                let key = match &node.content {
                    Content::Scalar(text) => text.clone(),
                    Content::Empty | Content::Unfilled => "null".to_owned(),
                    Content::List(_) | Content::Map(_) => {
                        problems.push(Problem::new(
                            &node.origin,
                            "",
                            format!("{} stands where a key belongs", node.shape()),
                            "a value with ${...} needs quotes: \"${NAME}\"",
                        ));
                        String::new()
                    }
                };
                parent.key = Some((key, node.origin.clone()));
            }
            (Content::Empty | Content::Unfilled | Content::Scalar(_), _) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Rc<Node>, Vec<Problem>) {
        let mut problems = Vec::new();
        let root = parse("f.yaml", text, &mut problems);
        (root, problems)
    }

    fn entries(node: &Node) -> &[Entry] {
        match &node.content {
            Content::Map(entries) => entries,
            other => panic!("not a map: {other:?}"),
        }
    }

    #[test]
    fn every_node_knows_its_line_and_column() {
        let (root, problems) = read("# a comment\nkafka:\n  brokers: [a, b]\n  group_id: g\n");
        assert!(problems.is_empty(), "{problems:?}");
        let kafka = &entries(&root)[0];
        assert_eq!(kafka.key_origin.to_string(), "f.yaml:2:1");
        let inner = entries(&kafka.value);
        assert_eq!(inner[1].key_origin.to_string(), "f.yaml:4:3");
        assert_eq!(inner[1].value.origin.to_string(), "f.yaml:4:13");
        let Content::List(items) = &inner[0].value.content else { panic!("not a list") };
        assert_eq!(items[1].origin.to_string(), "f.yaml:3:16");
    }

    #[test]
    fn an_alias_stands_for_its_anchor() {
        let (root, problems) = read("a: &x 5\nb: *x\n");
        assert!(problems.is_empty(), "{problems:?}");
        let b = &entries(&root)[1].value;
        assert!(matches!(&b.content, Content::Scalar(text) if text == "5"));
        assert_eq!(b.origin.to_string(), "f.yaml:2:4");
    }

    #[test]
    fn an_unknown_alias_is_named_without_its_text() {
        let (_, problems) = read("password: *hunter2\n");
        assert_eq!(problems.len(), 1);
        assert!(!problems[0].to_string().contains("hunter2"), "{}", problems[0]);
    }

    #[test]
    fn broken_yaml_is_named_with_its_line() {
        let (_, problems) = read("kafka:\n  brokers: [a, b\nnats: {}\n");
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(matches!(problems[0].origin, Origin::File { line, .. } if line >= 2));
    }

    #[test]
    fn depth_is_bounded() {
        let (_, problems) = read(&format!("a: {}{}", "[".repeat(5000), "]".repeat(5000)));
        assert!(!problems.is_empty());
    }

    #[test]
    fn a_second_document_is_refused() {
        let (_, problems) = read("a: 1\n---\nb: 2\n");
        assert_eq!(problems.len(), 1);
        assert!(problems[0].what.contains("second document"));
    }
}
