//! Histograms of `/metrics`: counts below bounds, added up over instances.

/// Adds the buckets of a histogram without labels, as (bound, count below).
pub(super) fn add(into: &mut Vec<(f64, f64)>, page: &str, name: &str) {
    for line in page.lines() {
        let Some(rest) = line.strip_prefix(name).and_then(|rest| rest.strip_prefix("_bucket{"))
        else {
            continue;
        };
        let Some((labels, count)) = rest.rsplit_once(' ') else { continue };
        let bound = labels.split("le=\"").nth(1).and_then(|text| text.split('"').next());
        let bound = match bound {
            Some("+Inf") => Some(f64::INFINITY),
            Some(text) => text.parse().ok(),
            None => None,
        };
        let (Some(bound), Ok(count)) = (bound, count.parse::<f64>()) else { continue };
        match into.iter_mut().find(|(known, _)| known.total_cmp(&bound).is_eq()) {
            Some((_, sum)) => *sum += count,
            None => into.push((bound, count)),
        }
    }
    into.sort_by(|left, right| left.0.total_cmp(&right.0));
}

/// What was counted between two looks.
pub(super) fn between(before: &[(f64, f64)], after: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let was = |bound: f64| {
        before
            .iter()
            .find(|(known, _)| known.total_cmp(&bound).is_eq())
            .map_or(0.0, |(_, sum)| *sum)
    };
    after.iter().map(|(bound, sum)| (*bound, sum - was(*bound))).collect()
}

/// The value below which a share lies, by a straight line within its bucket; NaN when there is
/// none, the last bound when it lies beyond.
pub(super) fn quantile(buckets: &[(f64, f64)], share: f64) -> f64 {
    let all = buckets.last().map_or(0.0, |(_, sum)| *sum);
    if all <= 0.0 {
        return f64::NAN;
    }
    let wanted = all * share;
    let (mut low, mut below) = (0.0, 0.0);
    for (bound, sum) in buckets {
        if *sum >= wanted {
            if bound.is_infinite() {
                return low;
            }
            let part = if *sum > below { (wanted - below) / (sum - below) } else { 1.0 };
            return low + (bound - low) * part;
        }
        (low, below) = (*bound, *sum);
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_on_a_line_within_their_bucket() {
        let page =
            "x_bucket{le=\"1.0\"} 10\nx_bucket{le=\"2.0\"} 30\nx_bucket{le=\"+Inf\"} 40\nx_sum 9\n";
        let mut buckets = Vec::new();
        add(&mut buckets, page, "x");
        add(&mut buckets, page, "x");
        assert_eq!(buckets, [(1.0, 20.0), (2.0, 60.0), (f64::INFINITY, 80.0)]);
        assert!((quantile(&buckets, 0.5) - 1.5).abs() < 1e-9);
        assert!((quantile(&buckets, 0.99) - 2.0).abs() < 1e-9, "beyond the last bound");
        let since = between(&[(1.0, 20.0), (2.0, 20.0)], &buckets);
        assert_eq!(since, [(1.0, 0.0), (2.0, 40.0), (f64::INFINITY, 80.0)]);
        assert!(quantile(&[], 0.5).is_nan());
    }
}
