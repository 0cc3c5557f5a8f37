//! When the certificates end that the configuration names.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tracing::warn;
use x509_parser::pem::Pem;

use super::metrics::{Metrics, OfFile};
use crate::config::{Config, Secret};

/// Time between two looks: a renewed file is seen within it.
const LOOK_EVERY: Duration = Duration::from_mins(5);

/// Why a file does not say when it ends.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Unreadable {
    #[error("cannot read it: {0}")]
    File(String),
    #[error("it holds no certificate in PEM")]
    NoCertificate,
    #[error("not a certificate: {0}")]
    Certificate(String),
}

/// Where a certificate stands.
enum Place<'c> {
    File(&'c Path),
    Text(&'c str),
}

/// Looks at the certificates now and every few minutes, for as long as the runtime lives.
pub async fn watch(config: Arc<Config>, metrics: Arc<Metrics>) {
    let mut said = Vec::new();
    loop {
        let problems = look(&config, &metrics);
        for (key, error) in problems.iter().filter(|problem| !said.contains(*problem)) {
            warn!(key, %error, "cannot see when a certificate ends");
        }
        said = problems;
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Sets the metric of each certificate; keys whose certificates cannot be read.
fn look(config: &Config, metrics: &Metrics) -> Vec<(&'static str, Unreadable)> {
    let mut problems = Vec::new();
    for (key, place) in places(config) {
        let of = OfFile { key };
        match end_of(&place) {
            Ok(end) => {
                #[expect(clippy::cast_precision_loss, reason = "seconds of this age are exact")]
                metrics.certificate_expiry.get_or_create(&of).set(end as f64);
            }
            Err(error) => {
                metrics.certificate_expiry.remove(&of);
                problems.push((key, error));
            }
        }
    }
    problems
}

fn places(config: &Config) -> Vec<(&'static str, Place<'_>)> {
    let (clickhouse, nats) = (&config.clickhouse.tls, &config.nats.tls);
    let files = [
        ("clickhouse.tls.ca_file", &clickhouse.ca_file),
        ("clickhouse.tls.cert_file", &clickhouse.cert_file),
        ("nats.tls.ca_file", &nats.ca_file),
        ("nats.tls.cert_file", &nats.cert_file),
    ];
    let files =
        files.into_iter().filter_map(|(key, file)| Some((key, Place::File(file.as_ref()?))));
    let property = |name: &str| config.kafka.properties.get(name).map(Secret::expose);
    let of_kafka = [
        ("kafka.properties.ssl.ca.location", property("ssl.ca.location").map(file)),
        (
            "kafka.properties.ssl.certificate.location",
            property("ssl.certificate.location").map(file),
        ),
        ("kafka.properties.ssl.ca.pem", property("ssl.ca.pem").map(Place::Text)),
        ("kafka.properties.ssl.certificate.pem", property("ssl.certificate.pem").map(Place::Text)),
    ];
    let of_kafka = of_kafka.into_iter().filter_map(|(key, place)| Some((key, place?)));
    files.chain(of_kafka).collect()
}

fn file(path: &str) -> Place<'_> {
    Place::File(Path::new(path))
}

/// The earliest end among the certificates there, seconds since 1970.
fn end_of(place: &Place<'_>) -> Result<i64, Unreadable> {
    let text = match place {
        Place::File(path) => {
            std::fs::read(path).map_err(|error| Unreadable::File(error.to_string()))?
        }
        Place::Text(text) => text.as_bytes().to_vec(),
    };
    let mut ends = Vec::new();
    for block in Pem::iter_from_buffer(&text) {
        let block = block.map_err(|error| Unreadable::Certificate(error.to_string()))?;
        if block.label == "CERTIFICATE" {
            let certificate =
                block.parse_x509().map_err(|error| Unreadable::Certificate(error.to_string()))?;
            ends.push(certificate.validity().not_after.timestamp());
        }
    }
    ends.into_iter().min().ok_or(Unreadable::NoCertificate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Number};

    /// A certificate that ends at the beginning of this year.
    fn pem(year: i32) -> String {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut wanted = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        wanted.not_after = rcgen::date_time_ymd(year, 1, 1);
        wanted.self_signed(&key).unwrap().pem()
    }

    #[test]
    fn the_first_end_of_a_bundle_is_exposed_and_what_cannot_be_read_is_named() {
        let folder = std::env::temp_dir().join(format!("certificates-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (bundle, key) = (folder.join("bundle.pem"), folder.join("key.pem"));
        std::fs::write(&bundle, pem(2040) + &pem(2031) + &pem(2050)).unwrap();
        std::fs::write(&key, rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap();
        let mut config = Config::from_defaults(&Environment::default());
        config.clickhouse.tls.ca_file = Some(bundle);
        config.clickhouse.tls.cert_file = Some(key);
        config.nats.tls.ca_file = Some(folder.join("none.pem"));
        config.kafka.properties.insert("ssl.ca.pem".to_owned(), Secret::new(pem(2033)));
        let metrics = Metrics::new("a", Number::new(1));
        let problems = look(&config, &metrics);
        let named: Vec<_> = problems.iter().map(|(key, _)| *key).collect();
        assert_eq!(named, ["clickhouse.tls.cert_file", "nats.tls.ca_file"]);
        assert_eq!(problems[0].1, Unreadable::NoCertificate);
        let page = metrics.page().unwrap();
        let line = |key: &str, end: &str| {
            format!("data_bridge_certificate_expiry_timestamp_seconds{{key=\"{key}\"}} {end}")
        };
        assert!(page.contains(&line("clickhouse.tls.ca_file", "1924992000.0")), "{page}");
        assert!(page.contains(&line("kafka.properties.ssl.ca.pem", "1988150400.0")), "{page}");
        assert!(!page.contains("cert_file") && !page.contains("nats.tls"), "{page}");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
