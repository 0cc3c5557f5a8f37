//! The benchmarks: a steady rate, and what instances and ClickHouse say of it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use data_bridge_lab::metrics::{Metrics, scrape};

use super::report::Line;
use super::run::{LOOK_EVERY, ROWS_LIMIT, Validation, with_causes};
use super::seen::Seen;

/// How long readers and brokers warm up before it counts, at most: a JVM that has just started takes
/// ten seconds of load until it has compiled what it needs.
const LONGEST_WARM_UP: Duration = Duration::from_secs(10);
/// Messages that may wait in a partition: at 50,000 msg/s over six partitions as many come within
/// 120 ms, so that more would be more than the latency that is promised.
const MOST_LAG: u64 = 1_000;
/// Mean of an insert.
const MOST_INSERT: Duration = Duration::from_millis(100);
/// How much of the rate must be kept up: a pace has its jitter.
const KEPT: f64 = 0.98;
/// From the last message to its row: an acknowledgement, a linger, an insert and a look. What took
/// longer than this beyond its time has piled up.
const TAIL: f64 = 0.5;

impl Validation {
    pub(super) async fn benchmarks(&self) -> Vec<Line> {
        let objectives = self.objectives;
        let warm_up = warm_up(objectives.lasts);
        let lasts = warm_up + objectives.lasts;
        let count = objectives.rate * lasts.as_secs();
        let numbers = self.take(count);
        let began = Instant::now();
        let producing = match self.ticks.produce(numbers.clone(), Some(rate(objectives.rate))) {
            Ok(producing) => producing,
            Err(error) => {
                return vec![Line::judged(
                    "throughput",
                    String::new(),
                    String::new(),
                    vec![with_causes(&error)],
                )];
            }
        };
        let mut most: BTreeMap<(String, i32), u64> = BTreeMap::new();
        let mut warm = None;
        while !producing.is_over() {
            let seen = self.look().await.unwrap_or_default();
            if began.elapsed() > warm_up {
                if warm.is_none() {
                    warm = Some(self.scrapes().await);
                }
                for partition in seen.iter().flat_map(Seen::partitions) {
                    if partition.topic == self.ticks.topic {
                        let key = (partition.topic.clone(), partition.number);
                        let lag = most.entry(key).or_default();
                        *lag = partition.lag.max(*lag);
                    }
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let (sent, produced) = (producing.end(), began.elapsed());
        let visible = self.visible(&numbers, ROWS_LIMIT).await;
        let took = began.elapsed();
        // Without a warm moment nothing was measured: the line of the lag says what to do.
        let after = self.scrapes().await;
        let before = warm.as_deref().unwrap_or(&after);
        let wrong = self.not_exact(&numbers, &visible).await;

        let kept = rate(count) / took.as_secs_f64();
        let mut why: Vec<String> =
            sent.err().map(|error| with_causes(&error)).into_iter().collect();
        if took.as_secs_f64() > lasts.as_secs_f64() / KEPT + TAIL {
            let produced = rate(count) / produced.as_secs_f64();
            why.push(format!("{produced:.0} msg/s were produced, {kept:.0} became visible"));
        }
        let wanted = format!("{} msg/s", objectives.rate);
        let throughput = Line::judged("throughput", wanted, format!("{kept:.0} msg/s"), why);

        let worst = most.iter().max_by_key(|(_, lag)| **lag);
        let (lag, at) = worst.map_or((0, String::new()), |((topic, partition), lag)| {
            (*lag, format!(" ({topic}:{partition})"))
        });
        let why = if most.is_empty() {
            vec!["it was over before the readers were warm: let --seconds be longer".to_owned()]
        } else if lag >= MOST_LAG {
            vec![format!("{lag} messages waited{at}")]
        } else {
            Vec::new()
        };
        let wanted = format!("< {MOST_LAG} in each partition");
        let lag = Line::judged("lag", wanted, format!("at most {lag}{at}"), why);

        let durable = "data_bridge_produce_to_durable_seconds";
        let p99 = quantile(&delta(before, &after, durable), 0.99);
        let latency = milliseconds_line("produce to durable, p99", p99, objectives.p99);
        let insert = "data_bridge_insert_duration_seconds";
        let sum = |all: &[Metrics], end: &str| -> f64 {
            let of_ticks = [("table", self.rows.table.as_str())];
            all.iter().filter_map(|one| one.sum(&format!("{insert}{end}"), &of_ticks)).sum()
        };
        let times = sum(&after, "_count") - sum(before, "_count");
        let mean = (times > 0.0).then(|| (sum(&after, "_sum") - sum(before, "_sum")) / times);
        let inserts = milliseconds_line("inserts, mean", mean, MOST_INSERT);

        let exact = match &visible {
            Ok(visible) => format!(
                "{} lost, {} doubled",
                count.saturating_sub(visible.events),
                visible.rows.saturating_sub(visible.events)
            ),
            Err(_) => String::new(),
        };
        let exact = Line::judged("lost and doubled", "0 and 0".to_owned(), exact, wrong);
        vec![throughput, lag, latency, inserts, exact]
    }

    async fn scrapes(&self) -> Vec<Metrics> {
        let mut all = Vec::new();
        for one in self.look().await.unwrap_or_default() {
            // One that does not answer has failed the first test.
            all.extend(scrape(&format!("{}/metrics", one.place.url)).await);
        }
        all
    }
}

/// What is sent before it counts, in whole seconds.
pub(super) fn warm_up(lasts: Duration) -> Duration {
    LONGEST_WARM_UP.min(Duration::from_secs(lasts.as_secs().div_ceil(2)))
}

fn milliseconds_line(name: &'static str, seconds: Option<f64>, limit: Duration) -> Line {
    let wanted = format!("< {} ms", limit.as_millis());
    let Some(seconds) = seconds else {
        let why = vec!["no instance has measured it".to_owned()];
        return Line::judged(name, wanted, String::new(), why);
    };
    let measured = format!("{:.0} ms", seconds * 1e3);
    let is_over = seconds >= limit.as_secs_f64();
    let why = if is_over { vec![format!("{measured} are not {wanted}")] } else { Vec::new() };
    Line::judged(name, wanted, measured, why)
}

#[expect(clippy::cast_precision_loss, reason = "a rate has no use for 53 bits")]
fn rate(count: u64) -> f64 {
    count as f64
}

/// Upper bounds of a histogram's buckets with what fell below them meanwhile, over all instances.
fn delta(before: &[Metrics], after: &[Metrics], name: &str) -> Vec<(f64, f64)> {
    let name = format!("{name}_bucket");
    let mut buckets: Vec<(f64, f64)> = Vec::new();
    for (all, sign) in [(before, -1.0), (after, 1.0)] {
        for (labels, value) in all.iter().flat_map(|one| one.of(&name)) {
            let bound = labels.get("le").map_or("", String::as_str);
            let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().unwrap_or(0.0) };
            match buckets.iter_mut().find(|(other, _)| other.total_cmp(&bound).is_eq()) {
                Some((_, count)) => *count += sign * value,
                None => buckets.push((bound, sign * value)),
            }
        }
    }
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    buckets
}

/// As Prometheus reckons it: within a bucket, evenly. None when nothing was counted.
fn quantile(buckets: &[(f64, f64)], share: f64) -> Option<f64> {
    let all = buckets.last().map(|(_, count)| *count).filter(|count| *count > 0.0)?;
    let rank = share * all;
    let (mut lower, mut below) = (0.0, 0.0);
    for (bound, count) in buckets {
        if *count >= rank {
            // Beyond the last bound nothing is known.
            let is_open = bound.is_infinite();
            return Some(if is_open {
                lower
            } else {
                inside(lower, *bound, (below, *count), rank)
            });
        }
        (lower, below) = (*bound, *count);
    }
    None
}

fn inside(lower: f64, upper: f64, (below, count): (f64, f64), rank: f64) -> f64 {
    lower + (upper - lower) * (rank - below) / (count - below).max(f64::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_of_what_was_counted_meanwhile() {
        let page = |counts: [u32; 4]| {
            let bounds = ["0.01", "0.05", "0.1", "+Inf"];
            let lines = bounds.iter().zip(counts);
            let lines = lines.map(|(bound, count)| format!("x_bucket{{le=\"{bound}\"}} {count}\n"));
            Metrics::read(&lines.collect::<String>())
        };
        let (before, after) = (page([0, 0, 0, 50]), page([50, 90, 100, 150]));
        let found = delta(&[before.clone(), before], &[after.clone(), after], "x");
        assert_eq!(
            found.iter().map(|(_, count)| *count).collect::<Vec<_>>(),
            [100.0, 180.0, 200.0, 200.0]
        );
        let near = |share: f64, wanted: f64| {
            let found = quantile(&found, share).unwrap();
            assert!((found - wanted).abs() < 1e-9, "{found}");
        };
        near(0.5, 0.01);
        near(0.9, 0.05);
        near(0.95, 0.075);
        assert_eq!(quantile(&[], 0.99), None);
        assert_eq!(quantile(&[(f64::INFINITY, 0.0)], 0.99), None);
    }
}
