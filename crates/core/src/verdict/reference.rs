//! The reference of all verdicts, written from the tables that decide.

use super::{CODES, TRANSPORT, UNKNOWN_RETRIES, Verdict};

const NOTE: &str =
    "<!-- Written from the code: UPDATE_DOCS=1 cargo test -p data-bridge-core reference -->\n";
const HEAD: &str = include_str!("reference.md");

const VERDICTS: [Verdict; 6] = [
    Verdict::Retry,
    Verdict::Split,
    Verdict::Refresh,
    Verdict::Pause,
    Verdict::Isolate,
    Verdict::Unknown,
];

impl Verdict {
    /// Its word in the documentation.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Split => "split",
            Self::Refresh => "refresh",
            Self::Pause => "pause",
            Self::Isolate => "isolate",
            Self::Unknown => "unknown",
        }
    }

    fn meaning(self) -> String {
        match self {
            Self::Retry => "the very same batch again, after a back-off, for as long as it takes",
            Self::Split => "its halves, after a back-off",
            Self::Refresh => {
                "the table is not what we take it for: its route is paused, the table is looked at \
                 each second, and as soon as it is as it must be the same batch is tried again; a \
                 table of the user's own may have got other columns: it is written as it is now"
            }
            Self::Pause => {
                "the route is paused, readiness says why, and the same batch is tried again now \
                 and then: it goes on by itself when people have mended it"
            }
            Self::Isolate => {
                "halve the batch until the refused row stands alone; it becomes a dead letter, all \
                 other rows arrive"
            }
            Self::Unknown => {
                return format!("{UNKNOWN_RETRIES} retries, then pause; never a dead letter");
            }
        }
        .to_owned()
    }
}

/// `docs/verdicts.md`.
#[must_use]
pub fn markdown() -> String {
    let verdicts =
        VERDICTS.map(|verdict| format!("| {} | {} |\n", verdict.name(), verdict.meaning()));
    let transport = TRANSPORT
        .iter()
        .map(|row| format!("| {} | {} | {} |\n", row.what, row.verdict.name(), row.why));
    let codes = VERDICTS.map(|verdict| {
        let of = CODES.iter().filter(|(_, _, of)| *of == verdict);
        let named: Vec<_> = of.map(|(code, name, _)| format!("{code} {name}")).collect();
        match &named[..] {
            [] => String::new(),
            named => format!("### {}\n\n{}\n\n", verdict.name(), named.join(", ")),
        }
    });
    [
        NOTE,
        HEAD,
        "\n## Verdicts\n\n| verdict | what happens |\n|---|---|\n",
        &verdicts.concat(),
        "\n## On the way to ClickHouse\n\n| what happened | verdict | why |\n|---|---|---|\n",
        &transport.collect::<String>(),
        "\n## Exceptions of ClickHouse\n\nA code that is not listed is unknown.\n\n",
        codes.concat().trim_end(),
        "\n",
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn the_written_verdicts_are_those_of_this_code() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/verdicts.md");
        let fresh = super::markdown();
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, &fresh).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            written == fresh,
            "docs/verdicts.md is out of date: UPDATE_DOCS=1 cargo test -p data-bridge-core reference"
        );
    }
}
