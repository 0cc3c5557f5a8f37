//! Figures of repeated runs: what is in the middle, and how far they spread.

use serde_json::{Value, json};

/// One run of one contestant.
#[derive(Debug, Clone, Default)]
pub(super) struct Run {
    pub(super) messages: f64,
    /// From the start to the last row queryable; for limits, from first to last.
    pub(super) seconds: f64,
    /// Messages per second between 5 % and 95 % of the rows; 0 when nobody watched.
    pub(super) steady: f64,
    /// Seconds of one core.
    pub(super) client_cpu: f64,
    pub(super) broker_cpu: f64,
    /// The engine until the last row was there.
    pub(super) engine_cpu: f64,
    /// The same with the merges that followed.
    pub(super) merged_cpu: f64,
    /// Highest memory of a single client process, in MB.
    pub(super) client_mb: f64,
    pub(super) broker_mb: f64,
    pub(super) engine_mb: f64,
    /// Rows of an insert, on average; 0 when unknown.
    pub(super) insert_rows: f64,
    /// Bytes of a row on disk after all merges; 0 when unknown.
    pub(super) stored_bytes: f64,
}

impl Run {
    pub(super) fn rate(&self) -> f64 {
        self.messages / self.seconds.max(1e-9)
    }

    pub(super) fn client_ns(&self) -> f64 {
        self.per_message(self.client_cpu)
    }

    pub(super) fn broker_ns(&self) -> f64 {
        self.per_message(self.broker_cpu)
    }

    pub(super) fn engine_ns(&self) -> f64 {
        self.per_message(self.engine_cpu)
    }

    pub(super) fn merged_ns(&self) -> f64 {
        self.per_message(self.merged_cpu)
    }

    /// Bridge and engine, merges included: what a message costs beside the broker.
    pub(super) fn total_ns(&self) -> f64 {
        self.client_ns() + self.merged_ns()
    }

    fn per_message(&self, seconds: f64) -> f64 {
        seconds * 1e9 / self.messages.max(1.0)
    }

    fn to_json(&self) -> Value {
        json!({
            "messages": self.messages,
            "seconds": self.seconds,
            "messages_per_second": self.rate(),
            "steady_messages_per_second": self.steady,
            "client_ns": self.client_ns(),
            "broker_ns": self.broker_ns(),
            "engine_ns": self.engine_ns(),
            "engine_with_merges_ns": self.merged_ns(),
            "client_peak_mb": self.client_mb,
            "broker_peak_mb": self.broker_mb,
            "engine_peak_mb": self.engine_mb,
            "rows_per_insert": self.insert_rows,
            "stored_bytes_per_row": self.stored_bytes,
        })
    }
}

/// Runs of one contestant.
#[derive(Debug, Clone)]
pub(super) struct Series {
    pub(super) name: &'static str,
    pub(super) runs: Vec<Run>,
}

impl Series {
    /// Lowest, middle and highest of a figure.
    pub(super) fn spread(&self, figure: impl Fn(&Run) -> f64) -> (f64, f64, f64) {
        let mut all: Vec<f64> = self.runs.iter().map(figure).collect();
        all.sort_by(f64::total_cmp);
        let middle = match all.len() {
            0 => 0.0,
            count if count % 2 == 1 => all[count / 2],
            count => f64::midpoint(all[count / 2 - 1], all[count / 2]),
        };
        (all.first().copied().unwrap_or(0.0), middle, all.last().copied().unwrap_or(0.0))
    }

    pub(super) fn middle(&self, figure: impl Fn(&Run) -> f64) -> f64 {
        self.spread(figure).1
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "name": self.name,
            "runs": self.runs.iter().map(Run::to_json).collect::<Vec<_>>(),
        })
    }

    /// A line of the table; `base` is what rates and costs are compared with.
    pub(super) fn line(&self, base: Option<&Self>) -> String {
        let span = |figure: &dyn Fn(&Run) -> f64, unit: f64, digits: usize| {
            let (low, middle, high) = self.spread(figure);
            let [low, middle, high] = [low, middle, high].map(|value| value / unit);
            if self.runs.len() == 1 || low >= high {
                format!("{middle:.digits$}")
            } else {
                format!("{middle:.digits$} ({low:.digits$}–{high:.digits$})")
            }
        };
        let (faster, cheaper) = base.map_or((String::new(), String::new()), |base| {
            let rate = self.middle(Run::rate) / base.middle(Run::rate).max(1e-9);
            let cost = base.middle(Run::total_ns) / self.middle(Run::total_ns).max(1e-9);
            (format!("{rate:.1} ×"), format!("{cost:.1} ×"))
        });
        format!(
            "{:<34} {faster:>8} {cheaper:>8}  {:>18} {:>9} {:>17} {:>19} {:>8} {:>13} {:>7}",
            self.name,
            span(&Run::rate, 1e3, 0),
            span(&|run| run.steady, 1e3, 0).split(' ').next().unwrap_or_default(),
            span(&Run::client_ns, 1.0, 0),
            span(&Run::merged_ns, 1.0, 0),
            span(&Run::broker_ns, 1.0, 0).split(' ').next().unwrap_or_default(),
            format!(
                "{:.0}/{:.0}",
                self.middle(|run| run.client_mb),
                self.middle(|run| run.engine_mb)
            ),
            format!("{:.0}", self.middle(|run| run.insert_rows) / 1e3),
        )
    }
}

/// What the columns of [`Series::line`] say.
pub(super) fn head() -> [String; 2] {
    [
        format!(
            "{:<34} {:>8} {:>8}  {:>18} {:>9} {:>17} {:>19} {:>8} {:>13} {:>7}",
            "",
            "faster",
            "cheaper",
            "1,000 msg/s",
            "5–95 %",
            "client",
            "engine",
            "broker",
            "peak MB",
            "1,000 rows"
        ),
        format!(
            "{:<34} {:>8} {:>8}  {:>18} {:>9} {:>17} {:>19} {:>8} {:>13} {:>7}",
            "",
            "",
            "",
            "",
            "",
            "CPU ns/msg",
            "CPU ns/msg, merged",
            "ns/msg",
            "client/engine",
            "/insert"
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_the_median_and_ratios_compare_middles() {
        let run = |seconds: f64, cpu: f64| Run {
            messages: 1e6,
            seconds,
            client_cpu: cpu,
            ..Run::default()
        };
        let fast = Series { name: "fast", runs: vec![run(1.0, 0.3), run(4.0, 0.9), run(2.0, 0.6)] };
        let slow = Series { name: "slow", runs: vec![run(16.0, 6.0), run(16.0, 6.0)] };
        assert_eq!(fast.spread(|run| run.seconds), (1.0, 2.0, 4.0));
        assert!((fast.middle(Run::client_ns) - 600.0).abs() < 1e-6);
        assert!((slow.middle(Run::rate) - 62_500.0).abs() < 1e-6);
        let line = fast.line(Some(&slow));
        assert!(line.contains("8.0 ×") && line.contains("10.0 ×"), "{line}");
        assert!(line.contains("500 (250–1000)"), "{line}");
    }
}
