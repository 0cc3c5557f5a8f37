//! The picture of the README, made from the JSON of a run: how many times faster and cheaper
//! everybody is than ClickHouse's own Kafka engine.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use serde_json::Value;

const WIDTH: f64 = 860.0;
const NAME: f64 = 300.0;
const BAR: f64 = 400.0;
const ROW: f64 = 34.0;
const TOP: f64 = 64.0;

/// What the page of `bench --json` says, drawn.
///
/// # Errors
/// When the page lacks the base or a figure.
pub(super) fn svg(page: &Value) -> Result<String> {
    let series = page["series"].as_array().context("no series in the page")?;
    let base = page["base"].as_str().context("the page has no base: measure kafka-engine too")?;
    let of =
        |one: &Value, key: &str| middle(one, key).with_context(|| format!("no {key} in {one}"));
    let cost =
        |one: &Value| Some(middle(one, "client_ns")? + middle(one, "engine_with_merges_ns")?);
    let bottom = series
        .iter()
        .find(|one| one["name"] == base)
        .with_context(|| format!("{base} is not among the series"))?;
    let (base_rate, base_cost) = (of(bottom, "messages_per_second")?, cost(bottom));
    let base_cost = base_cost.with_context(|| format!("{base} has no cost"))?;
    let rows: Vec<&Value> = series
        .iter()
        .filter(|one| one["name"].as_str().is_some_and(|name| !name.starts_with("limit")))
        .collect();
    let mut best = 1.0_f64;
    for one in &rows {
        best = best.max(of(one, "messages_per_second")? / base_rate);
    }
    let height = TOP + ROW * as_pixels(rows.len()) + 34.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"14\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"16\" y=\"28\" font-size=\"17\" fill=\"#111\">Ticks per second, as a multiple of {base}</text>\n\
         <text x=\"{}\" y=\"50\" fill=\"#555\" font-size=\"12\" text-anchor=\"end\">CPU of client and \
         ClickHouse per tick</text>\n",
        WIDTH - 16.0,
    );
    for (index, one) in rows.iter().enumerate() {
        let name = one["name"].as_str().unwrap_or_default();
        let times = of(one, "messages_per_second")? / base_rate;
        let nanoseconds = cost(one).with_context(|| format!("{name} has no cost"))?;
        let y = TOP + ROW * as_pixels(index);
        let ours = name.starts_with("data-bridge");
        let (fill, weight) = if ours { ("#1f6feb", "600") } else { ("#9aa4b2", "400") };
        writeln!(
            out,
            "<text x=\"16\" y=\"{:.0}\" fill=\"#111\" font-weight=\"{weight}\">{name}</text>\
             <rect x=\"{NAME}\" y=\"{y:.0}\" width=\"{:.1}\" height=\"20\" rx=\"3\" fill=\"{fill}\"/>\
             <text x=\"{:.1}\" y=\"{:.0}\" fill=\"#111\">{times:.1} ×</text>\
             <text x=\"{}\" y=\"{:.0}\" fill=\"#555\" text-anchor=\"end\">{:.2} µs</text>",
            y + 15.0,
            BAR * times / best,
            NAME + BAR * times / best + 6.0,
            y + 15.0,
            WIDTH - 16.0,
            y + 15.0,
            nanoseconds / 1e3,
        )?;
    }
    writeln!(
        out,
        "<text x=\"16\" y=\"{:.0}\" fill=\"#555\" font-size=\"12\">{} ticks of three dialects, lz4, \
         {} cores for broker, ClickHouse and client together; rows verified. Base: {:.0} ticks/s, \
         {:.2} µs.</text>\n</svg>",
        height - 12.0,
        page["messages"],
        page["cores"],
        base_rate,
        base_cost / 1e3,
    )?;
    Ok(out)
}

#[expect(clippy::cast_precision_loss, reason = "a handful of rows")]
fn as_pixels(count: usize) -> f64 {
    count as f64
}

/// The median of a figure over the runs of a series.
fn middle(series: &Value, key: &str) -> Option<f64> {
    let runs = series["runs"].as_array()?;
    let mut all: Vec<f64> = runs.iter().filter_map(|run| run[key].as_f64()).collect();
    all.sort_by(f64::total_cmp);
    let upper = all.get(all.len() / 2).copied()?;
    let lower = all.get(all.len().saturating_sub(1) / 2).copied()?;
    Some(f64::midpoint(lower, upper))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn page() -> Value {
        let run = |rate: f64, ns: f64| json!({"messages_per_second": rate, "client_ns": ns, "engine_with_merges_ns": ns});
        json!({
            "messages": 10, "cores": 2, "base": "slow",
            "series": [
                {"name": "data-bridge", "runs": [run(900.0, 300.0), run(700.0, 500.0)]},
                {"name": "slow", "runs": [run(100.0, 3_000.0)]},
                {"name": "limit: x", "runs": [run(9_000.0, 1.0)]},
            ],
        })
    }

    #[test]
    fn bars_are_multiples_of_the_base_and_limits_are_left_out() {
        let svg = svg(&page()).unwrap();
        assert!(svg.contains("8.0 ×") && svg.contains("1.0 ×"), "{svg}");
        assert!(svg.contains("0.80 µs") && svg.contains("width=\"400.0\""), "{svg}");
        assert!(!svg.contains("limit"), "{svg}");
    }

    #[test]
    fn a_run_without_the_base_makes_no_picture() {
        let mut page = page();
        page["base"] = Value::Null;
        assert!(svg(&page).unwrap_err().to_string().contains("kafka-engine"));
    }
}
