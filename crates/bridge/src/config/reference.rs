//! The reference of all keys, written from the table that the parser reads by.

use super::kafka::REFUSED;
use super::keys::{Fallback, KEYS, Key, VARIABLES};

const HEAD: &str = include_str!("reference/head.md");
const TAIL: &str = include_str!("reference/tail.md");

/// `docs/configuration.md`.
#[must_use]
pub fn markdown() -> String {
    let mut out = String::from(
        "<!-- Written from the code: UPDATE_DOCS=1 cargo test -p data-bridge reference -->\n",
    );
    out.push_str(HEAD);
    out.push_str("\n## Keys\n");
    let mut section = "";
    for key in KEYS {
        let first = key.path.split('.').next().unwrap_or_default();
        if first != section {
            section = first;
            out.push_str(&format!(
                "\n### {section}\n\n| key | type | default | meaning |\n|---|---|---|---|\n"
            ));
        }
        out.push_str(&row(key));
    }
    out.push_str(
        "\n## Environment\n\nStronger than the file; an empty variable counts as not set.\n\n",
    );
    out.push_str("| variable | sets |\n|---|---|\n");
    for (variable, path) in VARIABLES {
        out.push_str(&format!("| `{variable}` | `{path}` |\n"));
    }
    out.push_str(
        "| `CLICKHOUSE_HOST`, `CLICKHOUSE_HTTP_PORT` | host and port of `clickhouse.urls`, \
         unless `CLICKHOUSE_URL` is set |\n",
    );
    out.push_str("\n## Refused in kafka.properties\n\n| property | instead |\n|---|---|\n");
    for (name, instead) in REFUSED {
        let rest = if name.ends_with('.') { "…" } else { "" };
        out.push_str(&format!("| `{name}{rest}` | {instead} |\n"));
    }
    out.push('\n');
    out.push_str(TAIL);
    out
}

fn row(key: &Key) -> String {
    let default = match key.default {
        Fallback::Is("") => "none".to_owned(),
        Fallback::Is(text) => format!("`{text}`"),
        Fallback::Says(text) => text.to_owned(),
    };
    let kind = key.kind.describe().replace('|', "\\|");
    format!(
        "| `{}` | {kind} | {default} | {} |\n",
        key.path, key.meaning
    )
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
