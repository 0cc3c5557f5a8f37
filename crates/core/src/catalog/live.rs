//! A table as the server shows it.

/// A table of the server: `engine_full`, `sorting_key`, `partition_key` of `system.tables`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveTable {
    /// Its columns, from `system.columns`, by position.
    pub columns: Vec<LiveColumn>,
    /// `system.tables.engine_full`.
    pub engine_full: String,
    /// `system.tables.sorting_key`.
    pub sorting_key: String,
    /// `system.tables.partition_key`.
    pub partition_key: String,
    /// Of a `Distributed` table, whose engine and keys above are those of the table behind it: the
    /// expression that deals its rows out to the shards, empty when there is none.
    pub sharding_key: Option<String>,
}

/// What a `Distributed` table stands before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behind {
    /// Database of the table on each shard.
    pub database: String,
    /// Its name.
    pub table: String,
    /// The expression that deals rows out to the shards; empty when there is none.
    pub sharding_key: String,
}

impl Behind {
    /// Of `engine_full`; `None` for any other engine.
    #[must_use]
    pub fn of(engine_full: &str) -> Option<Self> {
        let ("Distributed", arguments) = engine(engine_full) else {
            return None;
        };
        let text = |index: usize| {
            let argument = arguments.get(index).copied().unwrap_or_default();
            unquoted(argument.trim_matches('\'')).to_owned()
        };
        let sharding_key = arguments.get(3).copied().unwrap_or_default().to_owned();
        Some(Self { database: text(1), table: text(2), sharding_key })
    }
}

/// A column of the server: `name`, `type`, `default_kind` of `system.columns`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    pub type_text: String,
    /// Empty, `DEFAULT`, `MATERIALIZED`, `EPHEMERAL` or `ALIAS`.
    pub default_kind: String,
}

impl LiveColumn {
    /// Whether an INSERT may name it.
    pub(super) fn is_written(&self) -> bool {
        !matches!(self.default_kind.as_str(), "MATERIALIZED" | "ALIAS")
    }
}

/// Name and arguments of the engine at the beginning of `engine_full`.
pub(super) fn engine(engine_full: &str) -> (&str, Vec<&str>) {
    let end = engine_full.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(engine_full.len());
    let (name, rest) = engine_full.split_at(end);
    (name, rest.strip_prefix('(').map(arguments).unwrap_or_default())
}

/// What stands before the bracket that closes a list, between commas that are in no bracket and in no
/// text.
fn arguments(list: &str) -> Vec<&str> {
    let (mut found, mut start, mut depth, mut is_text) = (Vec::new(), 0, 0_u32, false);
    for (at, letter) in list.char_indices() {
        match letter {
            '\'' => is_text = !is_text,
            _ if is_text => {}
            '(' => depth += 1,
            ')' if depth > 0 => depth -= 1,
            ',' | ')' if depth == 0 => {
                found.push(list[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
        if letter == ')' && !is_text && start == at + 1 {
            break;
        }
    }
    found.retain(|argument| !argument.is_empty());
    found
}

/// Columns that an expression names: its words that are no functions, numbers or texts. `None` when it
/// is another one for the same row each time, or may be: a function of nothing, or of chance.
pub(super) fn columns_of(expression: &str) -> Option<Vec<String>> {
    let mut found = Vec::new();
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    let mut rest = expression;
    while let Some(start) = rest.find(|c: char| is_word(c) || c == '\'' || c == '`') {
        rest = &rest[start..];
        if let Some(quote) = rest.chars().next().filter(|c| matches!(c, '\'' | '`')) {
            let end = rest[1..].find(quote).map_or(rest.len(), |end| end + 1);
            if quote == '`' {
                found.push(rest[1..end].to_owned());
            }
            rest = rest.get(end + 1..).unwrap_or_default();
            continue;
        }
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let (word, behind) = rest.split_at(end);
        rest = behind;
        if let Some(inside) = behind.trim_start().strip_prefix('(') {
            let is_chance = CHANCE.iter().any(|begin| word.to_ascii_lowercase().starts_with(begin));
            if is_chance || inside.trim_start().starts_with(')') {
                return None;
            }
        } else if !word.starts_with(|c: char| c.is_ascii_digit()) {
            found.push(word.to_owned());
        }
    }
    Some(found)
}

/// What the names of functions begin with whose value is another one each time, whatever they are given.
const CHANCE: [&str; 6] = ["rand", "generate", "now", "fuzz", "rownumber", "blocknumber"];

/// The value of a setting in `engine_full`.
pub(super) fn setting<'a>(engine_full: &'a str, name: &str) -> Option<&'a str> {
    let (_, settings) = engine_full.split_once(" SETTINGS ")?;
    settings.split(',').find_map(|setting| {
        let (key, value) = setting.split_once('=')?;
        (key.trim() == name).then(|| value.trim())
    })
}

/// A list of expressions as `system.tables` shows it: `a, b`, or `(a)`, or `tuple()`.
pub(super) fn names(list: &str) -> Vec<String> {
    let list = list.trim();
    let list = list.strip_prefix("tuple(").or_else(|| list.strip_prefix('(')).unwrap_or(list);
    // Also of a list that begins with an expression in brackets; then it is refused by its name.
    let list = if list.contains('(') { list } else { list.strip_suffix(')').unwrap_or(list) };
    list.split(',').map(|name| unquoted(name.trim()).to_owned()).filter(|n| !n.is_empty()).collect()
}

pub(super) fn unquoted(name: &str) -> &str {
    name.strip_prefix('`').and_then(|name| name.strip_suffix('`')).unwrap_or(name)
}
