//! The reference of all keys, written from the table that the parser reads by.

use super::kafka::REFUSED;
use super::keys::{Fallback, KEYS, Key, VARIABLES};

const HEAD: &str = include_str!("reference/head.md");
const TAIL: &str = include_str!("reference/tail.md");

/// `docs/configuration.md`.
#[must_use]
pub fn markdown() -> String {
    let sections = sections().map(|section| {
        let keys = KEYS.iter().filter(|key| first(key) == section).map(row).collect::<String>();
        format!("### {section}\n\n| key | type | default | meaning |\n|---|---|---|---|\n{keys}\n")
    });
    let variables = VARIABLES.iter().map(|(name, path)| format!("| `{name}` | `{path}` |\n"));
    let refused = REFUSED.iter().map(|(name, instead)| {
        let rest = if name.ends_with('.') { "…" } else { "" };
        format!("| `{name}{rest}` | {instead} |\n")
    });
    [
        NOTE,
        HEAD,
        "\n## Keys\n\n",
        &sections.collect::<String>(),
        ENVIRONMENT,
        &variables.collect::<String>(),
        CLICKHOUSE_PARTS,
        "\n## Refused in kafka.properties\n\n| property | instead |\n|---|---|\n",
        &refused.collect::<String>(),
        "\n",
        TAIL,
    ]
    .concat()
}

const NOTE: &str =
    "<!-- Written from the code: UPDATE_DOCS=1 cargo test -p data-bridge reference -->\n";
const ENVIRONMENT: &str = "## Environment

Stronger than the file; an empty variable counts as not set.

| variable | sets |
|---|---|
";
const CLICKHOUSE_PARTS: &str = "| `CLICKHOUSE_HOST`, `CLICKHOUSE_HTTP_PORT` | host and port of \
                                `clickhouse.urls`, unless `CLICKHOUSE_URL` is set |\n";

/// Names of the file's groups, in its order.
fn sections() -> impl Iterator<Item = &'static str> {
    let mut last = "";
    KEYS.iter().map(first).filter(move |name| std::mem::replace(&mut last, name) != *name)
}

fn first(key: &Key) -> &'static str {
    key.path.split('.').next().unwrap_or_default()
}

fn row(key: &Key) -> String {
    let default = match key.default {
        Fallback::Is("") => "none".to_owned(),
        Fallback::Is(text) => format!("`{text}`"),
        Fallback::Says(text) => text.to_owned(),
    };
    let kind = key.kind.describe().replace('|', "\\|");
    format!("| `{}` | {kind} | {default} | {} |\n", key.path, key.meaning)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn the_written_reference_is_the_one_of_this_code() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
        let fresh = super::markdown();
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &fresh).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            written == fresh,
            "docs/configuration.md is out of date: UPDATE_DOCS=1 cargo test -p data-bridge reference"
        );
    }
}
