//! `docs/metrics.md`, written from the declarations.

use super::Metrics;
use crate::config::Number;

const HEAD: &str = "# Metrics

<!-- Written from the code: UPDATE_DOCS=1 cargo test -p data-bridge reference -->

Each instance serves them at `/metrics` of its `http.listen`, as OpenMetrics text. They are counted per chunk and per
batch, never per message. A series appears when its first event happens.

| metric | kind | labels | what it is |
|---|---|---|---|
";

fn markdown() -> String {
    let rows = Metrics::new("", Number::new(0)).declared.into_iter().map(|metric| {
        let labels = metric.labels.iter().map(|label| format!("`{label}`"));
        let labels = labels.collect::<Vec<_>>().join(", ");
        format!("| `{}` | {} | {labels} | {} |\n", metric.name, metric.kind, metric.help)
    });
    [HEAD.to_owned()].into_iter().chain(rows).collect()
}

#[test]
fn the_written_reference_names_every_metric_of_this_code() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
    let fresh = markdown();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &fresh).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == fresh,
        "docs/metrics.md is out of date: UPDATE_DOCS=1 cargo test -p data-bridge reference"
    );
}
