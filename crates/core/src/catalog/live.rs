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
    let arguments = rest.strip_prefix('(').and_then(|rest| rest.split_once(')'));
    let arguments = arguments.map_or("", |(arguments, _)| arguments);
    (name, arguments.split(',').map(str::trim).filter(|argument| !argument.is_empty()).collect())
}

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
