//! Reading `/metrics` as Prometheus does.

use std::collections::BTreeMap;

/// A sample's labels.
pub type Labels = BTreeMap<String, String>;

/// What one scrape said.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    samples: Vec<(String, Labels, f64)>,
}

/// Asks for `url` (`http://127.0.0.1:9401/metrics`) and reads the answer.
///
/// # Errors
/// When there is no whole answer of status 200.
pub async fn scrape(url: &str) -> Result<Metrics, reqwest::Error> {
    let client = crate::verify::http_client();
    let text = client.get(url).send().await?.error_for_status()?.text().await?;
    Ok(Metrics::read(&text))
}

impl Metrics {
    /// Reads the text format; lines that are none of it are left out.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let samples = text
            .lines()
            .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
            .filter_map(read_sample)
            .collect();
        Self { samples }
    }

    /// The sum over all samples of this name that have at least these labels; `None` when there is
    /// none.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let mut found = None;
        for (other, has, value) in &self.samples {
            let agrees =
                labels.iter().all(|(key, value)| has.get(*key).is_some_and(|has| has == value));
            if other == name && agrees {
                found = Some(found.unwrap_or(0.0) + value);
            }
        }
        found
    }

    /// All samples of a name.
    pub fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a Labels, f64)> {
        let same = move |sample: &&(String, Labels, f64)| sample.0 == name;
        self.samples.iter().filter(same).map(|(_, labels, value)| (labels, *value))
    }

    /// All names, each once.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.samples.iter().map(|(name, _, _)| name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

fn read_sample(line: &str) -> Option<(String, Labels, f64)> {
    let (name, labels, rest) = if let Some(open) = line.find('{') {
        let (labels, rest) = read_labels(&line[open + 1..])?;
        (&line[..open], labels, rest)
    } else {
        let (name, rest) = line.split_once(' ')?;
        (name, Labels::new(), rest)
    };
    let value = rest.split_whitespace().next()?;
    let value = match value {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        value => value.parse().ok()?,
    };
    Some((name.trim().to_owned(), labels, value))
}

/// Labels up to the closing brace, and what follows it.
fn read_labels(mut rest: &str) -> Option<(Labels, &str)> {
    let mut labels = Labels::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, quoted) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut letters = quoted.char_indices();
        loop {
            let (at, letter) = letters.next()?;
            match letter {
                '"' => {
                    rest = &quoted[at + 1..];
                    break;
                }
                '\\' => value.push(match letters.next()?.1 {
                    'n' => '\n',
                    other => other,
                }),
                other => value.push(other),
            }
        }
        labels.insert(name.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_format_is_read() {
        let metrics = Metrics::read(
            "# HELP a what\n# TYPE a counter\na_total{topic=\"t\",partition=\"1\"} 5\n\
             a_total{topic=\"t\",partition=\"2\"} 7.5 1700000000000\n\
             b{why=\"a \\\"b\\\", {c}\\n\\\\\"} +Inf\nplain 3e2\n# EOF\n",
        );
        assert_eq!(metrics.sum("a_total", &[]), Some(12.5));
        assert_eq!(metrics.sum("a_total", &[("partition", "2")]), Some(7.5));
        assert_eq!(metrics.sum("a_total", &[("partition", "3")]), None);
        assert_eq!(metrics.sum("b", &[("why", "a \"b\", {c}\n\\")]), Some(f64::INFINITY));
        assert_eq!(metrics.sum("plain", &[]), Some(300.0));
        assert_eq!(metrics.names(), ["a_total", "b", "plain"]);
        assert_eq!(metrics.of("a_total").count(), 2);
    }
}
